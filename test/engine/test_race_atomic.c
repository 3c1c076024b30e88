/*
 * Operations that read and write at once, from many threads on the same keys: increments and updates must not
 * be lost while the objects are moved under them, and conditions must admit one at a time.
 *
 *   engine_race_atomic [--seconds N] [--seed S]
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "test/engine/support.h"

enum {
	THREADS = 4,
	COUNTERS = 24,
	TALLIES = 8,
	LOCKS = 6,
	FILLERS = 20000,
};

struct race {
	struct zs_engine *engine;
	_Atomic bool stop;
	uint64_t seed;
	_Atomic unsigned owners[LOCKS]; /* the thread inside, 0 for none */
	uint64_t protected[LOCKS];	/* changed by the owner only, without atomics */
	_Atomic uint64_t entered[LOCKS];
};

struct actor {
	struct race *race;
	struct zs_thread *thread;
	uint64_t random;
	unsigned id;
	int64_t added[COUNTERS];
	int64_t counted[TALLIES];
	int64_t last[COUNTERS];
	uint64_t operations;
};

__attribute__((format(printf, 2, 3))) static _Noreturn void fail(const struct race *race, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "\nFAILED: engine_race_atomic, seed %" PRIu64 ": ", race->seed);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\n");
	_Exit(1);
}

static void add(struct actor *a)
{
	unsigned n = (unsigned)zs_test_below(&a->random, COUNTERS), tries = 0;
	int64_t delta = 1 + (int64_t)zs_test_below(&a->random, 3), sum = 0;
	char key[24];
	size_t size = (size_t)snprintf(key, sizeof(key), "counter:%u", n);
	int result;

	do {
		result = zs_increment(a->thread, key, size, delta, &sum);
	} while (zs_test_again(a->thread, result, &tries));
	if (result)
		fail(a->race, "%s: increment: %s", key, zs_error_name(result));
	if (sum < a->last[n] + delta)
		fail(a->race, "%s: was %" PRId64 ", %" PRId64 " more gave %" PRId64, key, a->last[n], delta, sum);
	a->added[n] += delta;
	a->last[n] = sum;
}

/* Counters only grow, for every reader. */
static void look(struct actor *a)
{
	unsigned n = (unsigned)zs_test_below(&a->random, COUNTERS);
	char key[24];
	size_t size = (size_t)snprintf(key, sizeof(key), "counter:%u", n);
	struct zs_view view;
	int result = zs_get(a->thread, key, size, 0, &view);

	if (result == ZS_ENOTFOUND && !a->last[n])
		return;
	if (result)
		fail(a->race, "%s: get: %s, but it was %" PRId64, key, zs_error_name(result), a->last[n]);
	if (view.type != ZS_NUMBER || view.number < a->last[n])
		fail(a->race, "%s: was %" PRId64 ", now it is %" PRId64 " of type %d", key, a->last[n], view.number,
		     view.type);
	a->last[n] = view.number;
}

/* Another lifetime moves a counter to another slab while others add to it. */
static void move(struct actor *a)
{
	char key[24];
	size_t size = (size_t)snprintf(key, sizeof(key), "counter:%u", (unsigned)zs_test_below(&a->random, COUNTERS));
	uint64_t far = zs_thread_now(a->thread) + (3600000ull << zs_test_below(&a->random, 8));
	unsigned tries = 0;
	int result;

	do {
		result = zs_expire(a->thread, key, size, zs_test_below(&a->random, 3) ? far : 0, 0, NULL);
	} while (zs_test_again(a->thread, result, &tries));
	if (result && result != ZS_ENOTFOUND)
		fail(a->race, "%s: expire: %s", key, zs_error_name(result));
}

/* A tally is a text with its count at the front and a length that varies with it. */
static int tally_one_more(void *context, struct zs_update *update)
{
	struct actor *a = context;
	uint64_t count = 0;

	if (update->old) {
		if (update->old->size < sizeof(count))
			fail(a->race, "a tally of %u bytes", update->old->size);
		memcpy(&count, update->old->data, sizeof(count));
		if (update->old->size != sizeof(count) + count % 100)
			fail(a->race, "tally %" PRIu64 " has %u bytes", count, update->old->size);
	}
	count++;
	memcpy(update->value, &count, sizeof(count));
	memset(update->value + sizeof(count), (int)count, count % 100);
	update->value_size = sizeof(count) + count % 100;
	return ZS_OK;
}

