/*
 * What does not fit: objects, keys, memory.
 */
#include "test/unit/commands/support.h"

static uint8_t big[20000];

static void set_big(size_t argument, size_t size)
{
	memset(big, 'x', sizeof(big));
	arguments[argument] = (struct zs_argument){ big, size };
}

static void check_run(const char *expected)
{
	assert_int_equal(run_arguments(), ZS_OK);
	if (reply.used != strlen(expected) || memcmp(reply.data, expected, reply.used) != 0)
		fail_msg("expected %s\ngot %.*s", expected, (int)reply.used, (char *)reply.data);
	zs_thread_quiesce(thread);
}

static void test_largest_object(void **state)
{
	(void)state;
	set_arguments("set k v");
	set_big(2, ZS_OBJECT_MAX - 1);
	check_run("+OK\r\n");
	CHECK("strlen k", ":4031\r\n");
	CHECK("append k y", "-ERR object of 4033 bytes (key 1, value 4032) does not fit one slab; the limit "
			    "is 4032 bytes\r\n");
	CHECK("setrange k 4031 y", "-ERR object of 4033 bytes (key 1, value 4032) does not fit one slab; the "
				   "limit is 4032 bytes\r\n");
	CHECK("setrange k 4030 y", ":4031\r\n");
	CHECK("setrange k 9223372036854775807 y", "-ERR object of 9223372036854775809 bytes (key 1, value "
						  "9223372036854775808) does not fit one slab; "
						  "the limit is 4032 bytes\r\n");
	CHECK("strlen k", ":4031\r\n");
}

static void test_object_too_big(void **state)
{
	static const char error[] = "-ERR object of 5016 bytes (key 16, value 5000) does not fit one slab; "
				    "the limit is 4032 bytes\r\n";
	static const char *const lines[] = {
		"set 0123456789abcdef v",	 "set 0123456789abcdef v nx", "setnx 0123456789abcdef v",
		"getset 0123456789abcdef v",	 "append 0123456789abcdef v", "mset 0123456789abcdef v",
		"set 0123456789abcdef v ex 100",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		set_arguments(lines[i]);
		set_big(2, 5000);
		check_run(error);
	}
	CHECK("exists 0123456789abcdef", ":0\r\n");
}

static void test_mset_checks_before_it_writes(void **state)
{
	(void)state;
	set_arguments("mset a 1 b 2");
	set_big(4, 5000);
	check_run("-ERR object of 5001 bytes (key 1, value 5000) does not fit one slab; the limit is 4032 "
		  "bytes\r\n");
	CHECK("exists a", ":0\r\n");
}

static void test_key_too_big(void **state)
{
	static const struct {
		const char *line;
		const char *expected;
	} reads[] = {
		{ "get k", "$-1\r\n" },	       { "getdel k", "$-1\r\n" },   { "getex k ex 1", "$-1\r\n" },
		{ "mget k", "*1\r\n$-1\r\n" }, { "strlen k", ":0\r\n" },    { "getrange k 0 -1", "$0\r\n\r\n" },
		{ "del k", ":0\r\n" },	       { "exists k", ":0\r\n" },    { "touch k", ":0\r\n" },
		{ "type k", "+none\r\n" },     { "expire k 1", ":0\r\n" },  { "ttl k", ":-2\r\n" },
		{ "persist k", ":0\r\n" },     { "expire k -1", ":0\r\n" },
	};
	static const char *const writes[] = { "set k v",	"setnx k v",  "append k v",
					      "setrange k 0 v", "getset k v", "incrbyfloat k 1" };
	static const char error[] = "-ERR object of 4034 bytes (key 4033, value 1) does not fit one slab; "
				    "the limit is 4032 bytes\r\n";

	(void)state;
	for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
		set_arguments(reads[i].line);
		set_big(1, ZS_OBJECT_MAX + 1);
		check_run(reads[i].expected);
		set_big(1, sizeof(big));
		check_run(reads[i].expected);
	}
	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
		set_arguments(writes[i]);
		set_big(1, ZS_OBJECT_MAX + 1);
		check_run(error);
	}
	set_arguments("incr k");
	set_big(1, ZS_OBJECT_MAX + 1);
	check_run("-ERR object of 4041 bytes (key 4033, value 8) does not fit one slab; the limit is 4032 "
		  "bytes\r\n");
}

static int setup_noeviction(void **state)
{
	(void)state;
	return open_engine(ZS_POLICY_NOEVICTION);
}

/* Runs the call again while it asks for that, as the dispatcher does; nothing may have been written before. */
static void run_until_done(void)
{
	while (run_arguments() == ZS_EAGAIN) {
		assert_int_equal(reply.used, 0);
		now_ms++;
		zs_thread_upkeep(thread, 1000);
	}
}

static void test_full(void **state)
{
	static const char oom[] = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
	char line[40];
	int count = 0;

	(void)state;
	do {
		snprintf(line, sizeof(line), "set key%d v", count++);
		set_arguments(line);
		set_big(2, 3000);
		run_until_done();
	} while (reply.data[0] == '+' && count < 100000);
	assert_in_range(count, 1000, 16384);
	assert_int_equal(reply.used, strlen(oom));
	assert_memory_equal(reply.data, oom, reply.used);

	CHECK("exists key0 key1", ":2\r\n");
	CHECK("del key0 key1 key2 key3", ":4\r\n");
	set_arguments("set new v");
	run_until_done();
	assert_memory_equal(reply.data, "+OK\r\n", reply.used);
}

/* A thread that never quiesces keeps everybody from using memory again. */
static void test_nothing_is_written_while_memory_is_in_quarantine(void **state)
{
	static const char *const lines[] = {
		"set new v",	     "set new v get", "setnx new v",	  "setex new 100 v", "getset new v",
		"mset key0 v new v", "append new v",  "setrange new 0 v", "incr new",	     "incrbyfloat new 0x1p10000"
	};
	struct zs_thread *holder = zs_thread_attach(engine);
	char line[40];
	int count = 0, result;

	(void)state;
	assert_non_null(holder);
	do {
		snprintf(line, sizeof(line), "set key%d v", count++ % 1000);
		set_arguments(line);
		set_big(2, 3000);
		result = run_arguments();
		zs_thread_quiesce(thread);
	} while (result == ZS_OK && count < 100000);
	assert_int_equal(result, ZS_EAGAIN);
	assert_int_equal(reply.used, 0);

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		set_arguments(lines[i]);
		/* Objects of a size of their own, for which no slab is open. */
		for (size_t j = 2; j < call.argc; j++) {
			if (arguments[j].data[0] == 'v')
				set_big(j, 2000 + i * 100);
		}
		result = run_arguments();
		if (result != ZS_EAGAIN)
			fail_msg("%s: %d, %.*s", lines[i], result, (int)reply.used, (char *)reply.data);
		assert_int_equal(reply.used, 0);
		CHECK("exists new", ":0\r\n");
	}

	zs_thread_detach(holder);
	set_arguments("incr new");
	run_until_done();
	assert_memory_equal(reply.data, ":1\r\n", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_largest_object),
		TEST(test_object_too_big),
		TEST(test_mset_checks_before_it_writes),
		TEST(test_key_too_big),
		TEST(test_nothing_is_written_while_memory_is_in_quarantine),
		cmocka_unit_test_setup_teardown(test_full, setup_noeviction, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
