/*
 * Memory after an hour's worth of ordinary life: overwrites, deletions, new keys and sliding times to live at a steady
 * number of objects, on a clock of our own. What counts is the memory in use, dead slots and open slabs included.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/flags.h"
#include "bench/json.h"
#include "bench/random.h"
#include "server/engine/engine.h"

#define KEY_SIZE 16
#define TTL_MS 3600000u

static uint64_t memory = 256u << 20;
static uint64_t value_size = 128;
static double fill = 0.9;
static double touches = 6;
static const char *json_path;

static const struct zs_flag flags[] = {
	{ "memory", ZS_FLAG_NUMBER, &memory, ZS_MEMORY_MIN, 1e15, "BYTES", "arena of the engine (256m)" },
	{ "value-size", ZS_FLAG_NUMBER, &value_size, 0, 4000, "BYTES", "bytes of a value (128)" },
	{ "fill", ZS_FLAG_REAL, &fill, 0.01, 0.95, "SHARE", "of the memory that the objects take (0.9)" },
	{ "touches", ZS_FLAG_REAL, &touches, 0, 1000, "N", "operations on each key in the hour (6)" },
	{ "json", ZS_FLAG_TEXT, &json_path, 0, 0, "FILE", "write the figures there, too" },
};

static const struct zs_program program = { "bench-steady",
					   "Bytes per object after an hour of writes on a virtual clock.", flags,
					   sizeof(flags) / sizeof(flags[0]) };

struct life {
	struct zs_engine *engine;
	struct zs_thread *thread;
	struct zs_random random;
	uint64_t now_us;
	uint64_t keys;	/* that are there */
	uint64_t first; /* keys are numbered first, first + 1, ... */
};

static uint64_t life_ms(void *context)
{
	return ((struct life *)context)->now_us / 1000;
}

static uint64_t life_ns(void *context)
{
	return ((struct life *)context)->now_us * 1000;
}

static void make_key(char key[KEY_SIZE + 1], uint64_t number)
{
	snprintf(key, KEY_SIZE + 1, "k%015llu", (unsigned long long)(number % 1000000000000000ull));
}

static void store(struct life *life, uint64_t number)
{
	static char value[4000];
	char key[KEY_SIZE + 1];
	int error;
	struct zs_set set = {
		.key = key,
		.key_size = KEY_SIZE,
		.value = value,
		.value_size = value_size,
		.deadline = zs_thread_now(life->thread) + TTL_MS,
	};

	make_key(key, number);
	error = zs_set(life->thread, &set, NULL);
	for (unsigned tries = 0; error == ZS_EAGAIN && tries < 1000; tries++) {
		zs_thread_upkeep(life->thread, 100);
		error = zs_set(life->thread, &set, NULL);
	}
	if (error) {
		fprintf(stderr, "bench-steady: a write was refused: %s\n", zs_error_text(error));
		exit(1);
	}
}

/* One operation on a random key: 40 % overwrite, 10 % delete and a new key, 50 % a sliding time to live. */
static void live(struct life *life)
{
	uint64_t number = life->first + zs_random_below(&life->random, life->keys);
	uint64_t kind = zs_random_below(&life->random, 10);
	char key[KEY_SIZE + 1];

	if (kind < 4) {
		store(life, number);
	} else if (kind < 5) {
		make_key(key, life->first++);
		zs_delete(life->thread, key, KEY_SIZE, NULL);
		store(life, life->first + life->keys - 1);
	} else {
		make_key(key, number);
		zs_expire(life->thread, key, KEY_SIZE, zs_thread_now(life->thread) + TTL_MS, 0, NULL);
	}
}

static double overhead(const struct life *life, struct zs_stats *s)
{
	zs_engine_stats(life->engine, s);
	return (double)(s->arena_bytes - s->free_bytes + s->outside_bytes - s->payload_bytes) / (double)s->objects;
}

static void run_hour(struct life *life)
{
	uint64_t operations = (uint64_t)(touches * (double)life->keys);
	uint64_t step_us = 3600u * 1000000ull / (operations ? operations : 1);

	for (uint64_t i = 0; i < operations; i++) {
		live(life);
		life->now_us += step_us;
		if (i % 32 == 0)
			zs_thread_upkeep(life->thread, 20);
	}
	for (unsigned i = 0; i < 100; i++)
		zs_thread_upkeep(life->thread, 1000);
}

static void report(const struct zs_stats *s, double before, double after)
{
	struct zs_json json;

	printf("%llu objects of %d + %llu bytes in %llu MB\n", (unsigned long long)s->objects, KEY_SIZE,
	       (unsigned long long)value_size, (unsigned long long)(memory >> 20));
	printf("bytes per object beyond key and value: %.2f when filled, %.2f after an hour\n", before, after);
	printf("objects moved: %llu by merging, %llu at the end of their slab's time; %llu evicted, %llu expired\n",
	       (unsigned long long)s->moved_merge, (unsigned long long)s->moved_lifetime,
	       (unsigned long long)s->evicted_objects, (unsigned long long)s->expired_objects);
	if (!json_path)
		return;
	if (!zs_json_open(&json, json_path)) {
		perror(json_path);
		exit(1);
	}
	zs_json_real(&json, "filled", before);
	zs_json_real(&json, "after_an_hour", after);
	if (!zs_json_close(&json)) {
		perror(json_path);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	struct life life = { .random = { 1 }, .now_us = 1700000000000000ull };
	struct zs_clock clock = { life_ms, life_ns, &life };
	struct zs_engine_options options;
	struct zs_stats stats;
	char why[256];
	double before;
	double after;

	zs_flags_parse(&program, argc, argv);
	zs_engine_options_init(&options);
	options.memory = memory;
	options.clock = &clock;
	if (zs_engine_open(&options, &life.engine, why, sizeof(why))) {
		fprintf(stderr, "bench-steady: %s\n", why);
		return 1;
	}
	life.thread = zs_thread_attach(life.engine);
	life.keys = (uint64_t)(fill * (double)memory / (double)(KEY_SIZE + value_size + 8));
	for (uint64_t i = 0; i < life.keys; i++) {
		store(&life, i);
		if (i % 32 == 0)
			zs_thread_upkeep(life.thread, 20);
	}
	before = overhead(&life, &stats);
	run_hour(&life);
	after = overhead(&life, &stats);
	report(&stats, before, after);
	zs_thread_detach(life.thread);
	zs_engine_close(life.engine);
	return 0;
}