static void tally(struct actor *a)
{
	unsigned n = (unsigned)zs_test_below(&a->random, TALLIES), tries = 0;
	char key[24];
	size_t size = (size_t)snprintf(key, sizeof(key), "tally:%u", n);
	int result;

	do {
		result = zs_update(a->thread, key, size, tally_one_more, a);
	} while (zs_test_again(a->thread, result, &tries));
	if (result)
		fail(a->race, "%s: update: %s", key, zs_error_name(result));
	a->counted[n]++;
}

/* True if this thread got it. Even locks are held by their existence, odd ones by their value. */
static bool take(struct actor *a, unsigned n, const char *key, size_t size)
{
	struct zs_set set = { .key = key, .key_size = size, .value = "held", .value_size = 4, .flags = ZS_SET_ABSENT };
	int result;

	if (n % 2) {
		set.flags = ZS_SET_EQUAL;
		set.expected = "free";
		set.expected_size = 4;
	}
	result = zs_test_set(a->thread, &set, NULL);
	if (result && result != ZS_EEXIST)
		fail(a->race, "%s: set: %s", key, zs_error_name(result));
	return result == ZS_OK;
}

static void give_back(struct actor *a, unsigned n, const char *key, size_t size)
{
	struct zs_set set = { .key = key,
			      .key_size = size,
			      .value = "free",
			      .value_size = 4,
			      .flags = ZS_SET_EQUAL,
			      .expected = "held",
			      .expected_size = 4 };
	int result;

	if (n % 2)
		result = zs_test_set(a->thread, &set, NULL);
	else
		result = zs_delete(a->thread, key, size, NULL);
	if (result)
		fail(a->race, "%s: its owner cannot give it back: %s", key, zs_error_name(result));
}

static void lock(struct actor *a)
{
	unsigned n = (unsigned)zs_test_below(&a->random, LOCKS), other;
	char key[24];
	size_t size = (size_t)snprintf(key, sizeof(key), "lock:%u", n);

	if (!take(a, n, key, size))
		return;
	other = atomic_exchange(&a->race->owners[n], a->id + 1);
	if (other)
		fail(a->race, "%s is held by threads %u and %u", key, other, a->id + 1);
	a->race->protected[n]++;
	atomic_fetch_add(&a->race->entered[n], 1);
	atomic_store(&a->race->owners[n], 0);
	give_back(a, n, key, size);
}

/* Other objects that come and go, so that slabs thin out and are merged. */
static void fill(struct actor *a)
{
	char key[24];
	size_t size = (size_t)snprintf(key, sizeof(key), "filler:%u", (unsigned)zs_test_below(&a->random, FILLERS));
	struct zs_set set = { .key = key, .key_size = size, .value = key, .value_size = 8 };
	int64_t number;

	switch (zs_test_below(&a->random, 3)) {
	case 0:
		zs_test_set(a->thread, &set, NULL);
		break;
	case 1:
		zs_delete(a->thread, key, size, NULL);
		break;
	default:
		/* A neighbour in the slabs of numbers; a text is no number, and that is fine here. */
		zs_increment(a->thread, key, size, 1, &number);
	}
}

static void *act(void *context)
{
	static void (*const actions[])(struct actor *) = { add, add, add, look, move, tally, lock, fill, fill, fill };
	struct actor *a = context;

	while (!atomic_load_explicit(&a->race->stop, memory_order_relaxed)) {
		actions[zs_test_below(&a->random, sizeof(actions) / sizeof(actions[0]))](a);
		a->operations++;
		if (zs_test_below(&a->random, 8) == 0)
			zs_thread_quiesce(a->thread);
		if (zs_test_below(&a->random, 50) == 0)
			zs_thread_upkeep(a->thread, 100);
	}
	zs_thread_detach(a->thread);
	return NULL;
}

