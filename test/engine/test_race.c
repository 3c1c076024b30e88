/*
 * Writers, readers, a dropper, a walker and upkeep at once, on values that prove themselves.
 *
 *   engine_race [--seconds N] [--seed S]
 *
 * Each key has one writer, which numbers its writes; a deletion takes a number too. A value carries its key,
 * its number and a checksum. So whoever reads knows which numbers are possible: not below the last write that
 * had returned before the read began, and not above the last one that had begun when it ended. What a drop
 * ended must not come back either. Built with ThreadSanitizer it also shows unsynchronised accesses.
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
	MOST_KEYS = 40000,
	GROUPS = 4,
	WRITERS = 2,
	READERS = 2,
	HELD = 8,
	VALUE_MAX = 700,
};

struct scenario {
	const char *name;
	uint64_t memory;
	enum zs_policy policy;
	unsigned keys;
	bool evicts;  /* any key may be missed */
	bool uniform; /* all values have one size */
};

static const struct scenario scenarios[] = {
	{ "roomy, one size", 64u << 20, ZS_POLICY_S3FIFO, 3000, false, true },
	{ "roomy, mixed sizes", 64u << 20, ZS_POLICY_S3FIFO, 3000, false, false },
	{ "few keys", 16u << 20, ZS_POLICY_S3FIFO, 16, false, false },
	{ "tight, s3fifo", ZS_MEMORY_MIN, ZS_POLICY_S3FIFO, MOST_KEYS, true, false },
	{ "tight, lru", ZS_MEMORY_MIN, ZS_POLICY_LRU, MOST_KEYS, true, true },
	{ "tight, lfu", ZS_MEMORY_MIN, ZS_POLICY_LFU, MOST_KEYS, true, false },
};

/* What is known about the writes of a key. */
struct line {
	_Atomic uint64_t begun; /* number of the last write that was begun */
	_Atomic uint64_t done;	/* ... of the last one that returned */
	_Atomic uint64_t floor; /* what a drop ended: only higher numbers may be seen */
};

struct race {
	const struct scenario *scenario;
	struct zs_test_clock clock;
	struct zs_engine *engine;
	struct line lines[MOST_KEYS];
	_Atomic bool stop;
	uint64_t seed;
	_Atomic uint64_t writes, hits, misses, drops, walks;
};

struct header {
	uint64_t number;
	uint32_t key;
	uint32_t size;
	uint64_t checksum;
};

struct actor {
	struct race *race;
	struct zs_thread *thread;
	uint64_t random;
	uint64_t *seen; /* of a reader: the highest number of each key */
	uint64_t now;	/* at its last quiescent point */
	unsigned id;
	unsigned held_count;
	unsigned held_key[HELD];
	struct zs_view held[HELD];
};

__attribute__((format(printf, 2, 3))) static _Noreturn void fail(const struct race *race, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "\nFAILED: engine_race, \"%s\", seed %" PRIu64 ": ", race->scenario->name, race->seed);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\n");
	_Exit(1);
}

/* Keys whose number is a multiple of 4 are only ever replaced: they have no group and no deadline. */
static bool stays(unsigned key)
{
	return key % 4 == 0;
}

static int group_of(unsigned key)
{
	return key % 4 == 1 ? (int)(key / 4 % GROUPS) : -1;
}

static size_t key_bytes(unsigned key, char *buffer)
{
	return (size_t)snprintf(buffer, 32, key % 7 ? "object:%08u" : "a longer one, object:%08u", key);
}

static uint64_t checksum(const struct header *h, const uint8_t *bytes)
{
	uint64_t sum = h->number * 0x9e3779b97f4a7c15u + h->key * UINT64_C(31) + h->size;

	for (size_t i = sizeof(*h); i < h->size; i++)
		sum = (sum ^ bytes[i]) * 0x100000001b3u;
	return sum;
}

