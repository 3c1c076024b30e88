/*
 * Random operations on the engine and on a plain dictionary, with the clock under control: no difference is
 * allowed.
 *
 *   engine_model [--mode roomy|tight] [--ops N] [--seed S] [--shape NAME] [--every N]
 *
 * roomy: memory is so large that nothing is evicted, so every key must be there. tight: it is not; any key
 * may be missed, but what is found must be the latest value, and what was missed once must never come back.
 * Each run goes through all shapes of objects (or the one named) with its share of the operations.
 * --every: look at all keys after every N operations, to find out where a difference begins; else eight times.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/engine/model_ops.h"

#define DAY UINT64_C(86400000)

static const struct zs_model_shape shapes[] = {
	{ "uniform", 20000, 128, 128, 128, 128, false }, { "small", 20000, 0, 40, 0, 200, false },
	{ "mixed", 12000, 32, 512, 0, 3500, false },	 { "numbers", 20000, 0, 24, 0, 100, true },
	{ "large", 3000, 900, 2100, 0, 3500, false },
};

/* The operations and how often each comes. */
static const struct operation {
	const char *name;
	void (*run)(struct zs_model_run *run);
	unsigned weight;
} operations[] = {
	{ "get", zs_model_op_get, 30000 },
	{ "batch", zs_model_op_batch, 2000 },
	{ "set", zs_model_op_set, 30000 },
	{ "delete", zs_model_op_delete, 5000 },
	{ "increment", zs_model_op_increment, 9000 },
	{ "update", zs_model_op_update, 6000 },
	{ "expire", zs_model_op_expire, 9000 },
	{ "drop", zs_model_op_drop, 40 },
	{ "groups", zs_model_op_groups, 20 },
	{ "flush", zs_model_op_flush, 2 },
	{ "scan", zs_model_op_scan, 600 },
	{ "random", zs_model_op_random, 600 },
	{ "clock", zs_model_op_clock, 1000 },
	{ "upkeep", zs_model_op_upkeep, 3000 },
	{ "quiesce", zs_model_op_quiesce, 5000 },
	{ "sleep", zs_model_op_sleep, 100 },
	{ "stats", zs_model_op_stats, 20 },
	{ "ballast", zs_model_op_ballast, 3000 },
};

enum { OPERATIONS = sizeof(operations) / sizeof(operations[0]) };

static void step(struct zs_model_run *run)
{
	uint64_t total = 0, drawn;
	unsigned i = 0;

	for (unsigned k = 0; k < OPERATIONS; k++)
		total += operations[k].weight;
	drawn = draw_below(run, total);
	while (drawn >= operations[i].weight)
		drawn -= operations[i++].weight;
	operations[i].run(run);
}

static void check_everything(struct zs_model_run *run)
{
	uint64_t found = 0;

	for (unsigned key = 0; key < run->model.keys; key++) {
		uint8_t bytes[ZS_MODEL_KEY_MAX];
		struct zs_view view;
		int result = zs_get(run->model.thread, bytes, zs_model_key(key, bytes), ZS_READ_PEEK, &view);

		zs_model_check(&run->model, key, result == ZS_OK, &view);
		found += result == ZS_OK;
	}
	/* More may be counted: what has expired, until its slab is visited. */
	if (found > zs_engine_count(run->model.engine))
		zs_model_fail(&run->model, ZS_MODEL_NO_KEY,
			      "%" PRIu64 " objects were found, the engine counts %" PRIu64, found,
			      zs_engine_count(run->model.engine));
}

static void settle(struct zs_model_run *run)
{
	unsigned calls = 0;

	zs_model_release(&run->model);
	zs_thread_quiesce(run->model.thread);
	while (zs_thread_upkeep(run->model.thread, 1000)) {
		if (++calls == 1000000)
			zs_model_fail(&run->model, ZS_MODEL_NO_KEY, "upkeep never ends");
	}
}

/*
 * The end: all deadlines pass, everything left is counted, then deleted, and its memory must be free again.
 */
static void finish(struct zs_model_run *run)
{
	uint64_t left = 0, payload = 0, count;
	struct zs_stats stats;

	check_everything(run);
	zs_model_release(&run->model);
	for (unsigned hour = 0; hour < 40 * 24; hour++) {
		zs_test_clock_advance(&run->model.clock, DAY / 24);
		settle(run);
	}
	check_everything(run);
	for (unsigned key = 0; key < run->model.keys; key++) {
		const struct zs_model_entry *e = &run->model.entries[key];
		uint8_t bytes[ZS_MODEL_KEY_MAX];

		left += e->present;
		payload += e->present ? zs_model_key(key, bytes) + (e->number ? 8 : e->size) : 0;
	}
	zs_engine_stats(run->model.engine, &stats);
	count = zs_engine_count(run->model.engine);
	if (count != left || stats.objects != left || stats.objects_with_deadline)
		zs_model_fail(&run->model, ZS_MODEL_NO_KEY,
			      "all deadlines are over: %" PRIu64 " objects are left, the engine counts %" PRIu64
			      " (%" PRIu64 " with a deadline)",
			      left, count, stats.objects_with_deadline);
	if (stats.payload_bytes != payload)
		zs_model_fail(&run->model, ZS_MODEL_NO_KEY, "payload is %" PRIu64 " bytes, the engine counts %" PRIu64,
			      payload, stats.payload_bytes);
	for (unsigned key = 0; key < run->model.keys; key++) {
		uint8_t bytes[ZS_MODEL_KEY_MAX];

		zs_delete(run->model.thread, bytes, zs_model_key(key, bytes), NULL);
		zs_model_remove(&run->model, key);
		zs_thread_quiesce(run->model.thread);
		run->model.held_count = 0;
	}
	settle(run);
	zs_test_clock_advance(&run->model.clock, 1000);
	settle(run);
	zs_engine_stats(run->model.engine, &stats);
	if (stats.objects || stats.index_used || stats.payload_bytes)
		zs_model_fail(&run->model, ZS_MODEL_NO_KEY,
			      "everything was deleted: %" PRIu64 " objects, %" PRIu64 " entries are left",
			      stats.objects, stats.index_used);
}