static void check_end(struct race *race, struct actor *actors)
{
	struct zs_thread *t = zs_thread_attach(race->engine);
	struct zs_view view;
	char key[24];

	for (unsigned n = 0; n < COUNTERS; n++) {
		int64_t sum = 0;
		size_t size = (size_t)snprintf(key, sizeof(key), "counter:%u", n);

		for (unsigned i = 0; i < THREADS; i++)
			sum += actors[i].added[n];
		if (sum && (zs_get(t, key, size, 0, &view) || view.number != sum))
			fail(race, "%s: %" PRId64 " was added, but it is %" PRId64, key, sum, view.number);
	}
	for (unsigned n = 0; n < TALLIES; n++) {
		int64_t sum = 0;
		uint64_t count = 0;
		size_t size = (size_t)snprintf(key, sizeof(key), "tally:%u", n);

		for (unsigned i = 0; i < THREADS; i++)
			sum += actors[i].counted[n];
		if (!sum)
			continue;
		if (zs_get(t, key, size, 0, &view))
			fail(race, "%s is gone", key);
		memcpy(&count, view.data, sizeof(count));
		if ((int64_t)count != sum)
			fail(race, "%s: %" PRId64 " updates succeeded, but it counts %" PRIu64, key, sum, count);
	}
	for (unsigned n = 0; n < LOCKS; n++) {
		if (race->protected[n] != race->entered[n])
			fail(race,
			     "lock:%u was entered %" PRIu64 " times, what it protects was changed %" PRIu64 " times", n,
			     race->entered[n], race->protected[n]);
	}
	zs_thread_detach(t);
}

static void run(double seconds, uint64_t seed)
{
	struct race *race = calloc(1, sizeof(*race));
	struct actor *actors = calloc(THREADS, sizeof(*actors));
	struct timespec length = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };
	struct zs_engine_options options;
	struct zs_thread *first;
	pthread_t threads[THREADS];
	uint64_t operations = 0;
	struct zs_stats stats;
	char why[256] = "", key[24];

	if (!race || !actors)
		exit(1);
	race->seed = seed;
	zs_engine_options_init(&options);
	options.memory = 64u << 20;
	options.threads = THREADS + 1;
	options.huge_pages = false;
	if (zs_engine_open(&options, &race->engine, why, sizeof(why)))
		fail(race, "cannot open an engine: %s", why);
	first = zs_thread_attach(race->engine);
	for (unsigned n = 1; n < LOCKS; n += 2) {
		snprintf(key, sizeof(key), "lock:%u", n);
		if (zs_test_put(first, key, "free", 0))
			fail(race, "cannot make %s", key);
	}
	zs_thread_detach(first);
	for (unsigned i = 0; i < THREADS; i++) {
		actors[i] = (struct actor){ .race = race, .id = i, .random = seed * 1000003 + i + 1 };
		actors[i].thread = zs_thread_attach(race->engine);
		if (!actors[i].thread || pthread_create(&threads[i], NULL, act, &actors[i]))
			fail(race, "cannot start a thread");
	}
	nanosleep(&length, NULL);
	atomic_store(&race->stop, true);
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		operations += actors[i].operations;
	}
	check_end(race, actors);
	zs_engine_stats(race->engine, &stats);
	printf("%" PRIu64 " operations of %d threads, %" PRIu64 " objects moved by merging: nothing lost\n", operations,
	       THREADS, stats.moved_merge);
	zs_engine_close(race->engine);
	free(actors);
	free(race);
}

int main(int argc, char **argv)
{
	double seconds = 2;
	uint64_t seed = 1;

	for (int i = 1; i < argc; i += 2) {
		if (i + 1 < argc && strcmp(argv[i], "--seconds") == 0) {
			seconds = strtod(argv[i + 1], NULL);
		} else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
			seed = strtoull(argv[i + 1], NULL, 10);
		} else {
			fprintf(stderr, "usage: %s [--seconds N] [--seed S]\n", argv[0]);
			return 2;
		}
	}
	run(seconds, seed);
	return 0;
}
