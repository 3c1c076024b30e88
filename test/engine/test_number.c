/* Integers that are incremented in place. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test/engine/support.h"

static int setup(void **state)
{
	*state = zs_fixture_open(32u << 20, ZS_POLICY_S3FIFO);
	return 0;
}

static int teardown(void **state)
{
	zs_fixture_close(*state);
	return 0;
}

static int increment(struct zs_thread *t, const char *key, int64_t delta, int64_t *result)
{
	unsigned tries = 0;
	int error;

	do {
		error = zs_increment(t, key, strlen(key), delta, result);
	} while (zs_test_again(t, error, &tries));
	return error;
}

static void expect_number(struct zs_thread *t, const char *key, int64_t number)
{
	struct zs_view view;

	assert_int_equal(zs_get(t, key, strlen(key), 0, &view), ZS_OK);
	assert_int_equal(view.type, ZS_NUMBER);
	assert_true(view.number == number);
	assert_null(view.data);
	assert_int_equal(view.size, 0);
}

static void absent_counts_as_zero(void **state)
{
	struct zs_thread *t = ((struct zs_fixture *)*state)->thread;
	struct zs_view view;
	int64_t n;

	assert_int_equal(increment(t, "n", 5, &n), ZS_OK);
	assert_int_equal(n, 5);
	expect_number(t, "n", 5);
	assert_int_equal(increment(t, "n", -7, &n), ZS_OK);
	assert_int_equal(n, -2);
	assert_int_equal(increment(t, "n", 2, &n), ZS_OK);
	assert_int_equal(n, 0);
	expect_number(t, "n", 0);
	assert_int_equal(increment(t, "zero", 0, &n), ZS_OK);
	expect_number(t, "zero", 0);
	assert_int_equal(zs_get(t, "n", 1, 0, &view), ZS_OK);
	assert_int_equal(view.deadline, 0);
	assert_int_equal(zs_delete(t, "n", 1, NULL), ZS_OK);
	assert_int_equal(increment(t, "n", 1, &n), ZS_OK);
	assert_int_equal(n, 1);
}

static void canonical_decimals_become_numbers(void **state)
{
	static const struct {
		const char *text;
		int64_t number;
	} good[] = {
		{ "0", 0 },
		{ "7", 7 },
		{ "-1", -1 },
		{ "10", 10 },
		{ "1234567890123456789", 1234567890123456789 },
		{ "9223372036854775806", INT64_MAX - 1 },
		{ "-9223372036854775808", INT64_MIN },
	};
	struct zs_thread *t = ((struct zs_fixture *)*state)->thread;
	int64_t n;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(zs_test_put(t, "n", good[i].text, 0), ZS_OK);
		zs_test_expect(t, "n", good[i].text);
		if (increment(t, "n", 1, &n))
			fail_msg("\"%s\" was refused as a number", good[i].text);
		assert_true(n == good[i].number + 1);
		expect_number(t, "n", good[i].number + 1);
	}
}

static void other_texts_do_not(void **state)
{
	static const char *const bad[] = {
		"",
		"+1",
		"01",
		"00",
		" 1",
		"1 ",
		"-0",
		"-",
		"+",
		"-01",
		"1.0",
		"1e3",
		"0x10",
		"1,000",
		"1\n",
		"--1",
		"- 1",
		"one",
		"\t1",
		"9223372036854775808",
		"-9223372036854775809",
		"18446744073709551616",
		"92233720368547758070",
		"99999999999999999999999999999999999999",
	};
	struct zs_thread *t = ((struct zs_fixture *)*state)->thread;
	struct zs_set zero = { .key = "n", .key_size = 1, .value = "1\0", .value_size = 2 };
	int64_t n = 77;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int result;

		assert_int_equal(zs_test_put(t, "n", bad[i], 0), ZS_OK);
		result = increment(t, "n", 1, &n);
		if (result != ZS_ENOTINT)
			fail_msg("\"%s\" was taken as a number: %s", bad[i], zs_error_name(result));
		zs_test_expect(t, "n", bad[i]);
	}
	assert_int_equal(zs_test_set(t, &zero, NULL), ZS_OK);
	assert_int_equal(increment(t, "n", 1, &n), ZS_ENOTINT);
	assert_int_equal(n, 77);
}

static void overflow_changes_nothing(void **state)
{
	static const int64_t cases[][2] = {
		{ INT64_MAX, 1 }, { INT64_MAX, INT64_MAX }, { INT64_MIN, -1 }, { INT64_MIN, INT64_MIN },
		{ 1, INT64_MAX }, { -2, INT64_MIN + 1 },    { -1, INT64_MIN }, { INT64_MAX - 9, 10 },
	};
	struct zs_thread *t = ((struct zs_fixture *)*state)->thread;
	char text[24];
	int64_t n;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* Once as the text that was stored, once as a number. */
		snprintf(text, sizeof(text), "%" PRId64, cases[i][0]);
		assert_int_equal(zs_test_put(t, "n", text, 0), ZS_OK);
		assert_int_equal(increment(t, "n", cases[i][1], &n), ZS_EOVERFLOW);
		zs_test_expect(t, "n", text);
		assert_int_equal(increment(t, "n", 0, &n), ZS_OK);
		assert_true(n == cases[i][0]);
		assert_int_equal(increment(t, "n", cases[i][1], &n), ZS_EOVERFLOW);
		expect_number(t, "n", cases[i][0]);
	}
}