static size_t make_value(struct actor *a, unsigned key, uint64_t number, uint8_t *bytes)
{
	struct header h = { .number = number, .key = key };

	h.size = a->race->scenario->uniform ? 128 : (uint32_t)(sizeof(h) + zs_test_below(&a->random, 400));
	if (zs_test_below(&a->random, 50) == 0 && !a->race->scenario->uniform)
		h.size = VALUE_MAX;
	for (size_t i = sizeof(h); i < h.size; i++)
		bytes[i] = (uint8_t)(number * 7 + key + i);
	h.checksum = checksum(&h, bytes);
	memcpy(bytes, &h, sizeof(h));
	return h.size;
}

/* The number of the write that a view shows; fails unless the value is whole and belongs to the key. */
static uint64_t number_of(const struct race *race, unsigned key, const struct zs_view *view)
{
	struct header h;

	if (view->type != ZS_BYTES || view->size < sizeof(h) || view->size > VALUE_MAX)
		fail(race, "key %u: a value of %u bytes that nobody wrote", key, view->size);
	memcpy(&h, view->data, sizeof(h));
	if (h.key != key)
		fail(race, "key %u: got the value of key %u (number %" PRIu64 ")", key, h.key, h.number);
	if (h.size != view->size || h.checksum != checksum(&h, view->data))
		fail(race, "key %u: the value of write %" PRIu64 " is torn", key, h.number);
	return h.number;
}

static void check_held(struct actor *a)
{
	for (unsigned i = 0; i < a->held_count; i++)
		number_of(a->race, a->held_key[i], &a->held[i]);
	a->held_count = 0;
}

static void quiesce(struct actor *a)
{
	check_held(a);
	switch (zs_test_below(&a->random, 40)) {
	case 0:
		zs_thread_offline(a->thread);
		zs_thread_online(a->thread);
		break;
	case 1:
		zs_thread_detach(a->thread);
		a->thread = zs_thread_attach(a->race->engine);
		if (!a->thread)
			fail(a->race, "a thread that was detached cannot be attached again");
		zs_thread_quiesce(a->thread);
		break;
	case 2:
	case 3:
	case 4:
		zs_thread_upkeep(a->thread, 30);
		break;
	default:
		zs_thread_quiesce(a->thread);
	}
	a->now = zs_thread_now(a->thread);
}

static void write_value(struct actor *a, unsigned key, uint64_t number, const char *name, size_t name_size)
{
	uint8_t bytes[VALUE_MAX];
	char group[16];
	struct zs_set set = { .key = name, .key_size = name_size, .value = bytes };
	int in = group_of(key), result;

	set.value_size = make_value(a, key, number, bytes);
	if (!stays(key) && zs_test_below(&a->random, 2))
		set.deadline = zs_thread_now(a->thread) + 1 + zs_test_below(&a->random, 5000);
	if (in >= 0) {
		set.flags = ZS_SET_GROUP;
		set.group = group;
		set.group_size = (size_t)snprintf(group, sizeof(group), "group %d", in);
	}
	result = zs_test_set(a->thread, &set, NULL);
	if (result)
		fail(a->race, "key %u: set: %s", key, zs_error_name(result));
}

/*
 * Another deadline leaves the value, so it has no number of its own; 1 is long ago and deletes. True if the key was
 * there.
 */
static bool change_deadline(struct actor *a, unsigned key, const char *name, size_t size, uint64_t deadline)
{
	unsigned tries = 0;
	int result;

	do {
		result = zs_expire(a->thread, name, size, deadline, 0, NULL);
	} while (zs_test_again(a->thread, result, &tries));
	if (result && result != ZS_ENOTFOUND)
		fail(a->race, "key %u: expire: %s", key, zs_error_name(result));
	if (result == ZS_ENOTFOUND && stays(key) && !a->race->scenario->evicts &&
	    atomic_load(&a->race->lines[key].done))
		fail(a->race, "key %u: expire does not find it", key);
	return result == ZS_OK;
}

