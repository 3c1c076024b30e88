/*
 * The engine in process, beside what the memory can do at most: a chain of dependent reads over the same mapping.
 *
 * Everything is measured in rounds that alternate between the subjects, and the medians are printed, so that a
 * machine that is busy for a moment does not decide a ratio.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/flags.h"
#include "bench/json.h"
#include "bench/random.h"
#include "server/engine/internal.h"

#define KEY_SIZE 16
#define ROUNDS 15
#define BATCH 16
#define DROPS 5
#define DROP_OBJECTS 1000000u

static uint64_t memory = 1ull << 30;
static uint64_t operations = 1000000;
static uint64_t value_size = 128;
static uint64_t hot_objects = 2000;
static uint64_t gets_only;
static uint64_t reads_only;
static const char *json_path;

static const struct zs_flag flags[] = {
	{ "memory", ZS_FLAG_NUMBER, &memory, ZS_MEMORY_MIN, 1e15, "BYTES", "arena of the engine (1g)" },
	{ "operations", ZS_FLAG_NUMBER, &operations, 1000, 1e10, "N", "operations of each kind in a round (1000000)" },
	{ "value-size", ZS_FLAG_NUMBER, &value_size, 16, 4000, "BYTES", "bytes of a value (128)" },
	{ "hot-objects", ZS_FLAG_NUMBER, &hot_objects, 16, 1e9, "N", "objects of the working set that fits L2 (2000)" },
	{ "gets-only", ZS_FLAG_NUMBER, &gets_only, 0, 1e10, "N", "only fill, then N gets, for counting cache misses" },
	{ "reads", ZS_FLAG_NUMBER, &reads_only, 0, 1, "1", "1: only the reads, one thread (0)" },
	{ "json", ZS_FLAG_TEXT, &json_path, 0, 0, "FILE", "write the figures there, too" },
};

static const struct zs_program program = { "bench-engine",
					   "The slab engine in process, against the memory's own limit.", flags,
					   sizeof(flags) / sizeof(flags[0]) };

struct bench {
	struct zs_engine *engine;
	struct zs_thread *thread;
	uint64_t objects;
	uint8_t *keys; /* `operations` of them, drawn at random, in the order of use */
	uint8_t *hot_keys;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void make_key(uint8_t *key, uint64_t number)
{
	static const char digits[] = "0123456789abcdef";

	for (int i = KEY_SIZE - 1; i >= 0; i--, number >>= 4)
		key[i] = (uint8_t)digits[number & 15];
}

static int set_number(struct zs_thread *thread, uint64_t number)
{
	uint8_t key[KEY_SIZE];
	uint8_t value[4000];
	struct zs_set set = {
		.key = key,
		.key_size = KEY_SIZE,
		.value = value,
		.value_size = value_size,
		.deadline = zs_thread_now(thread) + 3600000,
	};

	make_key(key, number);
	memset(value, 'v', value_size);
	memcpy(value, key, KEY_SIZE);
	return zs_set(thread, &set, NULL);
}

/* Fills up to just below the first eviction. */
static void fill(struct bench *b)
{
	struct zs_stats stats = { .evicted_objects = 0 };

	while (true) {
		for (unsigned i = 0; i < 256; i++)
			set_number(b->thread, b->objects++);
		zs_thread_upkeep(b->thread, 100);
		zs_engine_stats(b->engine, &stats);
		if (stats.evicted_objects || stats.free_bytes < memory / 64)
			return;
	}
}

/* ---- subjects: each returns nanoseconds for one operation ---- */

/* One dependent miss: each address depends on what the read before brought. */
static double chase(struct bench *b)
{
	uint64_t lines = b->engine->arena_size / 64;
	const uint8_t *arena = b->engine->arena;
	uint64_t x = 88172645463325252ull;
	uint64_t begin = now_ns();
	volatile uint64_t sink;

	for (uint64_t i = 0; i < operations; i++) {
		uint64_t word;

		memcpy(&word, arena + (((unsigned __int128)x * lines) >> 64) * 64, 8);
		x = (x + (word & 1)) * 0x5851f42d4c957f2dull + 0x14057b7ef767814full;
	}
	sink = x;
	(void)sink;
	return (double)(now_ns() - begin) / (double)operations;
}

