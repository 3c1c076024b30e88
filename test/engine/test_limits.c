/* Options and their sentences, threads, full memory, and figures that add up. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test/engine/support.h"

static void expect_refused(const char *what, const struct zs_engine_options *options, int error, const char *word)
{
	struct zs_engine *engine = (struct zs_engine *)options; /* anything but NULL */
	char why[256] = "";
	int result = zs_engine_open(options, &engine, why, sizeof(why));

	if (result != error)
		fail_msg("%s: %s instead of %s", what, zs_error_name(result), zs_error_name(error));
	assert_null(engine);
	if (strlen(why) < 10 || !strstr(why, word))
		fail_msg("%s: the sentence \"%s\" does not name \"%s\"", what, why, word);
	engine = (struct zs_engine *)options;
	assert_int_equal(zs_engine_open(options, &engine, NULL, 0), error);
	assert_null(engine);
	/* A short buffer is filled as far as it goes. */
	memset(why, 'x', sizeof(why));
	assert_int_equal(zs_engine_open(options, &engine, why, 8), error);
	assert_int_equal(why[7], '\0');
	assert_int_equal(why[8], 'x');
}

static void bad_options_are_explained(void **state)
{
	struct zs_engine_options options;

	(void)state;
	zs_engine_options_init(&options);
	options.memory = ZS_MEMORY_MIN - 1;
	expect_refused("memory below the minimum", &options, ZS_EINVAL, "memory");
	options.memory = 0;
	expect_refused("no memory", &options, ZS_EINVAL, "memory");
	zs_engine_options_init(&options);
	options.threads = 0;
	expect_refused("no threads", &options, ZS_EINVAL, "threads");
	options.threads = 257;
	expect_refused("too many threads", &options, ZS_EINVAL, "threads");
	zs_engine_options_init(&options);
	options.policy = (enum zs_policy)99;
	expect_refused("no such policy", &options, ZS_EINVAL, "policy");
}

/* More than any address space, and more than a machine has: refused with a sentence, not found out by a
 * crash. */
static void memory_that_cannot_be_had(void **state)
{
	struct zs_engine_options options;
	struct zs_engine *engine = NULL;
	char why[256];

	(void)state;
	for (unsigned shift = 48; shift < 64; shift += 5) {
		int result;

		zs_engine_options_init(&options);
		options.memory = 1ull << shift;
		why[0] = '\0';
		result = zs_engine_open(&options, &engine, why, sizeof(why));
		if (result != ZS_ENOMEM && result != ZS_EINVAL)
			fail_msg("2^%u bytes: %s", shift, zs_error_name(result));
		assert_null(engine);
		assert_true(strlen(why) > 10);
	}
}

static void the_smallest_engine_works(void **state)
{
	struct zs_fixture *f = zs_fixture_open(ZS_MEMORY_MIN, ZS_POLICY_S3FIFO);
	static uint8_t value[ZS_OBJECT_MAX];
	struct zs_set set = { .value = value };
	struct zs_stats stats;
	uint64_t random = 3;
	char key[24];

	(void)state;
	for (unsigned i = 0; i < 60000; i++) {
		set.key = key;
		set.key_size = (size_t)snprintf(key, sizeof(key), "object:%u", i);
		set.value_size = zs_test_below(&random, i % 50 ? 200 : ZS_OBJECT_MAX - 24);
		assert_int_equal(zs_test_set(f->thread, &set, NULL), ZS_OK);
		zs_thread_upkeep(f->thread, 20);
	}
	zs_engine_stats(f->engine, &stats);
	zs_test_expect_sums(&stats);
	assert_true(stats.arena_bytes <= ZS_MEMORY_MIN);
	assert_true(stats.evicted_objects > 0);
	assert_true(stats.objects > 1000);
	zs_fixture_close(f);
}

static void defaults_are_as_written(void **state)
{
	struct zs_engine_options options;

	(void)state;
	memset(&options, 0xff, sizeof(options));
	zs_engine_options_init(&options);
	assert_int_equal(options.memory, 1u << 30);
	assert_int_equal(options.policy, ZS_POLICY_S3FIFO);
	assert_int_equal(options.threads, 64);
	assert_int_equal(options.quarantine_ms, 20);
	assert_null(options.clock);
	assert_int_equal(options.seed, 0);
	assert_true(options.huge_pages);
}

static void threads_come_and_go(void **state)
{
	struct zs_engine_options options;
	struct zs_engine *engine;
	struct zs_thread *threads[3];

	(void)state;
	zs_engine_options_init(&options);
	options.memory = 8u << 20;
	options.threads = 3;
	assert_int_equal(zs_engine_open(&options, &engine, NULL, 0), ZS_OK);
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 3; i++) {
			threads[i] = zs_thread_attach(engine);
			assert_non_null(threads[i]);
		}
		assert_null(zs_thread_attach(engine));
		/* What one writes all read, also with the writer gone. */
		assert_int_equal(zs_test_put(threads[round % 3], "k", "v", 0), ZS_OK);
		zs_thread_detach(threads[round % 3]);
		for (int i = 0; i < 3; i++) {
			if (i != round % 3) {
				zs_test_expect(threads[i], "k", "v");
				zs_thread_detach(threads[i]);
			}
		}
	}
	zs_engine_close(engine);
}

