#include "test/unit/commands/support.h"

static void test_del_exists_touch_type(void **state)
{
	(void)state;
	CHECK("mset a 1 b 2 c 3", "+OK\r\n");
	CHECK("exists a a none b", ":3\r\n");
	CHECK("touch a a none", ":2\r\n");
	CHECK("type a", "+string\r\n");
	CHECK("type none", "+none\r\n");
	CHECK("del a a none", ":1\r\n");
	CHECK("unlink b c", ":2\r\n");
	CHECK("exists a b c", ":0\r\n");
}

static void test_expire(void **state)
{
	(void)state;
	CHECK("expire k 10", ":0\r\n");
	CHECK("set k v", "+OK\r\n");
	CHECK("expire k 100 xx", ":0\r\n");
	CHECK("expire k 100 gt", ":0\r\n");
	CHECK("expire k 100 nx", ":1\r\n");
	CHECK("expire k 100 nx", ":0\r\n");
	CHECK_TTL("ttl k", 100);
	CHECK("pexpire k 50000 gt", ":0\r\n");
	CHECK("pexpire k 50000 lt", ":1\r\n");
	CHECK_TTL("ttl k", 50);
	CHECK("expireat k 1700000200 gt", ":1\r\n");
	CHECK("persist k", ":1\r\n");
	CHECK("persist k", ":0\r\n");
	CHECK("persist none", ":0\r\n");
	CHECK("expire k 0 gt", ":0\r\n");
	CHECK("pexpireat k -5", ":1\r\n");
	CHECK("exists k", ":0\r\n");
	CHECK("expire k x", "-ERR value is not an integer or out of range\r\n");
	CHECK("expire k 1 x", "-ERR Unsupported option x\r\n");
	CHECK("expire k 9223372036854775807", "-ERR invalid expire time in 'expire' command\r\n");
	CHECK("pexpire k 9223372036854775807", "-ERR invalid expire time in 'pexpire' command\r\n");
}

static void test_deadline_passes(void **state)
{
	(void)state;
	CHECK("set k v", "+OK\r\n");
	CHECK("expire k 10", ":1\r\n");
	pass_ms(9899);
	CHECK("get k", "$1\r\nv\r\n");
	pass_ms(101);
	CHECK("get k", "$-1\r\n");
	CHECK("ttl k", ":-2\r\n");
	CHECK("pexpiretime k", ":-2\r\n");
}

static void test_deadline_is_reported_as_stored(void **state)
{
	long long time;

	(void)state;
	CHECK("set k v", "+OK\r\n");
	CHECK("ttl k", ":-1\r\n");
	CHECK("pttl k", ":-1\r\n");
	CHECK("expiretime k", ":-1\r\n");
	CHECK("pexpiretime k", ":-1\r\n");
	CHECK("expire k 1000", ":1\r\n");
	time = integer("pttl k");
	assert_in_range(time, 990000, 1000000);
	assert_int_equal(integer("ttl k"), (time + 500) / 1000);
	assert_int_equal(integer("pexpiretime k"), (long long)START_MS + time);
	assert_int_equal(integer("expiretime k"), ((long long)START_MS + time + 500) / 1000);
}

/* Adds `count` keys named prefix0, prefix1 ... */
static void add_keys(const char *prefix, int count)
{
	char line[100];

	for (int i = 0; i < count; i++) {
		snprintf(line, sizeof(line), "set %s%d v", prefix, i);
		CHECK(line, "+OK\r\n");
	}
}

struct page {
	char cursor[24];
	size_t keys;
};

/* Takes the reply of SCAN apart: its cursor, and how many keys it has; they have to start with `prefix`. */
static struct page scan(const char *line, const char *prefix)
{
	struct page page = { .keys = 0 };
	size_t expected;
	char *p;

	set_arguments(line);
	assert_int_equal(run_arguments(), ZS_OK);
	zs_reply_raw(&reply, "", 1);
	assert_int_equal(sscanf((char *)reply.data, "*2\r\n$%*u\r\n%23[0-9]\r\n*%zu\r\n", page.cursor, &expected), 2);
	p = strchr((char *)reply.data + 4, '*');
	while ((p = strchr(p, '$'))) {
		p = strchr(p, '\n') + 1;
		assert_memory_equal(p, prefix, strlen(prefix));
		page.keys++;
	}
	assert_int_equal(page.keys, expected);
	return page;
}

static void test_scan_pages(void **state)
{
	struct page page = { "0", 0 };
	char line[100];
	size_t keys = 0, pages = 0;

	(void)state;
	add_keys("a", 500);
	do {
		snprintf(line, sizeof(line), "scan %s count 20", page.cursor);
		page = scan(line, "a");
		keys += page.keys;
		pages++;
	} while (strcmp(page.cursor, "0") != 0);
	assert_int_equal(keys, 500);
	assert_in_range(pages, 5, 25);
}