static void *writer(void *context)
{
	struct actor *a = context;
	struct race *race = a->race;
	unsigned mine = race->scenario->keys / WRITERS;

	while (!atomic_load_explicit(&race->stop, memory_order_relaxed)) {
		unsigned key = (unsigned)zs_test_below(&a->random, mine) * WRITERS + a->id;
		struct line *line = &race->lines[key];
		uint64_t number = atomic_load(&line->begun) + 1;
		unsigned what = (unsigned)zs_test_below(&a->random, 16);
		char name[32];
		size_t size = key_bytes(key, name);

		if (what < 3) {
			uint64_t later = zs_test_below(&a->random, 100000);

			change_deadline(a, key, name, size, stays(key) ? 0 : zs_thread_now(a->thread) + 1 + later);
		} else {
			bool ended = true;

			/* What has expired by this thread's time may live a moment longer by another's. */
			atomic_store(&line->begun, number);
			if (what == 3 && !stays(key))
				ended = zs_delete(a->thread, name, size, NULL) == ZS_OK;
			else if (what == 4 && !stays(key))
				ended = change_deadline(a, key, name, size, 1);
			else
				write_value(a, key, number, name, size);
			if (ended)
				atomic_store(&line->done, number);
		}
		atomic_fetch_add_explicit(&race->writes, 1, memory_order_relaxed);
		if (zs_test_below(&a->random, 8) == 0)
			quiesce(a);
	}
	zs_thread_detach(a->thread);
	return NULL;
}

static uint64_t lowest_possible(struct race *race, unsigned key)
{
	uint64_t floor = atomic_load(&race->lines[key].floor), done = atomic_load(&race->lines[key].done);

	return floor > done ? floor : done;
}

static void check_hit(struct actor *a, unsigned key, uint64_t lowest, const struct zs_view *view)
{
	struct race *race = a->race;
	uint64_t number = number_of(race, key, view), highest = atomic_load(&race->lines[key].begun);

	if (number < lowest)
		fail(race, "key %u: write %" PRIu64 " was seen after write, deletion or drop %" PRIu64 " had returned",
		     key, number, lowest);
	if (number > highest)
		fail(race, "key %u: write %" PRIu64 " was seen, but only %" PRIu64 " were begun", key, number, highest);
	if (number < a->seen[key])
		fail(race, "key %u: write %" PRIu64 " was seen by a reader that saw %" PRIu64 " before", key, number,
		     a->seen[key]);
	/* The time goes on for all threads while we read: what had passed before must not be returned. */
	if (view->deadline && view->deadline < a->now)
		fail(race, "key %u: expired %" PRIu64 " ms ago, but was returned", key, a->now - view->deadline);
	a->seen[key] = number;
	if (a->held_count < HELD) {
		a->held_key[a->held_count] = key;
		a->held[a->held_count++] = *view;
	}
	atomic_fetch_add_explicit(&race->hits, 1, memory_order_relaxed);
}

static void check_miss(struct actor *a, unsigned key, uint64_t lowest)
{
	if (stays(key) && lowest && !a->race->scenario->evicts)
		fail(a->race, "key %u: missed, though it was never deleted and nothing is evicted", key);
	atomic_fetch_add_explicit(&a->race->misses, 1, memory_order_relaxed);
}

static void *reader(void *context)
{
	struct actor *a = context;
	struct race *race = a->race;

	while (!atomic_load_explicit(&race->stop, memory_order_relaxed)) {
		enum { BATCH = 16 };
		unsigned count = zs_test_below(&a->random, 2) ? 1 : BATCH, numbers[BATCH];
		char names[BATCH][32];
		uint64_t lowest[BATCH];
		struct zs_key keys[BATCH];
		struct zs_view views[BATCH];
		bool found[BATCH];

		for (unsigned i = 0; i < count; i++) {
			numbers[i] = (unsigned)zs_test_below(&a->random, race->scenario->keys);
			keys[i].data = names[i];
			keys[i].size = key_bytes(numbers[i], names[i]);
			lowest[i] = lowest_possible(race, numbers[i]);
		}
		if (count == 1)
			found[0] = zs_get(a->thread, keys[0].data, keys[0].size, 0, &views[0]) == ZS_OK;
		else
			zs_get_batch(a->thread, keys, count, views, found);
		for (unsigned i = 0; i < count; i++) {
			if (found[i])
				check_hit(a, numbers[i], lowest[i], &views[i]);
			else
				check_miss(a, numbers[i], lowest[i]);
		}
		if (zs_test_below(&a->random, 4) == 0)
			quiesce(a);
	}
	zs_thread_detach(a->thread);
	return NULL;
}

