/*
 * Readers by plain loads, each over a read-only mapping of its own, against writers, eviction, expiry, drops, growth of
 * the index, leases that end and sessions that are revoked.
 *
 *   reader_race [--seconds N] [--seed S]
 *
 * Each key has one writer, which numbers its writes. A value carries its key, its number and a checksum; a counter is
 * its number. A reader knows which numbers are possible: not below the last write that had returned before the read
 * began, not above the last one begun when it ended. What readers are told while their lease is over is never believed.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "common/lease.h"
#include "common/reader_plain.h"
#include "server/engine/internal.h"

enum {
	MOST_KEYS = 40000,
	GROUPS = 4,
	WRITERS = 2,
	READERS = 2,
	BATCH = 64,
	NAME_MAX_BYTES = 40,
	VALUE_MAX = 500,
	LEASE_NS = 60000000,
	LEASE_TAG = 7,
	ROUNDS = 3, /* each with an engine of its own, whose index grows */
};

struct scenario {
	const char *name;
	uint64_t memory;
	unsigned keys;
	bool evicts;
};

static const struct scenario scenarios[] = {
	{ "roomy, growing", 32u << 20, MOST_KEYS, false },
	{ "few keys", 16u << 20, 24, false },
	{ "tight", ZS_MEMORY_MIN, MOST_KEYS, true },
};

struct line {
	_Atomic uint64_t begun;
	_Atomic uint64_t done;
	_Atomic uint64_t floor; /* what a drop ended: only higher numbers may be seen */
};

struct race {
	const struct scenario *scenario;
	struct zs_engine *engine;
	struct line lines[MOST_KEYS];
	uint64_t lease;
	_Atomic uint64_t revocations; /* odd while the session is revoked */
	_Atomic bool stop;
	int64_t node_ms_offset;
	uint64_t seed;
	_Atomic uint64_t writes, hits, misses, asks, unbelieved, drops, resizes;
};

struct actor {
	struct race *race;
	struct zs_thread *thread; /* of writers and the keeper */
	struct zs_plain plain;	  /* of readers */
	void *mapping;
	uint64_t *seen;
	uint64_t random;
	unsigned id;
	uint8_t buffers[BATCH][VALUE_MAX];
};

struct header {
	uint64_t number;
	uint32_t key;
	uint32_t size;
	uint64_t checksum;
};

__attribute__((format(printf, 2, 3))) static _Noreturn void fail(const struct race *race, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "\nFAILED: reader_race, \"%s\", seed %" PRIu64 ": ", race->scenario->name, race->seed);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\n");
	_Exit(1);
}

static uint64_t below(struct actor *a, uint64_t bound)
{
	uint64_t x = a->random;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	a->random = x;
	return (x * 0x2545f4914f6cdd1du >> 32) % bound;
}

static uint64_t now_ns(void)
{
	return zs_clock_ns(zs_clock_system());
}

/* ---- keys and values ---- */

static bool is_counter(const struct race *race, unsigned key)
{
	return key % 8 == 7 && !race->scenario->evicts;
}

/* Only ever replaced: no group, no deadline. */
static bool stays(const struct race *race, unsigned key)
{
	return key % 4 == 0 || is_counter(race, key);
}

static int group_of(unsigned key)
{
	return key % 4 == 1 ? (int)(key / 4 % GROUPS) : -1;
}

static size_t key_bytes(unsigned key, char *buffer)
{
	return (size_t)snprintf(buffer, NAME_MAX_BYTES, key % 7 ? "object:%08u" : "a longer one, object:%08u", key);
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

	h.size = key % 2 ? 100 : (uint32_t)(sizeof(h) + below(a, VALUE_MAX - sizeof(h)));
	for (size_t i = sizeof(h); i < h.size; i++)
		bytes[i] = (uint8_t)(number * 7 + key + i);
	h.checksum = checksum(&h, bytes);
	memcpy(bytes, &h, sizeof(h));
	return h.size;
}

static uint64_t number_of(const struct race *race, unsigned key, const struct zs_plain_read *read)
{
	struct header h;

	if (read->value.is_number != is_counter(race, key))
		fail(race, "key %u: a value of the wrong type", key);
	if (read->value.is_number)
		return (uint64_t)read->value.number;
	if (read->value.size < sizeof(h) || read->value.size > VALUE_MAX)
		fail(race, "key %u: a value of %u bytes that nobody wrote", key, read->value.size);
	memcpy(&h, read->buffer, sizeof(h));
	if (h.key != key)
		fail(race, "key %u: got the value of key %u (number %" PRIu64 ")", key, h.key, h.number);
	if (h.size != read->value.size || h.checksum != checksum(&h, read->buffer))
		fail(race, "key %u: the value of write %" PRIu64 " is torn", key, h.number);
	return h.number;
}

/* ---- writing ---- */