/* Gets keys one by one; where `copy` is not NULL each value is copied there, else it is not looked at. */
static inline double get_each(struct bench *b, const uint8_t *keys, uint8_t *copy)
{
	struct zs_view view;
	uint64_t found = 0;
	uint64_t begin = now_ns();
	uint64_t took;

	for (uint64_t i = 0; i < operations; i++) {
		if (zs_get(b->thread, keys + i * KEY_SIZE, KEY_SIZE, 0, &view) == ZS_OK) {
			found++;
			if (copy)
				memcpy(copy, view.data, view.size);
		}
		if (i % 64 == 0)
			zs_thread_quiesce(b->thread);
	}
	took = now_ns() - begin;
	if (found * 100 < operations * 99) {
		fprintf(stderr, "bench-engine: only %llu of %llu keys were there\n", (unsigned long long)found,
			(unsigned long long)operations);
		exit(1);
	}
	return (double)took / (double)operations;
}

static double get_cold(struct bench *b)
{
	return get_each(b, b->keys, NULL);
}

static double get_copies(struct bench *b)
{
	uint8_t value[4000];

	return get_each(b, b->keys, value);
}

static double get_hot(struct bench *b)
{
	return get_each(b, b->hot_keys, NULL);
}

static double get_batch(struct bench *b)
{
	struct zs_key keys[BATCH];
	struct zs_view views[BATCH];
	bool found[BATCH];
	uint64_t begin = now_ns();

	for (uint64_t i = 0; i + BATCH <= operations; i += BATCH) {
		for (uint64_t k = 0; k < BATCH; k++)
			keys[k] = (struct zs_key){ b->keys + (i + k) * KEY_SIZE, KEY_SIZE };
		zs_get_batch(b->thread, keys, BATCH, views, found);
		zs_thread_quiesce(b->thread);
	}
	return (double)(now_ns() - begin) / (double)operations;
}

__attribute__((noinline)) static double set_random(struct bench *b)
{
	uint8_t value[4000];
	uint64_t begin;

	memset(value, 'w', sizeof(value));
	begin = now_ns();
	for (uint64_t i = 0; i < operations; i++) {
		struct zs_set set = {
			.key = b->keys + i * KEY_SIZE,
			.key_size = KEY_SIZE,
			.value = value,
			.value_size = value_size,
			.deadline = zs_thread_now(b->thread) + 3600000,
		};

		zs_set(b->thread, &set, NULL);
		if (i % 64 == 0)
			zs_thread_upkeep(b->thread, 10);
	}
	return (double)(now_ns() - begin) / (double)operations;
}

static double increment(struct bench *b)
{
	uint64_t begin = now_ns();
	int64_t result;

	for (uint64_t i = 0; i < operations; i++) {
		uint8_t key[KEY_SIZE];

		make_key(key, b->objects + zs_mix(i) % 100000);
		zs_increment(b->thread, key, KEY_SIZE, 1, &result);
		if (i % 64 == 0)
			zs_thread_upkeep(b->thread, 10);
	}
	return (double)(now_ns() - begin) / (double)operations;
}

/* ---- two threads ---- */

struct worker {
	struct bench bench;
	double (*subject)(struct bench *);
	pthread_barrier_t *start;
	double ns;
};

static void *run_worker(void *argument)
{
	struct worker *w = argument;

	w->bench.thread = zs_thread_attach(w->bench.engine);
	pthread_barrier_wait(w->start);
	w->ns = w->subject(&w->bench);
	zs_thread_detach(w->bench.thread);
	return NULL;
}

