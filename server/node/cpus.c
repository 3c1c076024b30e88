#include "server/node/cpus.h"

#include <ctype.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

static bool parse_cpu(const char **text, long *cpu)
{
	char *end;

	if (!isdigit((unsigned char)**text))
		return false;
	*cpu = strtol(*text, &end, 10);
	*text = end;
	return *cpu < ZS_CPUS_MAX;
}

static bool parse_range(const char **text, struct zs_cpus *cpus)
{
	long first;
	long last;

	if (!parse_cpu(text, &first))
		return false;
	last = first;
	if (**text == '-') {
		++*text;
		if (!parse_cpu(text, &last) || last < first)
			return false;
	}
	for (long cpu = first; cpu <= last; cpu++) {
		if (cpus->count == ZS_CPUS_MAX)
			return false;
		cpus->list[cpus->count++] = (int)cpu;
	}
	return true;
}

bool zs_cpus_parse(const char *text, struct zs_cpus *cpus, char *why, size_t why_size)
{
	const char *rest = text;

	cpus->count = 0;
	if (!*rest)
		return true;
	do {
		if (!parse_range(&rest, cpus))
			goto wrong;
	} while (*rest++ == ',');
	if (!rest[-1])
		return true;
wrong:
	snprintf(why, why_size, "'cpu-list' cannot be '%.64s': it must be numbers of CPUs below %d, like 0,2-5", text,
		 ZS_CPUS_MAX);
	return false;
}

unsigned zs_cpus_available(void)
{
	cpu_set_t set;
	int count;

	if (sched_getaffinity(0, sizeof(set), &set))
		return 1;
	count = CPU_COUNT(&set);
	return count > 0 ? (unsigned)count : 1;
}
