#include "test/unit/commands/support.h"

static void test_get_and_set(void **state)
{
	(void)state;
	CHECK("get k", "$-1\r\n");
	CHECK("set k value", "+OK\r\n");
	CHECK("get k", "$5\r\nvalue\r\n");
	CHECK("set k ", "+OK\r\n");
	CHECK("get k", "$0\r\n\r\n");
	reply.protocol = 3;
	CHECK("get none", "_\r\n");
}

static void test_conditions(void **state)
{
	(void)state;
	CHECK("set k 1 xx", "$-1\r\n");
	CHECK("set k 1 nx", "+OK\r\n");
	CHECK("set k 2 nx", "$-1\r\n");
	CHECK("set k 2 nx get", "$1\r\n1\r\n");
	CHECK("set k 2 xx get", "$1\r\n1\r\n");
	CHECK("set k 3 ifeq 1", "$-1\r\n");
	CHECK("set k 3 ifeq 1 get", "$1\r\n2\r\n");
	CHECK("set k 3 ifeq 2", "+OK\r\n");
	CHECK("set none 3 ifeq 2 get", "$-1\r\n");
	CHECK("get none", "$-1\r\n");
	CHECK("setnx k 4", ":0\r\n");
	CHECK("setnx l 4", ":1\r\n");
	CHECK("getset k 5", "$1\r\n3\r\n");
	CHECK("getset m 5", "$-1\r\n");
	CHECK("getdel k", "$1\r\n5\r\n");
	CHECK("getdel k", "$-1\r\n");
}

static void test_ifeq_compares_a_counter_as_its_decimal(void **state)
{
	(void)state;
	CHECK("incrby n 41", ":41\r\n");
	CHECK("incr n", ":42\r\n");
	CHECK("set n new ifeq 042", "$-1\r\n");
	CHECK("set n new ifeq 42 get", "$2\r\n42\r\n");
	CHECK("get n", "$3\r\nnew\r\n");
}

static void test_time_to_live(void **state)
{
	(void)state;
	CHECK("set k v ex 100", "+OK\r\n");
	pass_ms(98000);
	CHECK("get k", "$1\r\nv\r\n");
	CHECK("set k w keepttl", "+OK\r\n");
	pass_ms(2000);
	CHECK("get k", "$-1\r\n");
	CHECK("setex k 100 v", "+OK\r\n");
	CHECK("set k v", "+OK\r\n");
	CHECK("ttl k", ":-1\r\n");
	CHECK("set k v exat 1", "+OK\r\n");
	CHECK("get k", "$-1\r\n");
	CHECK("psetex k 0 v", "-ERR invalid expire time in 'psetex' command\r\n");
	CHECK("setex k x v", "-ERR value is not an integer or out of range\r\n");
	CHECK("set k v px -1", "-ERR invalid expire time in 'set' command\r\n");
}

static void test_getex(void **state)
{
	(void)state;
	CHECK("getex k ex 0", "$-1\r\n");
	CHECK("set k v", "+OK\r\n");
	CHECK("getex k ex 0", "-ERR invalid expire time in 'getex' command\r\n");
	CHECK("getex k px 100000", "$1\r\nv\r\n");
	CHECK_TTL("ttl k", 100);
	CHECK("getex k persist", "$1\r\nv\r\n");
	CHECK("ttl k", ":-1\r\n");
	CHECK("getex k persist", "$1\r\nv\r\n");
	CHECK("getex k", "$1\r\nv\r\n");
	CHECK("getex k exat 1", "$1\r\nv\r\n");
	CHECK("getex k", "$-1\r\n");
}

static void test_mset_and_mget(void **state)
{
	(void)state;
	CHECK("mset a 1 b 2 a 3", "+OK\r\n");
	CHECK("mget a b c a", "*4\r\n$1\r\n3\r\n$1\r\n2\r\n$-1\r\n$1\r\n3\r\n");
	CHECK("mset a 1 b", "-ERR wrong number of arguments for 'mset' command\r\n");
}

/* More keys than fit one batch; bytes, numbers and misses in turn. */
static void test_mget_of_many_keys(void **state)
{
	static const char *const keys[] = { "a", "n", "none" };
	static const char *const values[] = { "$1\r\n3\r\n", "$1\r\n4\r\n", "$-1\r\n" };
	char line[1000] = "mget";
	char expected[1000] = "*70\r\n";
	size_t line_used = strlen(line), expected_used = strlen(expected);

	(void)state;
	CHECK("set a 3", "+OK\r\n");
	CHECK("incrby n 4", ":4\r\n");
	for (int i = 0; i < 70; i++) {
		line_used += (size_t)snprintf(line + line_used, sizeof(line) - line_used, " %s", keys[i % 3]);
		expected_used +=
		    (size_t)snprintf(expected + expected_used, sizeof(expected) - expected_used, "%s", values[i % 3]);
	}
	CHECK(line, expected);
}

static void test_ranges(void **state)
{
	(void)state;
	CHECK("set k hello", "+OK\r\n");
	CHECK("getrange k 1 3", "$3\r\nell\r\n");
	CHECK("substr k -3 -1", "$3\r\nllo\r\n");
	CHECK("getrange k 0 -1", "$5\r\nhello\r\n");
	CHECK("getrange k -1 -3", "$0\r\n\r\n");
	CHECK("getrange k -100 0", "$1\r\nh\r\n");
	CHECK("getrange k -100 -100", "$1\r\nh\r\n");
	CHECK("getrange k 4 99", "$1\r\no\r\n");
	CHECK("getrange k 5 99", "$0\r\n\r\n");
	CHECK("getrange k -9223372036854775808 9223372036854775807", "$5\r\nhello\r\n");
	CHECK("getrange none 0 -1", "$0\r\n\r\n");
	CHECK("getrange k a b", "-ERR value is not an integer or out of range\r\n");
	CHECK("strlen k", ":5\r\n");
	CHECK("strlen none", ":0\r\n");
}

