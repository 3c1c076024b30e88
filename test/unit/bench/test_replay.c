#include "test/unit/bench/cmocka_all.h"

#include "bench/replay.h"
#include "common/error.h"

#define KEYS 5000
#define ACCESSES 50000

static void open_trace(struct zs_trace *trace, const char *name)
{
	assert_int_equal(zs_trace_open(trace, zs_trace_find(name), KEYS, ACCESSES, 1000, 1), ZS_OK);
}

/* Where nothing has to be evicted and nothing expires, every cache must have the same hits. */
static void test_everything_fits(void **state)
{
	static const char *const names[] = { "zipf", "scan", "c18", "c40" };

	(void)state;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct zs_replay_result engine;
		struct zs_replay_result yardstick;
		struct zs_trace trace;

		open_trace(&trace, names[i]);
		assert_int_equal(zs_replay_engine(&trace, ZS_POLICY_S3FIFO, 64u << 20, 0, &engine), ZS_OK);
		assert_int_equal(zs_replay_yardstick(&trace, ZS_YARDSTICK_S3FIFO, ACCESSES, 0, &yardstick), ZS_OK);
		assert_int_equal(engine.evicted, 0);
		assert_int_equal(engine.lookups, yardstick.lookups);
		assert_int_equal(engine.hits, yardstick.hits);
		assert_true(engine.hits > 0 && engine.hits < engine.lookups);
		zs_trace_close(&trace);
	}
}

/* Expiry on the virtual clock: the engine is early by at most 1 % of a TTL, so it loses a few hits, and gains none. */
static void test_expiry(void **state)
{
	struct zs_replay_result engine;
	struct zs_replay_result yardstick;
	struct zs_trace trace;

	(void)state;
	open_trace(&trace, "churn");
	assert_int_equal(zs_replay_engine(&trace, ZS_POLICY_LRU, 64u << 20, 0, &engine), ZS_OK);
	assert_int_equal(zs_replay_yardstick(&trace, ZS_YARDSTICK_LRU, ACCESSES, 0, &yardstick), ZS_OK);
	assert_true(engine.hits <= yardstick.hits);
	assert_true((double)engine.hits > 0.99 * (double)yardstick.hits);
	zs_trace_close(&trace);
}

static void test_warmup_is_not_counted(void **state)
{
	struct zs_replay_result result;
	struct zs_trace trace;

	(void)state;
	open_trace(&trace, "zipf");
	assert_int_equal(zs_replay_yardstick(&trace, ZS_YARDSTICK_LRU, 100, 0.3, &result), ZS_OK);
	assert_int_equal(result.lookups, ACCESSES * 7 / 10);
	assert_true(result.objects == 100);
	assert_true(zs_replay_hit_ratio(&result) > 0 && zs_replay_hit_ratio(&result) < 100);
	zs_trace_close(&trace);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_fits),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_warmup_is_not_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