static bool again(struct actor *a, int result)
{
	if (result != ZS_EAGAIN)
		return false;
	zs_thread_upkeep(a->thread, 100);
	zs_thread_offline(a->thread);
	nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
	zs_thread_online(a->thread);
	return !atomic_load(&a->race->stop);
}

static int write_value(struct actor *a, unsigned key, uint64_t number, const char *name, size_t name_size)
{
	uint8_t bytes[VALUE_MAX];
	char group[16];
	struct zs_set set = { .key = name, .key_size = name_size, .value = bytes };
	int result;

	set.value_size = make_value(a, key, number, bytes);
	if (!stays(a->race, key) && below(a, 2))
		set.deadline = zs_thread_now(a->thread) + 1 + below(a, 300);
	if (group_of(key) >= 0) {
		set.flags = ZS_SET_GROUP;
		set.group = group;
		set.group_size = (size_t)snprintf(group, sizeof(group), "group %d", group_of(key));
	}
	do {
		result = zs_set(a->thread, &set, NULL);
	} while (again(a, result));
	return result;
}

static int increment(struct actor *a, const char *name, size_t size, uint64_t number)
{
	int64_t value = 0;
	int result;

	do {
		result = zs_increment(a->thread, name, size, 1, &value);
	} while (again(a, result));
	if (result == ZS_OK && (uint64_t)value != number)
		fail(a->race, "a counter is %" PRId64 " after increment %" PRIu64, value, number);
	return result;
}

static void write_once(struct actor *a, unsigned key)
{
	struct race *race = a->race;
	struct line *line = &race->lines[key];
	uint64_t number = atomic_load(&line->begun) + 1;
	unsigned what = (unsigned)below(a, 16);
	char name[NAME_MAX_BYTES];
	size_t size = key_bytes(key, name);
	int result;

	if (what < 2 && !is_counter(race, key)) {
		/* Another deadline leaves the value, so it has no number. */
		result = zs_expire(a->thread, name, size,
				   stays(race, key) ? 0 : zs_thread_now(a->thread) + 1 + below(a, 1000), 0, NULL);
		if (result && result != ZS_ENOTFOUND && result != ZS_EAGAIN)
			fail(race, "key %u: expire: %s", key, zs_error_name(result));
		return;
	}
	atomic_store(&line->begun, number);
	if (what == 2 && !stays(race, key))
		result = zs_delete(a->thread, name, size, NULL);
	else if (is_counter(race, key))
		result = increment(a, name, size, number);
	else
		result = write_value(a, key, number, name, size);
	if (result == ZS_OK)
		atomic_store(&line->done, number);
	else if (result == ZS_EAGAIN && is_counter(race, key))
		atomic_store(&line->begun, number - 1); /* stopped before it was done */
	else if (result != ZS_ENOTFOUND && result != ZS_EAGAIN)
		fail(race, "key %u: %s", key, zs_error_name(result));
}

static void *writer(void *context)
{
	struct actor *a = context;
	unsigned mine = a->race->scenario->keys / WRITERS;

	while (!atomic_load_explicit(&a->race->stop, memory_order_relaxed)) {
		write_once(a, (unsigned)below(a, mine) * WRITERS + a->id);
		atomic_fetch_add_explicit(&a->race->writes, 1, memory_order_relaxed);
		if (below(a, 64) == 0)
			zs_thread_upkeep(a->thread, 30);
		else if (below(a, 4) == 0)
			zs_thread_quiesce(a->thread);
	}
	zs_thread_detach(a->thread);
	return NULL;
}

/* ---- reading ---- */

static uint64_t lowest_possible(struct race *race, unsigned key)
{
	uint64_t floor = atomic_load(&race->lines[key].floor);
	uint64_t done = atomic_load(&race->lines[key].done);

	return floor > done ? floor : done;
}

static void check_hit(struct actor *a, unsigned key, uint64_t lowest, uint64_t began_ns,
		      const struct zs_plain_read *read)
{
	struct race *race = a->race;
	uint64_t number = number_of(race, key, read);
	uint64_t highest = atomic_load(&race->lines[key].begun);
	uint64_t began_ms = began_ns / 1000000 + (uint64_t)race->node_ms_offset;

	if (number < lowest)
		fail(race, "key %u: write %" PRIu64 " was seen after write, deletion or drop %" PRIu64 " had returned",
		     key, number, lowest);
	if (number > highest)
		fail(race, "key %u: write %" PRIu64 " was seen, but only %" PRIu64 " were begun", key, number, highest);
	if (number < a->seen[key])
		fail(race, "key %u: write %" PRIu64 " was seen by a reader that saw %" PRIu64 " before", key, number,
		     a->seen[key]);
	if (read->value.deadline && read->value.deadline <= began_ms)
		fail(race, "key %u: expired %" PRIu64 " ms before the read", key, began_ms - read->value.deadline);
	a->seen[key] = number;
	atomic_fetch_add_explicit(&race->hits, 1, memory_order_relaxed);
}

