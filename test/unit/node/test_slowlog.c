#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/node/latency.h"
#include "server/node/slowlog.h"

static struct zs_slowlog slowlog;

static void add(size_t max, uint64_t us, size_t argc, size_t size)
{
	static const uint8_t bytes[1000] = { 'x' };
	struct zs_argument argv[100];
	struct zs_slow_command event = { .time_s = 5, .us = us };

	for (size_t i = 0; i < argc; i++)
		argv[i] = (struct zs_argument){ bytes, size };
	zs_slowlog_add(&slowlog, max, &event, argv, argc);
}

static void collect_us(void *context, const struct zs_slow_command *entry)
{
	uint64_t **next = context;

	*(*next)++ = entry->us;
}

static void test_newest_first_and_bounded(void **state)
{
	uint64_t us[10];
	uint64_t *next = us;

	(void)state;
	zs_slowlog_init(&slowlog);
	for (uint64_t i = 1; i <= 5; i++)
		add(3, i, 1, 1);
	assert_int_equal(zs_slowlog_count(&slowlog), 3);
	zs_slowlog_each(&slowlog, 2, collect_us, &next);
	assert_int_equal(next - us, 2);
	assert_int_equal(us[0], 5);
	assert_int_equal(us[1], 4);
	add(1, 6, 1, 1); /* the setting was lowered */
	assert_int_equal(zs_slowlog_count(&slowlog), 1);
	zs_slowlog_reset(&slowlog);
	assert_int_equal(zs_slowlog_count(&slowlog), 0);
	add(0, 7, 1, 1);
	assert_int_equal(zs_slowlog_count(&slowlog), 0);
	zs_slowlog_free(&slowlog);
}

static void check_cut(void *context, const struct zs_slow_command *entry)
{
	(void)context;
	assert_int_equal(entry->argc, ZS_SLOWLOG_ARGUMENTS);
	assert_int_equal(entry->sizes[0], 128 + strlen("... (872 more bytes)"));
	assert_memory_equal(entry->argv[0] + 128, "... (872 more bytes)", 20);
	assert_memory_equal(entry->argv[31], "... (69 more arguments)", 23);
}

static void test_long_commands_are_cut(void **state)
{
	(void)state;
	zs_slowlog_init(&slowlog);
	add(10, 1, 100, 1000);
	zs_slowlog_each(&slowlog, 1, check_cut, NULL);
	zs_slowlog_free(&slowlog);
}

static void test_latency_series(void **state)
{
	struct zs_latency latency;
	struct zs_latency_series series;

	(void)state;
	zs_latency_init(&latency);
	assert_false(zs_latency_reset(&latency, ZS_LATENCY_COMMAND));
	for (uint64_t i = 0; i < 200; i++)
		zs_latency_add(&latency, ZS_LATENCY_COMMAND, 1000 + i, i == 7 ? 500 : i);
	zs_latency_add(&latency, ZS_LATENCY_COMMAND, 1199, 300); /* within one second the longest counts */
	zs_latency_add(&latency, ZS_LATENCY_COMMAND, 1199, 3);
	zs_latency_copy(&latency, ZS_LATENCY_COMMAND, &series);
	assert_int_equal(series.count, ZS_LATENCY_SAMPLES);
	assert_int_equal(series.samples[0].time_s, 1040);
	assert_int_equal(series.samples[159].time_s, 1199);
	assert_int_equal(series.samples[159].ms, 300);
	assert_int_equal(series.longest_ms, 500);
	zs_latency_copy(&latency, ZS_LATENCY_UPKEEP, &series);
	assert_int_equal(series.count, 0);
	assert_true(zs_latency_reset(&latency, ZS_LATENCY_COMMAND));
	zs_latency_copy(&latency, ZS_LATENCY_COMMAND, &series);
	assert_int_equal(series.count, 0);
	assert_int_equal(series.longest_ms, 0);
	zs_latency_free(&latency);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_newest_first_and_bounded),
		cmocka_unit_test(test_long_commands_are_cut),
		cmocka_unit_test(test_latency_series),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