static void test_append_and_setrange(void **state)
{
	(void)state;
	CHECK("append k ab", ":2\r\n");
	CHECK("append k cd", ":4\r\n");
	CHECK("append k ", ":4\r\n");
	CHECK("setrange k 1 XY", ":4\r\n");
	CHECK("get k", "$4\r\naXYd\r\n");
	CHECK("setrange k 3 XYZ", ":6\r\n");
	CHECK("get k", "$6\r\naXYXYZ\r\n");
	CHECK("setrange k 9 ", ":6\r\n");
	CHECK("setrange none 9 ", ":0\r\n");
	CHECK("exists none", ":0\r\n");
	CHECK("append none ", ":0\r\n");
	CHECK("exists none", ":1\r\n");
	CHECK("setrange k -1 x", "-ERR offset is out of range\r\n");
	CHECK("setrange k x x", "-ERR value is not an integer or out of range\r\n");
	CHECK("setrange pad 2 x", ":3\r\n");
	set_arguments("get pad");
	assert_int_equal(run_arguments(), ZS_OK);
	assert_int_equal(reply.used, 9);
	assert_memory_equal(reply.data, "$3\r\n\0\0x\r\n", 9);
}

static void test_deadline_outlives_updates(void **state)
{
	(void)state;
	CHECK("set k 1 ex 100", "+OK\r\n");
	CHECK("append k 0", ":2\r\n");
	CHECK("incr k", ":11\r\n");
	CHECK("setrange k 0 2", ":2\r\n");
	CHECK("incrbyfloat k 0.5", "$4\r\n21.5\r\n");
	CHECK_TTL("ttl k", 100);
}

static void test_numbers_show_as_decimals(void **state)
{
	(void)state;
	CHECK("incrby n 12345", ":12345\r\n");
	CHECK("get n", "$5\r\n12345\r\n");
	CHECK("mget n", "*1\r\n$5\r\n12345\r\n");
	CHECK("strlen n", ":5\r\n");
	CHECK("getrange n 1 2", "$2\r\n23\r\n");
	CHECK("object encoding n", "$3\r\nint\r\n");
	CHECK("getex n ex 100", "$5\r\n12345\r\n");
	CHECK("append n 6", ":6\r\n");
	CHECK("incr n", ":123457\r\n");
	CHECK("setrange n 0 9", ":6\r\n");
	CHECK("get n", "$6\r\n923457\r\n");
	CHECK("incr n", ":923458\r\n");
	CHECK("getset n x", "$6\r\n923458\r\n");
	CHECK("incr m", ":1\r\n");
	CHECK("getdel m", "$1\r\n1\r\n");
}

static void test_increments(void **state)
{
	(void)state;
	CHECK("decr n", ":-1\r\n");
	CHECK("decrby n 9", ":-10\r\n");
	CHECK("incrby n 9223372036854775807", ":9223372036854775797\r\n");
	CHECK("incrby n 11", "-ERR increment or decrement would overflow\r\n");
	CHECK("get n", "$19\r\n9223372036854775797\r\n");
	CHECK("decrby n -9223372036854775808", "-ERR decrement would overflow\r\n");
	CHECK("incrby n 1.5", "-ERR value is not an integer or out of range\r\n");
	CHECK("set s 007", "+OK\r\n");
	CHECK("incr s", "-ERR value is not an integer or out of range\r\n");
}

static void test_floats(void **state)
{
	(void)state;
	CHECK("incrbyfloat f 10.50", "$4\r\n10.5\r\n");
	CHECK("incrbyfloat f 0.1", "$4\r\n10.6\r\n");
	CHECK("incrbyfloat f -5", "$3\r\n5.6\r\n");
	CHECK("set f 5.0e3", "+OK\r\n");
	CHECK("incrbyfloat f 2.0e2", "$4\r\n5200\r\n");
	CHECK("incr f", ":5201\r\n");
	CHECK("incrbyfloat f 1", "$4\r\n5202\r\n");
	CHECK("incrbyfloat f x", "-ERR value is not a valid float\r\n");
	CHECK("incrbyfloat f inf", "-ERR increment would produce NaN or Infinity\r\n");
	CHECK("set f word", "+OK\r\n");
	CHECK("incrbyfloat f 1", "-ERR value is not a valid float\r\n");
	CHECK("set f ", "+OK\r\n");
	CHECK("incrbyfloat f 1", "-ERR value is not a valid float\r\n");
	CHECK("incrbyfloat g 0x1p15000", "-ERR object of 4517 bytes (key 1, value 4516) does not fit one slab; "
					 "the limit is 4032 bytes\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_get_and_set),
		TEST(test_conditions),
		TEST(test_ifeq_compares_a_counter_as_its_decimal),
		TEST(test_time_to_live),
		TEST(test_getex),
		TEST(test_mset_and_mget),
		TEST(test_mget_of_many_keys),
		TEST(test_ranges),
		TEST(test_append_and_setrange),
		TEST(test_deadline_outlives_updates),
		TEST(test_numbers_show_as_decimals),
		TEST(test_increments),
		TEST(test_floats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