static void check_answer(struct actor *a, unsigned key, uint64_t lowest, uint64_t began_ns,
			 const struct zs_plain_read *read)
{
	struct race *race = a->race;

	if (read->answer == ZS_ANSWER_HIT) {
		check_hit(a, key, lowest, began_ns, read);
	} else if (read->answer == ZS_ANSWER_ASK) {
		atomic_fetch_add_explicit(&race->asks, 1, memory_order_relaxed);
	} else {
		if (stays(race, key) && lowest && !race->scenario->evicts) {
			struct zs_stats stats;

			zs_engine_stats(race->engine, &stats);
			fail(race,
			     "key %u: missed, though it was never deleted (%" PRIu64 " objects of %" PRIu64
			     " were evicted)",
			     key, stats.evicted_objects, stats.objects);
		}
		atomic_fetch_add_explicit(&race->misses, 1, memory_order_relaxed);
	}
}

static void read_some(struct actor *a, unsigned count)
{
	struct race *race = a->race;
	char names[BATCH][NAME_MAX_BYTES];
	unsigned numbers[BATCH];
	uint64_t lowest[BATCH];
	struct zs_plain_read reads[BATCH];
	uint64_t revocations = atomic_load(&race->revocations);
	uint64_t lease = zs_load_acquire(&race->lease);
	uint64_t began_ns = now_ns();
	bool doubtful;

	for (unsigned i = 0; i < count; i++) {
		numbers[i] = (unsigned)below(a, race->scenario->keys);
		lowest[i] = lowest_possible(race, numbers[i]);
		reads[i] = (struct zs_plain_read){
			.key = names[i],
			.key_size = key_bytes(numbers[i], names[i]),
			.buffer = a->buffers[i],
			.buffer_size = VALUE_MAX,
		};
	}
	if (count == 1)
		zs_plain_get(&a->plain, &reads[0]);
	else
		zs_plain_get_batch(&a->plain, reads, count);
	/* Revoked all the time, or over before we began and not renewed since: then nothing may be believed. */
	doubtful = revocations % 2 && atomic_load(&race->revocations) == revocations;
	doubtful |= began_ns >= lease && zs_load_acquire(&race->lease) == lease;
	for (unsigned i = 0; i < count; i++) {
		if (doubtful && reads[i].answer != ZS_ANSWER_ASK)
			fail(race, "key %u: believed without a lease", numbers[i]);
		check_answer(a, numbers[i], lowest[i], began_ns, &reads[i]);
	}
	if (doubtful)
		atomic_fetch_add_explicit(&race->unbelieved, count, memory_order_relaxed);
}

static void *reader(void *context)
{
	struct actor *a = context;

	while (!atomic_load_explicit(&a->race->stop, memory_order_relaxed))
		read_some(a, below(a, 2) ? 1 : BATCH);
	return NULL;
}

/* ---- leases, drops, upkeep ---- */

static void drop_group(struct actor *a)
{
	static uint64_t before[MOST_KEYS];
	struct race *race = a->race;
	int group = (int)below(a, GROUPS);
	char name[16];

	for (unsigned key = 0; key < race->scenario->keys; key++)
		before[key] = atomic_load(&race->lines[key].done);
	zs_drop(a->thread, name, (size_t)snprintf(name, sizeof(name), "group %d", group), NULL);
	for (unsigned key = 0; key < race->scenario->keys; key++) {
		if (group_of(key) == group && before[key])
			atomic_store(&race->lines[key].floor, before[key] + 1);
	}
	atomic_fetch_add(&race->drops, 1);
}

static void nap(struct actor *a, long ns)
{
	zs_thread_offline(a->thread);
	nanosleep(&(struct timespec){ .tv_nsec = ns }, NULL);
	zs_thread_online(a->thread);
}

/* Renews the lease; now and then too late, or not at all for a while. */
static void keep_session(struct actor *a)
{
	struct race *race = a->race;
	unsigned what = (unsigned)below(a, 1000);

	if (what == 0) {
		zs_store_release(&race->lease, 0);
		atomic_fetch_add(&race->revocations, 1);
		nap(a, 500000);
		atomic_fetch_add(&race->revocations, 1);
	} else if (what == 1) {
		nap(a, 2 * LEASE_NS);
	}
	zs_store_release(&race->lease, zs_lease_word(now_ns() + LEASE_NS, LEASE_TAG));
}

static void *keeper(void *context)
{
	struct actor *a = context;
	struct zs_stats stats;

	while (!atomic_load(&a->race->stop)) {
		keep_session(a);
		zs_thread_upkeep(a->thread, 200);
		if (below(a, 100) == 0)
			drop_group(a);
		nap(a, 50000);
	}
	zs_engine_stats(a->race->engine, &stats);
	atomic_fetch_add(&a->race->resizes, stats.index_resizes);
	zs_thread_detach(a->thread);
	return NULL;
}