static void test_scan_options(void **state)
{
	(void)state;
	CHECK("scan 0", "*2\r\n$1\r\n0\r\n*0\r\n");
	add_keys("a", 40);
	add_keys("b", 30);
	assert_int_equal(scan("scan 0 count 1000000", "").keys, 70);
	assert_int_equal(scan("scan 0 count 1000 match b*", "b").keys, 30);
	assert_int_equal(scan("scan 0 match [a]* count 1000", "a").keys, 40);
	assert_int_equal(scan("scan 0 match * type STRING count 1000", "").keys, 70);
	assert_int_equal(scan("scan 0 count 1000 type list", "").keys, 0);
	CHECK("scan x", "-ERR invalid cursor\r\n");
	CHECK("scan 18446744073709551616", "-ERR invalid cursor\r\n");
	CHECK("scan 0 count", "-ERR syntax error\r\n");
	CHECK("scan 0 count 0", "-ERR syntax error\r\n");
	CHECK("scan 0 count x", "-ERR value is not an integer or out of range\r\n");
	CHECK("scan 0 foo bar", "-ERR syntax error\r\n");
}

static void test_keys(void **state)
{
	(void)state;
	CHECK("keys *", "*0\r\n");
	add_keys("a", 2000);
	CHECK("keys a1999", "*1\r\n$5\r\na1999\r\n");
	CHECK("keys b*", "*0\r\n");
	set_arguments("keys *");
	assert_int_equal(run_arguments(), ZS_OK);
	assert_memory_equal(reply.data, "*2000\r\n", 7);
	/* Ten keys of one digit, 90 of two, 900 of three and 1000 of four, each with an a. */
	assert_int_equal(reply.used, 7 + 10 * 8 + 90 * 9 + 900 * 10 + 1000 * 11);
}

static void test_randomkey(void **state)
{
	(void)state;
	CHECK("randomkey", "$-1\r\n");
	CHECK("set only v", "+OK\r\n");
	CHECK("randomkey", "$4\r\nonly\r\n");
}

static void test_object(void **state)
{
	(void)state;
	CHECK("object encoding k", "$-1\r\n");
	CHECK("object idletime k", "$-1\r\n");
	CHECK("object freq k", "$-1\r\n");
	CHECK("object refcount k", "$-1\r\n");
	CHECK("set k 12", "+OK\r\n");
	CHECK("object encoding k", "$3\r\nint\r\n");
	CHECK("set k 01234567890123456789012345678901234567890123", "+OK\r\n");
	CHECK("object encoding k", "$6\r\nembstr\r\n");
	CHECK("append k 4", ":45\r\n");
	CHECK("object encoding k", "$3\r\nraw\r\n");
	CHECK("object refcount k", ":1\r\n");
	CHECK("object idletime k", "-ERR idle time is not tracked: two bits of recency per object are kept\r\n");
	CHECK("object freq k", "-ERR access frequency is not tracked: two bits of recency per object are kept\r\n");
	set_arguments("object help");
	assert_int_equal(run_arguments(), ZS_OK);
	assert_memory_equal(reply.data, "*11\r\n+OBJECT <subcommand>", 23);
}

static void test_groups(void **state)
{
	char line[400] = "set k v group ";

	(void)state;
	CHECK("zs.groups", "*0\r\n");
	CHECK("zs.drop match", ":0\r\n");
	CHECK("zs.drop ", ":0\r\n");
	CHECK("set a 1 group match", "+OK\r\n");
	CHECK("set b 1 group match ex 100", "+OK\r\n");
	CHECK("set c 1", "+OK\r\n");
	CHECK("zs.drop match", ":2\r\n");
	CHECK("exists a b c", ":1\r\n");
	CHECK("zs.drop match", ":0\r\n");
	CHECK("set a 1 group tick", "+OK\r\n");
	CHECK("zs.groups", "*1\r\n*6\r\n$4\r\nname\r\n$4\r\ntick\r\n$7\r\nobjects\r\n:1\r\n$5\r\nslabs\r\n:1\r\n");
	reply.protocol = 3;
	CHECK("zs.groups", "*1\r\n%3\r\n$4\r\nname\r\n$4\r\ntick\r\n$7\r\nobjects\r\n:1\r\n$5\r\nslabs\r\n:1\r\n");
	CHECK(line, "-ERR the name of a group has 1 to 255 bytes; this one has 0\r\n");
	memset(line + strlen(line), 'g', 256);
	CHECK(line, "-ERR the name of a group has 1 to 255 bytes; this one has 256\r\n");
	set_arguments("zs.drop x");
	arguments[1] = (struct zs_argument){ (const uint8_t *)line + 14, 256 };
	assert_int_equal(run_arguments(), ZS_OK);
	assert_memory_equal(reply.data, ":0\r\n", 4);
	line[strlen(line) - 1] = 0;
	CHECK(line, "+OK\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_del_exists_touch_type),
		TEST(test_expire),
		TEST(test_deadline_passes),
		TEST(test_deadline_is_reported_as_stored),
		TEST(test_scan_pages),
		TEST(test_scan_options),
		TEST(test_keys),
		TEST(test_randomkey),
		TEST(test_object),
		TEST(test_groups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