static void open_engine(struct zs_model_run *run)
{
	struct zs_engine_options options;
	char why[256] = "";

	zs_test_clock_init(&run->model.clock);
	zs_engine_options_init(&options);
	options.memory = run->model.evicts ? ZS_MEMORY_MIN : 256u << 20;
	options.policy = (enum zs_policy)draw_below(run, 3);
	options.clock = &run->model.clock.clock;
	options.seed = run->model.seed;
	options.huge_pages = false;
	if (zs_engine_open(&options, &run->model.engine, why, sizeof(why))) {
		fprintf(stderr, "cannot open an engine: %s\n", why);
		exit(1);
	}
	run->model.thread = zs_thread_attach(run->model.engine);
	if (!run->model.thread) {
		fprintf(stderr, "cannot attach a thread\n");
		exit(1);
	}
}

static void run_shape(const struct zs_model_shape *shape, bool evicts, uint64_t seed, uint64_t ops, uint64_t every)
{
	struct zs_model_run *run = calloc(1, sizeof(*run));
	char name[64];
	struct zs_stats stats;

	if (!run)
		exit(1);
	snprintf(name, sizeof(name), "--mode %s --shape %s", evicts ? "tight" : "roomy", shape->name);
	run->shape = shape;
	run->model.name = name;
	run->model.seed = seed;
	run->model.random = seed * 0x9e3779b97f4a7c15u + 1;
	run->model.evicts = evicts;
	run->model.keys = shape->keys;
	run->model.entries = calloc(shape->keys, sizeof(*run->model.entries));
	if (!run->model.entries)
		exit(1);
	open_engine(run);
	for (run->model.op = 0; run->model.op < ops; run->model.op++) {
		step(run);
		if (run->model.op % every == every - 1)
			check_everything(run);
	}
	zs_engine_stats(run->model.engine, &stats);
	finish(run);
	printf("%s --seed %" PRIu64 " --ops %" PRIu64 ": no difference (%" PRIu64 " evicted, %" PRIu64
	       " expired, %" PRIu64 " moved, %" PRIu64 " resizes)\n",
	       name, seed, ops, stats.evicted_objects, stats.expired_objects,
	       stats.moved_evict + stats.moved_merge + stats.moved_lifetime, stats.index_resizes);
	zs_thread_detach(run->model.thread);
	zs_engine_close(run->model.engine);
	for (unsigned key = 0; key < shape->keys; key++)
		free(run->model.entries[key].value);
	free(run->model.entries);
	free(run);
}

static int usage(const char *program)
{
	fprintf(stderr,
		"usage: %s [--mode roomy|tight] [--ops N] [--seed S] [--shape NAME] [--every N]\nshapes:", program);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		fprintf(stderr, " %s", shapes[i].name);
	fprintf(stderr, "\n");
	return 2;
}

int main(int argc, char **argv)
{
	enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };
	uint64_t ops = 300000, seed = 1, every = 0;
	const char *mode = NULL, *only = NULL;
	unsigned parts = 0;

	for (int i = 1; i < argc; i += 2) {
		if (i + 1 == argc)
			return usage(argv[0]);
		if (strcmp(argv[i], "--mode") == 0)
			mode = argv[i + 1];
		else if (strcmp(argv[i], "--ops") == 0)
			ops = strtoull(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--seed") == 0)
			seed = strtoull(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--every") == 0)
			every = strtoull(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--shape") == 0)
			only = argv[i + 1];
		else
			return usage(argv[0]);
	}
	if (mode && strcmp(mode, "roomy") != 0 && strcmp(mode, "tight") != 0)
		return usage(argv[0]);
	for (unsigned pass = 0, total = 0; pass < 2; pass++, total = parts) {
		for (unsigned i = 0; i < 2 * SHAPES; i++) {
			bool evicts = i % 2;

			if ((only && strcmp(only, shapes[i / 2].name) != 0) ||
			    (mode && strcmp(mode, evicts ? "tight" : "roomy") != 0))
				continue;
			if (!pass)
				parts++;
			else
				run_shape(&shapes[i / 2], evicts, seed, ops / total,
					  every ? every : ops / total / 8 + 1);
		}
	}
	return parts ? 0 : usage(argv[0]);
}