/* ---- running ---- */

static void open_engine(struct race *race)
{
	struct zs_engine_options options;
	char why[256] = "";

	zs_engine_options_init(&options);
	options.memory = race->scenario->memory;
	options.threads = WRITERS + 1;
	options.huge_pages = false;
	if (zs_engine_open(&options, &race->engine, why, sizeof(why)))
		fail(race, "cannot open an engine: %s", why);
	zs_store_release(&race->engine->remote_until_ms, UINT64_MAX);
	race->lease = zs_lease_word(now_ns() + LEASE_NS, LEASE_TAG);
	memset(race->lines, 0, sizeof(race->lines));
}

/* The node's time is the boot clock plus a constant; both are read within one millisecond of it. */
static int64_t clock_offset(void)
{
	const struct zs_clock *clock = zs_clock_system();

	for (;;) {
		uint64_t before = zs_clock_ns(clock) / 1000000;
		uint64_t ms = zs_clock_ms(clock);

		if (zs_clock_ns(clock) / 1000000 == before)
			return (int64_t)(ms - before);
	}
}

static void open_reader(struct race *race, struct actor *a)
{
	struct zs_plain_options options = {
		.size = race->engine->arena_size,
		.lease = &race->lease,
		.lease_tag = LEASE_TAG,
		.node_ms_offset = race->node_ms_offset,
	};
	char why[256] = "";

	a->mapping = mmap(NULL, options.size, PROT_READ, MAP_SHARED, race->engine->memfd, 0);
	if (a->mapping == MAP_FAILED)
		fail(race, "cannot map the memory a second time");
	options.base = a->mapping;
	while (zs_plain_open(&a->plain, &options, why, sizeof(why)) == ZS_EAGAIN)
		;
	if (!a->plain.partitions)
		fail(race, "cannot open a reader: %s", why);
	memset(a->seen, 0, MOST_KEYS * sizeof(*a->seen));
}

static void run_round(struct race *race, struct actor *actors, double seconds)
{
	enum { ACTORS = WRITERS + READERS + 1 };
	pthread_t threads[ACTORS];
	struct timespec length = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };

	open_engine(race);
	atomic_store(&race->stop, false);
	for (unsigned i = 0; i < ACTORS; i++) {
		bool reads = i >= WRITERS && i < WRITERS + READERS;
		void *(*function)(void *) = i < WRITERS ? writer : reads ? reader : keeper;

		actors[i].race = race;
		actors[i].id = i;
		if (reads)
			open_reader(race, &actors[i]);
		else
			actors[i].thread = zs_thread_attach(race->engine);
		if (pthread_create(&threads[i], NULL, function, &actors[i]))
			fail(race, "cannot start a thread");
	}
	nanosleep(&length, NULL);
	atomic_store(&race->stop, true);
	for (unsigned i = 0; i < ACTORS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = WRITERS; i < WRITERS + READERS; i++)
		munmap(actors[i].mapping, race->engine->arena_size);
	zs_engine_close(race->engine);
}

static void run(const struct scenario *scenario, double seconds, uint64_t seed)
{
	enum { ACTORS = WRITERS + READERS + 1 };
	struct race *race = calloc(1, sizeof(*race));
	struct actor *actors = calloc(ACTORS, sizeof(*actors));

	if (!race || !actors)
		exit(1);
	race->scenario = scenario;
	race->seed = seed;
	race->node_ms_offset = clock_offset();
	for (unsigned i = 0; i < ACTORS; i++) {
		actors[i].random = seed * 1000003 + i + 1;
		actors[i].seen = calloc(MOST_KEYS, sizeof(*actors[i].seen));
		if (!actors[i].seen)
			exit(1);
	}
	for (unsigned i = 0; i < ROUNDS; i++)
		run_round(race, actors, seconds / ROUNDS);
	if (!race->hits || !race->misses)
		fail(race, "nothing was read");
	printf("%-16s %9" PRIu64 " writes, %9" PRIu64 " hits, %8" PRIu64 " misses, %7" PRIu64 " asks, %7" PRIu64
	       " without a lease, %3" PRIu64 " drops, %2" PRIu64 " resizes: in order\n",
	       scenario->name, race->writes, race->hits, race->misses, race->asks, race->unbelieved, race->drops,
	       race->resizes);
	for (unsigned i = 0; i < ACTORS; i++)
		free(actors[i].seen);
	free(actors);
	free(race);
}

int main(int argc, char **argv)
{
	enum { SCENARIOS = sizeof(scenarios) / sizeof(scenarios[0]) };
	double seconds = 3;
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