static void drop_group(struct actor *a)
{
	static uint64_t before[MOST_KEYS];
	struct race *race = a->race;
	int group = (int)zs_test_below(&a->random, GROUPS), result;
	char name[16];

	for (unsigned key = 0; key < race->scenario->keys; key++)
		before[key] = atomic_load(&race->lines[key].done);
	result = zs_drop(a->thread, name, (size_t)snprintf(name, sizeof(name), "group %d", group), NULL);
	if (result && result != ZS_ENOTFOUND)
		fail(race, "drop: %s", zs_error_name(result));
	for (unsigned key = 0; key < race->scenario->keys; key++) {
		if (group_of(key) == group && before[key])
			atomic_store(&race->lines[key].floor, before[key] + 1);
	}
	atomic_fetch_add(&race->drops, 1);
}

struct walk {
	struct actor *actor;
	uint8_t seen[MOST_KEYS];
};

static void visit(void *context, const void *name, size_t size, const struct zs_view *view)
{
	struct walk *walk = context;
	const struct race *race = walk->actor->race;
	char text[40];
	unsigned key;

	if (size < 15 || size > 32)
		fail(race, "a walk sees a key of %zu bytes", size);
	memcpy(text, name, size);
	text[size] = '\0';
	key = (unsigned)strtoul(text + size - 8, NULL, 10);
	if (key >= race->scenario->keys)
		fail(race, "a walk sees the key \"%s\"", text);
	number_of(race, key, view);
	walk->seen[key] = 1;
}

static void walk_over(struct actor *a)
{
	static struct walk walk;
	static bool there[MOST_KEYS];
	struct race *race = a->race;
	uint64_t cursor = 0;

	memset(walk.seen, 0, sizeof(walk.seen));
	walk.actor = a;
	for (unsigned key = 0; key < race->scenario->keys; key++)
		there[key] = stays(key) && !race->scenario->evicts && atomic_load(&race->lines[key].done);
	do {
		cursor = zs_scan(a->thread, cursor, 100, visit, &walk);
		quiesce(a);
	} while (cursor && !atomic_load(&race->stop));
	for (unsigned key = 0; key < race->scenario->keys && !cursor; key++) {
		if (there[key] && !walk.seen[key])
			fail(race, "key %u was there during a whole walk, but was not seen", key);
	}
	atomic_fetch_add(&race->walks, 1);
}

/* Time goes on, groups end, walks, upkeep, and now and then somebody looks at the figures. */
static void *keeper(void *context)
{
	struct actor *a = context;
	struct zs_stats stats;
	char key[ZS_OBJECT_MAX];
	size_t size;

	while (!atomic_load(&a->race->stop)) {
		zs_test_clock_advance(&a->race->clock, zs_test_below(&a->random, 20));
		zs_thread_upkeep(a->thread, 200);
		if (zs_test_below(&a->random, 20) == 0)
			drop_group(a);
		if (zs_test_below(&a->random, 50) == 0)
			walk_over(a);
		zs_engine_stats(a->race->engine, &stats);
		/* A sum over threads that go on counting: each may be ahead by the object it is replacing. */
		if (stats.objects > a->race->scenario->keys + WRITERS + 1)
			fail(a->race, "%" PRIu64 " objects of %u keys", stats.objects, a->race->scenario->keys);
		zs_random_key(a->thread, key, &size);
		quiesce(a);
	}
	zs_thread_detach(a->thread);
	return NULL;
}

