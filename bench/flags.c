#include "bench/flags.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FLAGS 48

static uint64_t suffix_factor(char suffix)
{
	switch (suffix) {
	case 'k':
		return 1u << 10;
	case 'm':
		return 1u << 20;
	case 'g':
		return 1u << 30;
	case 'K':
		return 1000;
	case 'M':
		return 1000000;
	case 'G':
		return 1000000000;
	default:
		return 0;
	}
}

static bool read_number(const char *text, const char **end, uint64_t *number)
{
	char *after;
	unsigned long long digits;
	uint64_t factor;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	digits = strtoull(text, &after, 10);
	if (errno)
		return false;
	factor = suffix_factor(*after);
	if (factor)
		after++;
	*end = after;
	return !__builtin_mul_overflow((uint64_t)digits, factor ? factor : 1, number);
}

bool zs_flags_number(const char *text, uint64_t *number)
{
	const char *end;

	return read_number(text, &end, number) && !*end;
}

bool zs_flags_range(const char *text, struct zs_range *range)
{
	const char *end;

	if (!read_number(text, &end, &range->low))
		return false;
	range->high = range->low;
	if (!*end)
		return true;
	return !strncmp(end, "..", 2) && zs_flags_number(end + 2, &range->high) && range->high >= range->low;
}

static bool parse_real(const char *text, double *real)
{
	char *end;

	errno = 0;
	*real = strtod(text, &end);
	return end != text && !*end && !errno;
}

void zs_flags_fail(const struct zs_program *program, const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "%s: ", program->name);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(2);
}

/* As it could have been given: 1g rather than 1073741824. */
static void print_number(uint64_t number)
{
	static const char suffixes[] = "gmk";
	unsigned i = 0;

	while (i < 3 && (!number || number % suffix_factor(suffixes[i])))
		i++;
	if (i < 3)
		printf("%" PRIu64 "%c", number / suffix_factor(suffixes[i]), suffixes[i]);
	else
		printf("%" PRIu64, number);
}

static void print_default(const struct zs_flag *flag)
{
	const struct zs_range *range = flag->target;
	const char *const *text = flag->target;

	switch (flag->type) {
	case ZS_FLAG_NUMBER:
		printf(" [");
		print_number(*(uint64_t *)flag->target);
		printf("]");
		break;
	case ZS_FLAG_REAL:
		printf(" [%g]", *(double *)flag->target);
		break;
	case ZS_FLAG_TEXT:
		if (*text)
			printf(" [%s]", *text);
		break;
	case ZS_FLAG_RANGE:
		printf(" [%" PRIu64, range->low);
		printf(range->high != range->low ? "..%" PRIu64 "]" : "]", range->high);
		break;
	case ZS_FLAG_SWITCH:
		break;
	}
}

static void print_help(const struct zs_program *program)
{
	printf("usage: %s [options]\n\n%s\n\noptions:\n", program->name, program->summary);
	for (size_t i = 0; i < program->count; i++) {
		const struct zs_flag *flag = &program->flags[i];
		int width = printf("  --%s %s", flag->name, flag->argument ? flag->argument : "");

		printf("%*s%s", width < 26 ? 26 - width : 1, "", flag->help);
		print_default(flag);
		putchar('\n');
	}
	printf("  --help                  this text\n");
}

static void check_bounds(const struct zs_program *program, const struct zs_flag *flag, double low, double high)
{
	if (low < flag->least || high > flag->most)
		zs_flags_fail(program, "--%s must be in %.15g..%.15g", flag->name, flag->least, flag->most);
}

static void store(const struct zs_program *program, const struct zs_flag *flag, const char *text)
{
	struct zs_range *range = flag->target;

	switch (flag->type) {
	case ZS_FLAG_SWITCH:
		*(bool *)flag->target = true;
		break;
	case ZS_FLAG_NUMBER: {
		uint64_t *number = flag->target;

		if (!zs_flags_number(text, number))
			zs_flags_fail(program, "--%s %s: a number is wanted, such as 100 or 64m", flag->name, text);
		check_bounds(program, flag, (double)*number, (double)*number);
		break;
	}
	case ZS_FLAG_REAL:
		if (!parse_real(text, flag->target))
			zs_flags_fail(program, "--%s %s: a number is wanted, such as 0.9", flag->name, text);
		check_bounds(program, flag, *(double *)flag->target, *(double *)flag->target);
		break;
	case ZS_FLAG_TEXT:
		*(const char **)flag->target = text;
		break;
	case ZS_FLAG_RANGE:
		if (!zs_flags_range(text, range))
			zs_flags_fail(program, "--%s %s: a size or a range is wanted, such as 128 or 32..512",
				      flag->name, text);
		check_bounds(program, flag, (double)range->low, (double)range->high);
		break;
	}
}

void zs_flags_parse(const struct zs_program *program, int argc, char **argv)
{
	struct option table[MAX_FLAGS + 2] = { 0 };
	int index;

	if (program->count > MAX_FLAGS)
		abort();
	for (size_t i = 0; i < program->count; i++) {
		table[i].name = program->flags[i].name;
		table[i].has_arg = program->flags[i].type == ZS_FLAG_SWITCH ? no_argument : required_argument;
		table[i].val = (int)i;
	}
	table[program->count] = (struct option){ "help", no_argument, NULL, MAX_FLAGS };
	while ((index = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (index == '?')
			zs_flags_fail(program, "see --help");
		if (index == MAX_FLAGS) {
			print_help(program);
			exit(0);
		}
		store(program, &program->flags[index], optarg);
	}
	if (optind < argc)
		zs_flags_fail(program, "unexpected argument '%s'; see --help", argv[optind]);
}
