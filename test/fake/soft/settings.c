/* What is set and what is counted, by name. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "test/fake/soft/soft.h"

enum { GRAVES = 256 };

static const char *const names[] = {
#define NAME(name, value) #name,
	SOFT_SETTINGS(NAME)
#undef NAME
};

static _Atomic uint64_t values[SOFT_SETTING_COUNT] = {
#define VALUE(name, value) value,
	SOFT_SETTINGS(VALUE)
#undef VALUE
};

static _Atomic uint64_t turns[SOFT_SETTING_COUNT];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int graves[GRAVES]; /* sockets that were closed while the path was cut */
static unsigned grave_count;

uint64_t soft_get(enum soft_setting setting)
{
	return atomic_load_explicit(&values[setting], memory_order_relaxed);
}

void soft_count(enum soft_setting setting)
{
	atomic_fetch_add_explicit(&values[setting], 1, memory_order_relaxed);
}

bool soft_is_due(enum soft_setting setting)
{
	uint64_t every = soft_get(setting);

	return every && (atomic_fetch_add_explicit(&turns[setting], 1, memory_order_relaxed) + 1) % every == 0;
}

static int find(const char *name, size_t size)
{
	for (int i = 0; i < SOFT_SETTING_COUNT; i++) {
		if (strlen(names[i]) == size && !memcmp(names[i], name, size))
			return i;
	}
	return -1;
}

static void open_graves(void)
{
	pthread_mutex_lock(&lock);
	while (grave_count)
		close(graves[--grave_count]);
	pthread_mutex_unlock(&lock);
}

int soft_verbs_set(const char *name, uint64_t value)
{
	int setting = find(name, strlen(name));

	if (setting < 0)
		return -1;
	atomic_store_explicit(&turns[setting], 0, memory_order_relaxed);
	atomic_store_explicit(&values[setting], value, memory_order_relaxed);
	if (setting == soft_cut && !value)
		open_graves();
	return 0;
}

int soft_verbs_get(const char *name, uint64_t *value)
{
	int setting = find(name, strlen(name));

	if (setting < 0)
		return -1;
	*value = soft_get((enum soft_setting)setting);
	return 0;
}

/* A test whose fault has a name that does not exist would pass without it. */
static void take_pair(const char *pair)
{
	const char *equals = strchr(pair, '=');
	char *end = NULL;
	int setting = equals ? find(pair, (size_t)(equals - pair)) : -1;
	uint64_t value = equals ? strtoull(equals + 1, &end, 10) : 0;

	if (setting < 0 || end == equals + 1 || *end) {
		static const char text[] =
		    "ZS_SOFT_VERBS is wrong: it takes name=number, and names of soft_control.h\n";

		(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
		abort();
	}
	values[setting] = value;
}

__attribute__((constructor)) static void read_environment(void)
{
	const char *text = getenv("ZS_SOFT_VERBS");
	char *copy = text ? strdup(text) : NULL;
	char *rest = NULL;

	for (char *pair = copy ? strtok_r(copy, " ", &rest) : NULL; pair; pair = strtok_r(NULL, " ", &rest))
		take_pair(pair);
	free(copy);
}

uint64_t soft_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void soft_close(int fd)
{
	pthread_mutex_lock(&lock);
	if (fd >= 0 && soft_get(soft_cut) && grave_count < GRAVES)
		graves[grave_count++] = fd;
	else if (fd >= 0)
		close(fd);
	pthread_mutex_unlock(&lock);
}
