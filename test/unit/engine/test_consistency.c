/* Random work on a small engine, and after each part a look through all of its structures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/engine/internal.h"
#include "server/engine/verify.h"

struct world {
	struct zs_engine *engine;
	struct zs_thread *thread;
	uint64_t random;
	uint64_t now;
};

static uint64_t world_ms(void *context)
{
	return ((struct world *)context)->now;
}

static uint64_t world_ns(void *context)
{
	return ((struct world *)context)->now * 1000000;
}

static uint32_t draw(struct world *w, uint32_t below)
{
	w->random = w->random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((w->random >> 33) % below);
}

static void expect_consistent(struct world *w, const char *after)
{
	char what[256] = "";

	zs_thread_upkeep(w->thread, 10000);
	if (zs_engine_verify(w->engine, what, sizeof(what)))
		fail_msg("after %s: %s", after, what);
}

static void write_some(struct world *w, uint32_t keys, uint32_t size, unsigned count)
{
	char key[24];
	char value[1024];

	memset(value, 'v', sizeof(value));
	for (unsigned i = 0; i < count; i++) {
		struct zs_set set = { .key = key, .value = value, .value_size = size ? size : draw(w, 600) };

		set.key_size = (size_t)snprintf(key, sizeof(key), "key:%u", draw(w, keys));
		if (draw(w, 2))
			set.deadline = w->now + 1000 + draw(w, 100000);
		if (draw(w, 4) == 0) {
			set.flags = ZS_SET_GROUP;
			set.group = "group";
			set.group_size = 5;
		}
		switch (draw(w, 8)) {
		case 0:
			zs_delete(w->thread, key, set.key_size, NULL);
			break;
		case 1:
			zs_expire(w->thread, key, set.key_size, w->now + draw(w, 50000), 0, NULL);
			break;
		default:
			zs_set(w->thread, &set, NULL);
		}
		if (i % 32 == 0) {
			w->now += draw(w, 50);
			zs_thread_upkeep(w->thread, 20);
		}
	}
}

static void structures_stay_consistent(void **state)
{
	static const uint64_t memories[] = { 4u << 20, 64u << 20 };

	(void)state;
	for (unsigned m = 0; m < 2; m++) {
		struct world w = { .random = 7 + m, .now = 1700000000000ull };
		struct zs_clock clock = { world_ms, world_ns, &w };
		struct zs_engine_options options;

		zs_engine_options_init(&options);
		options.memory = memories[m];
		options.clock = &clock;
		options.seed = 99;
		assert_int_equal(zs_engine_open(&options, &w.engine, NULL, 0), ZS_OK);
		w.thread = zs_thread_attach(w.engine);
		for (unsigned round = 0; round < 12; round++) {
			write_some(&w, 20000, round % 3 ? 0 : 64, 8000);
			expect_consistent(&w, "writing");
			if (round % 4 == 1)
				zs_drop(w.thread, "group", 5, NULL);
			expect_consistent(&w, "dropping a group");
			if (round % 5 == 4)
				zs_flush(w.thread);
			expect_consistent(&w, "flushing");
			w.now += 30000;
			expect_consistent(&w, "expiry");
		}
		zs_thread_detach(w.thread);
		zs_engine_close(w.engine);
	}
}

/*
 * Objects become a tenth as large after the index got its exact fit: it cannot grow any more, the overflow list is
 * used, and objects are evicted for want of entries. Nothing that is there may become unreachable.
 */
static void a_full_index_overflows_and_loses_nothing(void **state)
{
	struct world w = { .random = 3, .now = 1700000000000ull };
	struct zs_clock clock = { world_ms, world_ns, &w };
	struct zs_engine_options options;
	struct zs_stats stats;
	bool overflowed = false;
	char key[24];

	(void)state;
	zs_engine_options_init(&options);
	options.memory = 4u << 20;
	options.clock = &clock;
	options.seed = 5;
	assert_int_equal(zs_engine_open(&options, &w.engine, NULL, 0), ZS_OK);
	w.thread = zs_thread_attach(w.engine);
	for (unsigned i = 0; i < 60000; i++) {
		struct zs_set set = { .key = key, .value = "0123456789", .value_size = 10 };
		char large[400] = "";

		set.key_size = (size_t)snprintf(key, sizeof(key), "%u", i);
		if (i < 12000) {
			set.value = large;
			set.value_size = sizeof(large);
		}
		for (unsigned tries = 0; zs_set(w.thread, &set, NULL) == ZS_EAGAIN; tries++) {
			if (tries == 1000)
				fail_msg("object %u finds no place", i);
			zs_thread_upkeep(w.thread, 100);
		}
		if (i % 16 == 0)
			zs_thread_upkeep(w.thread, 50);
		overflowed |= zs_load(&w.engine->parts[0].overflow->count) > 0;
		if (i % 10000 == 9999)
			expect_consistent(&w, "filling");
	}
	zs_engine_stats(w.engine, &stats);
	assert_true(overflowed);
	assert_true(stats.index_used * 10 > stats.index_entries * 9);
	zs_thread_detach(w.thread);
	zs_engine_close(w.engine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(structures_stay_consistent),
		cmocka_unit_test(a_full_index_overflows_and_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
