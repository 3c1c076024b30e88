/*
 * The operations of the model test: each draws what it does, does it to the engine and to the dictionary, and
 * ends the program where the two differ.
 */
#ifndef ZS_TEST_ENGINE_MODEL_OPS_H
#define ZS_TEST_ENGINE_MODEL_OPS_H

#include <stdio.h>

#include "test/engine/model.h"

/* How large values are: drawn from `common` mostly, from `rare` in one of sixteen. */
struct zs_model_shape {
	const char *name;
	unsigned keys;
	unsigned common_least, common_most;
	unsigned rare_least, rare_most;
	bool numbers; /* half of all values are decimals */
};

struct zs_model_run {
	struct zs_model model;
	const struct zs_model_shape *shape;
	uint64_t cursor;
	bool walking;
	uint64_t ballast; /* objects written that are nobody's, to keep a small memory full */
};

/* A number below the bound. */
static inline uint64_t draw_below(struct zs_model_run *run, uint64_t bound)
{
	return zs_test_below(&run->model.random, bound);
}

/* Any key. */
static inline unsigned draw_key(struct zs_model_run *run)
{
	/* Half of the operations meet on a sixteenth of the keys, so that they meet at all. */
	return (unsigned)draw_below(run, draw_below(run, 2) ? run->shape->keys : run->shape->keys / 16);
}

/* The name of a group; `buffer` has 24 bytes. */
static inline size_t group_name(int group, char *buffer)
{
	return (size_t)snprintf(buffer, 24, "group:%d", group);
}

/* Operations that write to one key: model_write.c. */
void zs_model_op_set(struct zs_model_run *run);
void zs_model_op_delete(struct zs_model_run *run);
void zs_model_op_increment(struct zs_model_run *run);
void zs_model_op_update(struct zs_model_run *run);
void zs_model_op_expire(struct zs_model_run *run);

/* Reads, and operations on many objects or on the engine: model_ops.c. */
void zs_model_op_get(struct zs_model_run *run);
void zs_model_op_batch(struct zs_model_run *run);
void zs_model_op_drop(struct zs_model_run *run);
void zs_model_op_groups(struct zs_model_run *run);
void zs_model_op_flush(struct zs_model_run *run);
void zs_model_op_scan(struct zs_model_run *run);
void zs_model_op_random(struct zs_model_run *run);
void zs_model_op_clock(struct zs_model_run *run);
void zs_model_op_upkeep(struct zs_model_run *run);
void zs_model_op_quiesce(struct zs_model_run *run);
void zs_model_op_sleep(struct zs_model_run *run);
void zs_model_op_stats(struct zs_model_run *run);
void zs_model_op_ballast(struct zs_model_run *run);

#endif