/* Operations a second of `count` threads at once, in millions. */
static double rate(struct bench *b, double (*subject)(struct bench *), unsigned count)
{
	struct worker workers[2];
	pthread_t threads[2];
	pthread_barrier_t start;
	double sum = 0;

	pthread_barrier_init(&start, NULL, count);
	zs_thread_offline(b->thread);
	for (unsigned i = 0; i < count; i++) {
		workers[i] = (struct worker){ *b, subject, &start, 0 };
		/* The second one goes through the same keys in another order of time. */
		workers[i].bench.keys = b->keys;
		pthread_create(&threads[i], NULL, run_worker, &workers[i]);
	}
	for (unsigned i = 0; i < count; i++) {
		pthread_join(threads[i], NULL);
		sum += 1000 / workers[i].ns;
	}
	zs_thread_online(b->thread);
	pthread_barrier_destroy(&start);
	return sum;
}

/* ---- the table ---- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *values, unsigned count)
{
	qsort(values, count, sizeof(values[0]), compare);
	return values[count / 2];
}

static const struct subject {
	const char *name;
	const char *key;
	const char *ratio_key;
	double (*run)(struct bench *);
} subjects[] = {
	{ "one dependent miss", "miss_ns", "miss", chase },
	{ "GET, one by one", "get_ns", "get_misses", get_cold },
	{ "GET, value copied", "get_copy_ns", "get_copy_misses", get_copies },
	{ "GET, batches of 16", "get_batch_ns", "get_batch_misses", get_batch },
	{ "GET, working set in L2", "get_hot_ns", "get_hot_misses", get_hot },
	{ "SET, overwriting", "set_ns", "set_misses", set_random },
	{ "INCR, 100,000 counters", "incr_ns", "incr_misses", increment },
};

#define SUBJECTS (sizeof(subjects) / sizeof(subjects[0]))
#define READS 5 /* the first of them */

static void report_scaling(struct bench *b, struct zs_json *json)
{
	static const struct {
		const char *name;
		const char *key;
		double (*run)(struct bench *);
	} scaled[] = { { "GET", "get_scaling", get_cold }, { "SET", "set_scaling", set_random } };

	for (unsigned s = 0; s < 2; s++) {
		double ratios[ROUNDS];

		for (unsigned r = 0; r < ROUNDS; r++) {
			double one = rate(b, scaled[s].run, 1);

			ratios[r] = rate(b, scaled[s].run, 2) / one;
		}
		printf("%-26s two threads do %.2f times the work of one\n", scaled[s].name, median(ratios, ROUNDS));
		if (json)
			zs_json_real(json, scaled[s].key, ratios[ROUNDS / 2]);
	}
}

/* The median of what a subject took over what a miss took in the same round: minutes differ more than subjects. */
static double ratio(const double *values, const double *misses)
{
	double ratios[ROUNDS];

	for (unsigned r = 0; r < ROUNDS; r++)
		ratios[r] = values[r] / misses[r];
	return median(ratios, ROUNDS);
}

/* Milliseconds for ending a group of a million objects at once, in an engine of its own. */
static double drop_once(struct zs_thread *thread, uint64_t objects)
{
	uint8_t key[KEY_SIZE];
	uint8_t value[4000] = { 0 };
	struct zs_set set = {
		.key = key,
		.key_size = KEY_SIZE,
		.value = value,
		.value_size = value_size,
		.flags = ZS_SET_GROUP,
		.group = "group",
		.group_size = 5,
	};
	uint64_t dropped = 0;
	uint64_t begin;

	for (uint64_t i = 0; i < objects; i++) {
		make_key(key, i);
		while (zs_set(thread, &set, NULL) == ZS_EAGAIN)
			zs_thread_upkeep(thread, 100);
		if (i % 64 == 0)
			zs_thread_upkeep(thread, 10);
	}
	begin = now_ns();
	zs_drop(thread, "group", 5, &dropped);
	begin = now_ns() - begin;
	if (dropped != objects) {
		fprintf(stderr, "bench-engine: %llu of %llu objects of the group were dropped\n",
			(unsigned long long)dropped, (unsigned long long)objects);
		exit(1);
	}
	return (double)begin / 1e6;
}