/* When all is quiet the last write of each key that stays must be there, and the figures exact. */
static void check_end(struct race *race, struct actor *a)
{
	uint64_t found = 0;
	struct zs_stats stats;

	/* Upkeep evicts ahead: what it takes is to be gone before we count. */
	while (zs_thread_upkeep(a->thread, 1000))
		;
	for (unsigned key = 0; key < race->scenario->keys; key++) {
		uint64_t lowest = lowest_possible(race, key);
		char name[32];
		struct zs_view view;

		if (zs_get(a->thread, name, key_bytes(key, name), ZS_READ_PEEK, &view)) {
			check_miss(a, key, lowest);
			continue;
		}
		check_hit(a, key, lowest, &view);
		found += !view.deadline;
		check_held(a);
	}
	zs_test_clock_advance(&race->clock, 1000000);
	/* A slab that is being filled when its objects end is visited a little later. */
	for (unsigned second = 0; second < 10; second++) {
		zs_test_clock_advance(&race->clock, 1000);
		zs_thread_quiesce(a->thread);
		while (zs_thread_upkeep(a->thread, 1000))
			;
	}
	zs_engine_stats(race->engine, &stats);
	if (stats.objects != found)
		fail(race,
		     "%" PRIu64 " objects without a deadline could be found, but %" PRIu64 " are counted, %" PRIu64
		     " of them with a deadline that is over",
		     found, stats.objects, stats.objects_with_deadline);
}

static void attach(struct race *race, struct actor *a, unsigned id)
{
	a->race = race;
	a->id = id;
	a->random = race->seed * 1000003 + id + 1;
	a->thread = zs_thread_attach(race->engine);
	a->seen = calloc(MOST_KEYS, sizeof(*a->seen));
	if (!a->thread || !a->seen)
		fail(race, "no memory for a thread");
}

static void run(const struct scenario *scenario, double seconds, uint64_t seed)
{
	enum { ACTORS = WRITERS + READERS + 1 };
	struct race *race = calloc(1, sizeof(*race));
	struct zs_engine_options options;
	struct actor actors[ACTORS + 1] = { 0 };
	pthread_t threads[ACTORS];
	char why[256] = "";
	struct timespec length = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };

	if (!race)
		exit(1);
	race->scenario = scenario;
	race->seed = seed;
	zs_test_clock_init(&race->clock);
	zs_engine_options_init(&options);
	options.memory = scenario->memory;
	options.policy = scenario->policy;
	options.clock = &race->clock.clock;
	options.threads = ACTORS + 1;
	options.huge_pages = false;
	if (zs_engine_open(&options, &race->engine, why, sizeof(why)))
		fail(race, "cannot open an engine: %s", why);
	for (unsigned i = 0; i < ACTORS; i++) {
		attach(race, &actors[i], i);
		if (pthread_create(&threads[i], NULL,
				   i < WRITERS	    ? writer
				   : i < ACTORS - 1 ? reader
						    : keeper,
				   &actors[i]))
			fail(race, "cannot start a thread");
	}
	nanosleep(&length, NULL);
	atomic_store(&race->stop, true);
	for (unsigned i = 0; i < ACTORS; i++)
		pthread_join(threads[i], NULL);
	attach(race, &actors[ACTORS], ACTORS);
	check_end(race, &actors[ACTORS]);
	zs_thread_detach(actors[ACTORS].thread);
	zs_engine_close(race->engine);
	printf("%-20s %9" PRIu64 " writes, %9" PRIu64 " hits, %8" PRIu64 " misses, %4" PRIu64 " drops, %3" PRIu64
	       " walks: in order\n",
	       scenario->name, race->writes, race->hits, race->misses, race->drops, race->walks);
	for (unsigned i = 0; i <= ACTORS; i++)
		free(actors[i].seen);
	free(race);
}

int main(int argc, char **argv)
{
	enum { SCENARIOS = sizeof(scenarios) / sizeof(scenarios[0]) };
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
	for (unsigned i = 0; i < SCENARIOS; i++)
		run(&scenarios[i], seconds / SCENARIOS, seed);
	return 0;
}
