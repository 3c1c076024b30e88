/* An engine with time under the test's control, whose memory the readers of common/ look at. */
#ifndef ZS_TEST_UNIT_COMMON_ARENA_FIXTURE_H
#define ZS_TEST_UNIT_COMMON_ARENA_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/reader.h"
#include "server/engine/internal.h"

enum { QUARANTINE_MS = 20 };

#define NODE_MS 1767258123457u

struct arena {
	struct zs_engine *engine;
	struct zs_thread *thread;
	struct zs_clock clock;
	uint64_t ns;
};

static inline uint64_t arena_ms(void *context)
{
	return NODE_MS + ((struct arena *)context)->ns / 1000000;
}

/* Looking at the clock takes time, or background work with a budget would never end. */
static inline uint64_t arena_ns(void *context)
{
	return ((struct arena *)context)->ns += 100;
}

static inline struct arena *arena_open(void)
{
	struct arena *arena = calloc(1, sizeof(*arena));
	struct zs_engine_options options;
	char why[256];

	assert_non_null(arena);
	arena->ns = 1000000000;
	arena->clock = (struct zs_clock){ arena_ms, arena_ns, arena };
	zs_engine_options_init(&options);
	options.memory = ZS_MEMORY_MIN;
	options.clock = &arena->clock;
	options.quarantine_ms = QUARANTINE_MS;
	options.huge_pages = false;
	options.seed = 0x5eed;
	assert_int_equal(zs_engine_open(&options, &arena->engine, why, sizeof(why)), ZS_OK);
	arena->thread = zs_thread_attach(arena->engine);
	assert_non_null(arena->thread);
	zs_store_release(&arena->engine->remote_until_ms, UINT64_MAX);
	return arena;
}

static inline void arena_close(struct arena *arena)
{
	zs_thread_detach(arena->thread);
	zs_engine_close(arena->engine);
	free(arena);
}

static inline void arena_advance(struct arena *arena, uint64_t ns)
{
	arena->ns += ns;
	zs_thread_quiesce(arena->thread);
}

static inline void arena_put(struct arena *arena, const char *key, const char *value, uint64_t deadline)
{
	struct zs_set set = {
		.key = key,
		.key_size = strlen(key),
		.value = value,
		.value_size = strlen(value),
		.deadline = deadline,
	};

	assert_int_equal(zs_set(arena->thread, &set, NULL), ZS_OK);
	zs_thread_quiesce(arena->thread);
}

/* `count` keys "key:000001" ..., all with values of `size` bytes that begin with the key. */
static inline void arena_fill(struct arena *arena, unsigned first, unsigned count, size_t size)
{
	char key[32];
	char value[512];

	assert_true(size < sizeof(value));
	for (unsigned i = first; i < first + count; i++) {
		snprintf(key, sizeof(key), "key:%06u", i);
		snprintf(value, sizeof(value), "%-*s", (int)size, key);
		arena_put(arena, key, value, 0);
	}
}

#endif