static void reaches_both_ends(void **state)
{
	struct zs_thread *t = ((struct zs_fixture *)*state)->thread;
	int64_t n;

	assert_int_equal(increment(t, "n", INT64_MAX, &n), ZS_OK);
	expect_number(t, "n", INT64_MAX);
	assert_int_equal(increment(t, "n", INT64_MIN, &n), ZS_OK);
	expect_number(t, "n", -1);
	assert_int_equal(increment(t, "n", INT64_MIN + 1, &n), ZS_OK);
	expect_number(t, "n", INT64_MIN);
	zs_test_expect(t, "n", "-9223372036854775808");
}

static void keeps_deadline_and_group(void **state)
{
	struct zs_fixture *f = *state;
	struct zs_thread *t = f->thread;
	struct zs_set set = { .key = "n",
			      .key_size = 1,
			      .value = "41",
			      .value_size = 2,
			      .flags = ZS_SET_GROUP,
			      .group = "minute",
			      .group_size = 6,
			      .deadline = zs_thread_now(t) + 90000 };
	struct zs_view before, after;
	uint64_t dropped;
	int64_t n;

	assert_int_equal(zs_test_set(t, &set, NULL), ZS_OK);
	assert_int_equal(zs_get(t, "n", 1, 0, &before), ZS_OK);
	for (int64_t i = 42; i < 52; i++) {
		assert_int_equal(increment(t, "n", 1, &n), ZS_OK);
		assert_int_equal(n, i);
		assert_int_equal(zs_get(t, "n", 1, 0, &after), ZS_OK);
		assert_int_equal(after.deadline, before.deadline);
		zs_fixture_advance(f, 1000);
	}
	assert_int_equal(zs_drop(t, "minute", 6, &dropped), ZS_OK);
	assert_int_equal(dropped, 1);
	zs_test_expect_absent(t, "n");
	assert_int_equal(increment(t, "n", 1, &n), ZS_OK);
	assert_int_equal(n, 1);
}

static void expired_counts_as_absent(void **state)
{
	struct zs_fixture *f = *state;
	int64_t n;

	assert_int_equal(zs_test_put(f->thread, "n", "100", zs_thread_now(f->thread) + 5000), ZS_OK);
	assert_int_equal(increment(f->thread, "n", 1, &n), ZS_OK);
	assert_int_equal(n, 101);
	zs_fixture_advance(f, 5001);
	assert_int_equal(increment(f->thread, "n", 1, &n), ZS_OK);
	assert_int_equal(n, 1);
	zs_fixture_advance(f, 3600000);
	expect_number(f->thread, "n", 1);
}