static void report_drop(struct zs_json *json)
{
	struct zs_engine_options options;
	struct zs_engine *engine;
	struct zs_thread *thread;
	double ms[DROPS];
	char why[256];

	zs_engine_options_init(&options);
	options.memory = DROP_OBJECTS * (KEY_SIZE + value_size + 16) * 2;
	if (zs_engine_open(&options, &engine, why, sizeof(why))) {
		fprintf(stderr, "bench-engine: %s\n", why);
		exit(1);
	}
	thread = zs_thread_attach(engine);
	for (unsigned i = 0; i < DROPS; i++)
		ms[i] = drop_once(thread, DROP_OBJECTS);
	printf("%-26s %7.2f ms\n", "drop of a group of 1 M", median(ms, DROPS));
	if (json)
		zs_json_real(json, "drop_ms", median(ms, DROPS));
	zs_thread_detach(thread);
	zs_engine_close(engine);
}

static void report(struct bench *b)
{
	double ns[SUBJECTS][ROUNDS];
	double of_a_miss[SUBJECTS];
	unsigned count = reads_only ? READS : SUBJECTS;
	struct zs_json json;
	struct zs_stats stats;

	for (unsigned r = 0; r < ROUNDS; r++) {
		for (unsigned s = 0; s < count; s++)
			ns[s][r] = subjects[s].run(b);
	}
	zs_engine_stats(b->engine, &stats);
	if (json_path && !zs_json_open(&json, json_path)) {
		perror(json_path);
		exit(1);
	}
	for (unsigned s = 0; s < count; s++)
		of_a_miss[s] = ratio(ns[s], ns[0]);
	printf("%llu objects of %d + %llu bytes, %llu MB, %s\n", (unsigned long long)stats.objects, KEY_SIZE,
	       (unsigned long long)value_size, (unsigned long long)(memory >> 20), stats.page_kind);
	for (unsigned s = 0; s < count; s++) {
		double m = median(ns[s], ROUNDS);

		printf("%-26s %7.1f ns %6.2f of a miss\n", subjects[s].name, m, of_a_miss[s]);
		if (json_path)
			zs_json_real(&json, subjects[s].key, m);
		if (json_path)
			zs_json_real(&json, subjects[s].ratio_key, of_a_miss[s]);
	}
	if (!reads_only) {
		report_scaling(b, json_path ? &json : NULL);
		report_drop(json_path ? &json : NULL);
	}
	if (json_path && !zs_json_close(&json)) {
		perror(json_path);
		exit(1);
	}
}

static uint8_t *draw_keys(uint64_t among, uint64_t seed)
{
	struct zs_random random = { seed };
	uint8_t *keys = malloc(operations * KEY_SIZE);

	if (!keys) {
		fprintf(stderr, "bench-engine: not enough memory for %llu keys\n", (unsigned long long)operations);
		exit(1);
	}
	for (uint64_t i = 0; i < operations; i++)
		make_key(keys + i * KEY_SIZE, zs_random_below(&random, among));
	return keys;
}

int main(int argc, char **argv)
{
	struct zs_engine_options options;
	struct bench bench = { .objects = 0 };
	char why[256];

	zs_flags_parse(&program, argc, argv);
	zs_engine_options_init(&options);
	options.memory = memory;
	if (zs_engine_open(&options, &bench.engine, why, sizeof(why))) {
		fprintf(stderr, "bench-engine: %s\n", why);
		return 1;
	}
	bench.thread = zs_thread_attach(bench.engine);
	fill(&bench);
	if (gets_only)
		operations = gets_only;
	bench.keys = draw_keys(bench.objects, 1);
	bench.hot_keys = draw_keys(hot_objects < bench.objects ? hot_objects : bench.objects, 2);
	if (gets_only)
		get_cold(&bench);
	else
		report(&bench);
	free(bench.keys);
	free(bench.hot_keys);
	zs_thread_detach(bench.thread);
	zs_engine_close(bench.engine);
	return 0;
}