/* Fills with objects of 16 + 128 bytes until a write is refused; returns how many went in. */
static unsigned fill(struct zs_fixture *f, unsigned from)
{
	char key[17], value[128];
	struct zs_set set = { .key = key, .key_size = 16, .value = value, .value_size = sizeof(value) };

	memset(value, 'v', sizeof(value));
	for (unsigned i = from; i < from + 1000000; i++) {
		int result;

		snprintf(key, sizeof(key), "objec:%010u", i);
		result = zs_test_set(f->thread, &set, NULL);
		if (result == ZS_EFULL)
			return i - from;
		if (result)
			fail_msg("object %u: %s instead of ZS_EFULL", i, zs_error_name(result));
		zs_thread_quiesce(f->thread);
	}
	fail_msg("a million objects went into a node that cannot hold them");
	return 0;
}

static void noeviction_refuses_and_recovers(void **state)
{
	struct zs_fixture *f = zs_fixture_open(16u << 20, ZS_POLICY_NOEVICTION);
	struct zs_stats stats;
	char key[17];
	unsigned stored = fill(f, 0), again;

	(void)state;
	zs_engine_stats(f->engine, &stats);
	zs_test_expect_sums(&stats);
	assert_int_equal(stats.objects, stored);
	assert_int_equal(stats.evicted_objects, 0);
	/* 16 MB hold 110,376 objects of 152 bytes; a small engine may lose a tenth to what every engine
	 * needs. */
	if (stored < 99000)
		fail_msg("only %u objects of 144 bytes fit 16 MB", stored);
	for (unsigned i = 0; i < stored; i++) {
		struct zs_view view;

		snprintf(key, sizeof(key), "objec:%010u", i);
		if (zs_get(f->thread, key, 16, 0, &view))
			fail_msg("object %u of %u is gone, though nothing is evicted", i, stored);
	}
	/* What is there can be read, deleted and expired; room that this frees is found again. */
	for (unsigned i = 0; i < stored; i++) {
		snprintf(key, sizeof(key), "objec:%010u", i);
		if (i % 2)
			assert_int_equal(zs_delete(f->thread, key, 16, NULL), ZS_OK);
	}
	zs_fixture_settle(f);
	again = fill(f, 2000000);
	if (again < stored / 2 * 8 / 10)
		fail_msg("%u objects were deleted, but only %u new ones found room", stored / 2, again);
	/* Another policy, from now on: writes succeed. */
	assert_int_equal(zs_engine_policy(f->engine), ZS_POLICY_NOEVICTION);
	zs_engine_set_policy(f->engine, ZS_POLICY_LRU);
	assert_int_equal(zs_engine_policy(f->engine), ZS_POLICY_LRU);
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(key, sizeof(key), "extra:%010u", i);
		assert_int_equal(zs_test_put(f->thread, key, key, 0), ZS_OK);
		zs_test_expect(f->thread, key, key);
		zs_thread_quiesce(f->thread);
	}
	zs_engine_stats(f->engine, &stats);
	assert_true(stats.evicted_objects > 0);
	zs_fixture_close(f);
}

/* A thread that never quiesces keeps its views: the others get ZS_EAGAIN at last, and nothing that it saw
 * changes. */
static void views_are_worth_more_than_room(void **state)
{
	struct zs_fixture *f = zs_fixture_open(ZS_MEMORY_MIN, ZS_POLICY_S3FIFO);
	struct zs_thread *holder = zs_thread_attach(f->engine);
	static char value[1000];
	struct zs_set set = { .key_size = 8, .value = value, .value_size = sizeof(value) };
	struct zs_view view;
	char key[9];
	int result = ZS_OK;

	(void)state;
	memset(value, 'h', sizeof(value));
	set.key = "held:key";
	assert_int_equal(zs_test_set(f->thread, &set, NULL), ZS_OK);
	zs_thread_quiesce(holder);
	assert_int_equal(zs_get(holder, "held:key", 8, 0, &view), ZS_OK);
	memset(value, 'o', sizeof(value));
	for (unsigned i = 0; i < 20000 && result == ZS_OK; i++) {
		snprintf(key, sizeof(key), "%08u", i);
		set.key = key;
		result = zs_set(f->thread, &set, NULL);
		zs_thread_upkeep(f->thread, 50);
	}
	assert_int_equal(result, ZS_EAGAIN);
	for (unsigned i = 0; i < view.size; i++) {
		if (view.data[i] != 'h')
			fail_msg("byte %u of a view that is still held changed to '%c'", i, view.data[i]);
	}
	zs_thread_quiesce(holder);
	assert_int_equal(zs_test_set(f->thread, &set, NULL), ZS_OK);
	zs_thread_detach(holder);
	zs_fixture_close(f);
}