static void numbers_and_texts_replace_each_other(void **state)
{
	struct zs_thread *t = ((struct zs_fixture *)*state)->thread;
	struct zs_set set = { .key = "n", .key_size = 1, .value = "text", .value_size = 4 };
	struct zs_previous previous;
	int64_t n;

	for (int round = 0; round < 100; round++) {
		assert_int_equal(zs_delete(t, "n", 1, NULL), round ? ZS_OK : ZS_ENOTFOUND);
		assert_int_equal(increment(t, "n", round, &n), ZS_OK);
		assert_int_equal(zs_test_set(t, &set, &previous), ZS_OK);
		assert_true(previous.existed);
		assert_int_equal(previous.old.type, ZS_NUMBER);
		assert_int_equal(previous.old.number, round);
		zs_test_expect(t, "n", "text");
		assert_int_equal(increment(t, "n", 1, &n), ZS_ENOTINT);
	}
	assert_int_equal(zs_test_put(t, "n", "12", 0), ZS_OK);
	assert_int_equal(increment(t, "n", 1, &n), ZS_OK);
	assert_int_equal(zs_delete(t, "n", 1, &previous), ZS_OK);
	assert_int_equal(previous.old.type, ZS_NUMBER);
	assert_int_equal(previous.old.number, 13);
}

static void long_keys(void **state)
{
	struct zs_thread *t = ((struct zs_fixture *)*state)->thread;
	static char key[ZS_OBJECT_MAX + 1];
	struct zs_view view;
	int64_t n;

	for (size_t size = 0; size <= ZS_OBJECT_MAX - 8; size += size < 300 ? 1 : 101) {
		memset(key, 'k', size);
		assert_int_equal(zs_increment(t, key, size, (int64_t)size - 5, &n), ZS_OK);
		assert_int_equal(zs_increment(t, key, size, 6, &n), ZS_OK);
		assert_int_equal(zs_get(t, key, size, 0, &view), ZS_OK);
		assert_int_equal(view.number, size + 1);
		zs_thread_quiesce(t);
	}
	memset(key, 'k', sizeof(key));
	assert_int_equal(zs_increment(t, key, ZS_OBJECT_MAX - 8, 1, &n), ZS_OK);
	assert_int_equal(zs_increment(t, key, ZS_OBJECT_MAX, 1, &n), ZS_ETOOBIG);
	assert_int_equal(zs_increment(t, key, ZS_OBJECT_MAX + 1, 1, &n), ZS_ETOOBIG);
	assert_int_equal(zs_get(t, key, ZS_OBJECT_MAX, 0, &view), ZS_ENOTFOUND);
}

static void many_counters(void **state)
{
	enum { COUNTERS = 20000, ROUNDS = 5 };
	struct zs_fixture *f = *state;
	char key[24];
	int64_t n;

	for (int round = 1; round <= ROUNDS; round++) {
		for (int i = 0; i < COUNTERS; i++) {
			snprintf(key, sizeof(key), "counter:%d", i);
			assert_int_equal(increment(f->thread, key, i, &n), ZS_OK);
			assert_int_equal(n, (int64_t)i * round);
			if (i % 64 == 0)
				zs_thread_upkeep(f->thread, 50);
		}
	}
	assert_int_equal(zs_engine_count(f->engine), COUNTERS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(absent_counts_as_zero, setup, teardown),
		cmocka_unit_test_setup_teardown(canonical_decimals_become_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(other_texts_do_not, setup, teardown),
		cmocka_unit_test_setup_teardown(overflow_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(reaches_both_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_deadline_and_group, setup, teardown),
		cmocka_unit_test_setup_teardown(expired_counts_as_absent, setup, teardown),
		cmocka_unit_test_setup_teardown(numbers_and_texts_replace_each_other, setup, teardown),
		cmocka_unit_test_setup_teardown(long_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(many_counters, setup, teardown),
	};

	return cmocka_run_group_tests_name("number", tests, NULL, NULL);
}
