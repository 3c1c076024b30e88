#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/commands/reply.h"

#define LIMIT 100000

static struct zs_reply reply;

static int setup(void **state)
{
	(void)state;
	zs_reply_init(&reply, LIMIT);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	zs_reply_free(&reply);
	return 0;
}

/* Compares what was written since the last check, and empties the buffer. */
static void check(const char *expected)
{
	assert_false(reply.overflow);
	assert_int_equal(reply.used, strlen(expected));
	assert_memory_equal(reply.data, expected, reply.used);
	reply.used = 0;
}

static void test_both_dialects_agree(void **state)
{
	(void)state;
	for (reply.protocol = 2; reply.protocol <= 3; reply.protocol++) {
		zs_reply_ok(&reply);
		check("+OK\r\n");
		zs_reply_status(&reply, "PONG");
		check("+PONG\r\n");
		zs_reply_integer(&reply, 0);
		check(":0\r\n");
		zs_reply_integer(&reply, INT64_MIN);
		check(":-9223372036854775808\r\n");
		zs_reply_integer(&reply, INT64_MAX);
		check(":9223372036854775807\r\n");
		zs_reply_bulk(&reply, "a\0b", 3);
		assert_memory_equal(reply.data, "$3\r\na\0b\r\n", 9);
		assert_int_equal(reply.used, 9);
		reply.used = 0;
		zs_reply_bulk(&reply, NULL, 0);
		check("$0\r\n\r\n");
		zs_reply_bulk_text(&reply, "hello, world");
		check("$12\r\nhello, world\r\n");
		zs_reply_bulk_integer(&reply, -12345);
		check("$6\r\n-12345\r\n");
		zs_reply_array(&reply, 0);
		check("*0\r\n");
		zs_reply_array(&reply, 123456);
		check("*123456\r\n");
		zs_reply_raw(&reply, "", 0);
		check("");
	}
}

static void test_resp2(void **state)
{
	(void)state;
	zs_reply_null(&reply);
	check("$-1\r\n");
	zs_reply_null_array(&reply);
	check("*-1\r\n");
	zs_reply_map(&reply, 3);
	check("*6\r\n");
	zs_reply_set(&reply, 3);
	check("*3\r\n");
	zs_reply_boolean(&reply, true);
	check(":1\r\n");
	zs_reply_boolean(&reply, false);
	check(":0\r\n");
	zs_reply_verbatim(&reply, "text", 4);
	check("$4\r\ntext\r\n");
	zs_reply_double(&reply, 1.5);
	check("$3\r\n1.5\r\n");
	zs_reply_double(&reply, -INFINITY);
	check("$4\r\n-inf\r\n");
}

static void test_resp3(void **state)
{
	(void)state;
	reply.protocol = 3;
	zs_reply_null(&reply);
	check("_\r\n");
	zs_reply_null_array(&reply);
	check("_\r\n");
	zs_reply_map(&reply, 3);
	check("%3\r\n");
	zs_reply_set(&reply, 3);
	check("~3\r\n");
	zs_reply_boolean(&reply, true);
	check("#t\r\n");
	zs_reply_boolean(&reply, false);
	check("#f\r\n");
	zs_reply_verbatim(&reply, "text", 4);
	check("=8\r\ntxt:text\r\n");
	zs_reply_double(&reply, 0.1);
	check(",0.10000000000000001\r\n");
	zs_reply_double(&reply, INFINITY);
	check(",inf\r\n");
	zs_reply_double(&reply, -NAN);
	check(",nan\r\n");
}

static void test_error_is_one_line(void **state)
{
	(void)state;
	zs_reply_error(&reply, "ERR no %s, %d", "such thing", 7);
	check("-ERR no such thing, 7\r\n");
	zs_reply_error(&reply, "ERR %s", "a\r\n+OK\r\nb\r\n\n");
	check("-ERR a  +OK  b\r\n");
	zs_reply_error(&reply, "%s", "\r\n");
	check("-\r\n");
}

static void test_every_length_of_bulk(void **state)
{
	char value[10001];
	char expected[10100];

	(void)state;
	memset(value, 'v', sizeof(value));
	for (size_t size = 0; size <= 10001; size += size < 1100 ? 1 : 989) {
		int length = snprintf(expected, sizeof(expected), "$%zu\r\n%.*s\r\n", size, (int)size, value);

		assert_in_range(length, 1, sizeof(expected) - 1);
		zs_reply_bulk(&reply, value, size);
		check(expected);
	}
}

static void test_insert_before_what_was_written(void **state)
{
	size_t start;

	(void)state;
	zs_reply_ok(&reply);
	start = reply.used;
	zs_reply_integer(&reply, 1);
	zs_reply_integer(&reply, 2);
	zs_reply_array_at(&reply, start, 2);
	zs_reply_insert(&reply, start, "+X\r\n", 4);
	zs_reply_insert(&reply, reply.used, "+Y\r\n", 4);
	zs_reply_insert(&reply, 0, "", 0);
	check("+OK\r\n+X\r\n*2\r\n:1\r\n:2\r\n+Y\r\n");
}

static void test_insert_into_a_full_buffer_lets_it_grow(void **state)
{
	(void)state;
	zs_reply_ok(&reply);
	while (reply.used < reply.size)
		zs_reply_raw(&reply, "x", 1);
	zs_reply_insert(&reply, 5, "yy", 2);
	assert_false(reply.overflow);
	assert_memory_equal(reply.data, "+OK\r\nyyxx", 9);
	assert_true(reply.used <= reply.size);
}

static void test_limit_is_kept_and_overflow_is_for_good(void **state)
{
	char block[1000];
	size_t used;

	(void)state;
	memset(block, 'b', sizeof(block));
	for (size_t i = 0; i < LIMIT / sizeof(block); i++)
		zs_reply_raw(&reply, block, sizeof(block));
	assert_false(reply.overflow);
	assert_int_equal(reply.used, LIMIT);
	assert_int_equal(reply.size, LIMIT);

	zs_reply_ok(&reply);
	assert_true(reply.overflow);
	used = reply.used;
	reply.used = 0;
	zs_reply_ok(&reply);
	zs_reply_insert(&reply, 0, "x", 1);
	assert_int_equal(reply.used, 0);
	assert_null(zs_reply_reserve(&reply, 1));
	reply.used = used;
}

static void test_one_reply_beyond_the_limit(void **state)
{
	static char huge[LIMIT];

	(void)state;
	zs_reply_bulk(&reply, huge, sizeof(huge));
	assert_true(reply.overflow);
	assert_int_equal(reply.used, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_both_dialects_agree),
		TEST(test_resp2),
		TEST(test_resp3),
		TEST(test_error_is_one_line),
		TEST(test_every_length_of_bulk),
		TEST(test_insert_before_what_was_written),
		TEST(test_insert_into_a_full_buffer_lets_it_grow),
		TEST(test_limit_is_kept_and_overflow_is_for_good),
		TEST(test_one_reply_beyond_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