/* The same with the thread asleep: it holds nobody up. */
static void offline_threads_hold_nobody_up(void **state)
{
	struct zs_fixture *f = zs_fixture_open(ZS_MEMORY_MIN, ZS_POLICY_S3FIFO);
	struct zs_thread *sleeper = zs_thread_attach(f->engine);
	char key[24];

	(void)state;
	zs_thread_offline(sleeper);
	for (unsigned i = 0; i < 100000; i++) {
		snprintf(key, sizeof(key), "object:%09u", i);
		assert_int_equal(zs_test_put(f->thread, key, "a value of some forty bytes, to fill it up", 0), ZS_OK);
		zs_thread_quiesce(f->thread);
	}
	zs_thread_online(sleeper);
	zs_test_expect(sleeper, key, "a value of some forty bytes, to fill it up");
	zs_thread_detach(sleeper);
	zs_fixture_close(f);
}

static void figures_add_up(void **state)
{
	struct zs_fixture *f = zs_fixture_open(64u << 20, ZS_POLICY_S3FIFO);
	uint64_t payload = 0, with_deadline = 0;
	struct zs_stats stats;
	char key[24];
	static const char text[] = "some text that is cut to many lengths, so that slabs of many shapes are used";

	(void)state;
	zs_engine_stats(f->engine, &stats);
	zs_test_expect_sums(&stats);
	assert_int_equal(stats.objects, 0);
	assert_true(stats.arena_bytes <= 64u << 20);
	assert_true(stats.superblock_bytes >= 1);
	assert_non_null(stats.page_kind);
	for (unsigned i = 0; i < 50000; i++) {
		struct zs_set set = { .key = key,
				      .value = text,
				      .value_size = i % sizeof(text),
				      .deadline = i % 3 ? zs_thread_now(f->thread) + 100000 + i : 0 };

		set.key_size = (size_t)snprintf(key, sizeof(key), "object:%u", i);
		assert_int_equal(zs_test_set(f->thread, &set, NULL), ZS_OK);
		payload += set.key_size + set.value_size;
		with_deadline += set.deadline != 0;
		zs_thread_quiesce(f->thread);
		if (i % 5000 == 0) {
			zs_engine_stats(f->engine, &stats);
			zs_test_expect_sums(&stats);
		}
	}
	zs_engine_stats(f->engine, &stats);
	assert_int_equal(stats.objects, 50000);
	assert_int_equal(zs_engine_count(f->engine), 50000);
	assert_int_equal(stats.objects_with_deadline, with_deadline);
	assert_int_equal(stats.payload_bytes, payload);
	assert_int_equal(stats.sets, 50000);
	assert_int_equal(stats.index_used, 50000);
	assert_true(stats.index_entries >= stats.index_used - stats.index_overflow);
	assert_true(stats.slab_bytes >= payload);
	assert_int_equal(stats.slab_bytes, stats.slabs * 4096);
	zs_engine_reset_stats(f->engine);
	zs_engine_stats(f->engine, &stats);
	assert_int_equal(stats.sets, 0);
	assert_int_equal(stats.objects, 50000);
	zs_flush(f->thread);
	zs_fixture_settle(f);
	zs_fixture_advance(f, 1000);
	zs_fixture_settle(f);
	zs_engine_stats(f->engine, &stats);
	zs_test_expect_sums(&stats);
	assert_int_equal(stats.payload_bytes, 0);
	assert_int_equal(stats.index_used, 0);
	zs_fixture_close(f);
}

static void cost_of_an_object(void **state)
{
	size_t previous = 0;

	(void)state;
	for (size_t value = 0; value <= ZS_OBJECT_MAX - 16; value++) {
		size_t cost = zs_object_cost(16, value, false);

		assert_true(cost >= value + 16);
		assert_true(cost <= 4096 + 64);
		assert_true(cost >= previous);
		assert_true(zs_object_cost(16, value, true) >= cost);
		previous = cost;
	}
	/* The size that the design is made for: at most 8 bytes more than the object itself. */
	assert_in_range(zs_object_cost(16, 128, true), 150, 152);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_options_are_explained),
		cmocka_unit_test(memory_that_cannot_be_had),
		cmocka_unit_test(defaults_are_as_written),
		cmocka_unit_test(the_smallest_engine_works),
		cmocka_unit_test(threads_come_and_go),
		cmocka_unit_test(noeviction_refuses_and_recovers),
		cmocka_unit_test(views_are_worth_more_than_room),
		cmocka_unit_test(offline_threads_hold_nobody_up),
		cmocka_unit_test(figures_add_up),
		cmocka_unit_test(cost_of_an_object),
	};

	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
