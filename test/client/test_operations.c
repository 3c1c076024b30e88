/* Every operation, over the way that the first argument names: tcp, unix, shm or rdma. */
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "test/client/support.h"

static struct test_node node;
static struct zslab *handle;
static const char *way;

static int open_all(void **state)
{
	(void)state;
	node_start(&node, NULL);
	if (!strcmp(way, "tcp"))
		handle = open_handle(node.tcp_address, ZSLAB_VIA_TCP);
	else if (!strcmp(way, "rdma"))
		handle = open_handle(node.tcp_address, ZSLAB_VIA_RDMA);
	else
		handle = open_handle(node.unix_address, strcmp(way, "shm") ? ZSLAB_VIA_TCP : ZSLAB_VIA_SHM);
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	zslab_close(handle);
	node_stop(&node);
	return 0;
}

static void test_reads_as_it_says(void **state)
{
	struct zslab_node_state now;

	(void)state;
	assert_status(handle, zslab_node_state(handle, 0, &now), ZSLAB_OK);
	assert_string_equal(now.reads, way);
	assert_true(now.connected);
	assert_string_equal(now.operations, strcmp(way, "shm") ? way : "unix");
	assert_int_equal(now.attached, !strcmp(way, "shm") || !strcmp(way, "rdma"));
	assert_status(handle, zslab_node_state(handle, 1, &now), ZSLAB_EINVAL);
}

static void test_get_and_set(void **state)
{
	const void *value;
	size_t size;

	(void)state;
	assert_status(handle, zslab_get(handle, "a", 1, &value, &size), ZSLAB_ENOTFOUND);
	assert_status(handle, set_text(handle, "a", "one"), ZSLAB_OK);
	assert_status(handle, zslab_get(handle, "a", 1, &value, &size), ZSLAB_OK);
	assert_int_equal(size, 3);
	assert_memory_equal(value, "one", 3);
	assert_status(handle, set_text(handle, "a", "two"), ZSLAB_OK);
	assert_value(handle, "a", "two");
	assert_status(handle, zslab_delete(handle, "a", 1), ZSLAB_OK);
	assert_status(handle, zslab_delete(handle, "a", 1), ZSLAB_ENOTFOUND);
	assert_status(handle, zslab_get(handle, "a", 1, &value, &size), ZSLAB_ENOTFOUND);
}

static void test_bytes_of_all_kinds_and_sizes(void **state)
{
	static uint8_t value[ZSLAB_OBJECT_MAX];
	static uint8_t back[ZSLAB_OBJECT_MAX];
	size_t size;

	(void)state;
	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)(i * 7 + (i >> 8));
	for (size_t n = 0; n <= sizeof(value) - 3; n = n < 40 ? n + 1 : n + 331) {
		assert_status(handle, zslab_set(handle, "\0\r\n", 3, value, n, 0), ZSLAB_OK);
		assert_status(handle, zslab_get_into(handle, "\0\r\n", 3, back, sizeof(back), &size), ZSLAB_OK);
		assert_int_equal(size, n);
		assert_memory_equal(back, value, n);
	}
	assert_status(handle, zslab_set(handle, "\0\r\n", 3, value, sizeof(value) - 3, 0), ZSLAB_OK);
	assert_status(handle, zslab_set(handle, "\0\r\n", 3, value, sizeof(value) - 2, 0), ZSLAB_ETOOBIG);
	assert_mentions(zslab_error(handle), "4032");
	assert_status(handle, zslab_set(handle, "", 0, "", 0, 0), ZSLAB_OK);
	assert_status(handle, zslab_get_into(handle, "", 0, NULL, 0, &size), ZSLAB_OK);
	assert_int_equal(size, 0);
}

static void test_small_buffer(void **state)
{
	char buffer[5] = "....";
	size_t size;

	(void)state;
	assert_status(handle, set_text(handle, "small", "abcdefgh"), ZSLAB_OK);
	assert_status(handle, zslab_get_into(handle, "small", 5, buffer, 4, &size), ZSLAB_ESMALL);
	assert_int_equal(size, 8);
	assert_string_equal(buffer, "abcd");
	assert_mentions(zslab_error(handle), "8 bytes");
	assert_status(handle, zslab_increment(handle, "small counter", 13, 123456, NULL), ZSLAB_OK);
	assert_status(handle, zslab_get_into(handle, "small counter", 13, buffer, 4, &size), ZSLAB_ESMALL);
	assert_int_equal(size, 6);
	assert_string_equal(buffer, "1234");
}

static void test_conditions(void **state)
{
	(void)state;
	assert_status(handle, zslab_replace(handle, "c", 1, "x", 1, 0), ZSLAB_ECONDITION);
	assert_status(handle, zslab_add(handle, "c", 1, "x", 1, 0), ZSLAB_OK);
	assert_status(handle, zslab_add(handle, "c", 1, "y", 1, 0), ZSLAB_ECONDITION);
	assert_value(handle, "c", "x");
	assert_status(handle, zslab_replace(handle, "c", 1, "y", 1, 0), ZSLAB_OK);
	assert_value(handle, "c", "y");
	assert_status(handle, zslab_compare_and_set(handle, "c", 1, "x", 1, "z", 1, 0), ZSLAB_ECONDITION);
	assert_status(handle, zslab_compare_and_set(handle, "c", 1, "y", 1, "z", 1, 0), ZSLAB_OK);
	assert_value(handle, "c", "z");
	assert_status(handle, zslab_compare_and_set(handle, "no such key", 11, "", 0, "z", 1, 0), ZSLAB_ECONDITION);
}

/* SET with GET: whether it was stored follows from the old value. */
static void check_old(unsigned flags, const char *compare, const char *old, int expected)
{
	char buffer[16] = "";
	struct zslab_op op = {
		.kind = ZSLAB_SET,
		.key = "old",
		.key_size = 3,
		.value = "new",
		.value_size = 3,
		.flags = flags | ZSLAB_GET_OLD,
		.compare = compare,
		.compare_size = compare ? strlen(compare) : 0,
		.buffer = buffer,
		.buffer_size = sizeof(buffer) - 1,
	};
	int there;

	(void)zslab_delete(handle, "old", 3);
	if (old)
		assert_status(handle, set_text(handle, "old", old), ZSLAB_OK);
	assert_status(handle, zslab_run(handle, &op), expected);
	assert_int_equal(op.found, old != NULL);
	if (old)
		assert_string_equal(buffer, old);
	there = get_text(handle, "old", buffer, sizeof(buffer));
	if (expected == ZSLAB_OK)
		assert_string_equal(buffer, "new");
	else if (old)
		assert_string_equal(buffer, old);
	else
		assert_int_equal(there, ZSLAB_ENOTFOUND);
}

static void test_set_get(void **state)
{
	(void)state;
	check_old(0, NULL, NULL, ZSLAB_OK);
	check_old(0, NULL, "was", ZSLAB_OK);
	check_old(ZSLAB_IF_ABSENT, NULL, NULL, ZSLAB_OK);
	check_old(ZSLAB_IF_ABSENT, NULL, "was", ZSLAB_ECONDITION);
	check_old(ZSLAB_IF_PRESENT, NULL, NULL, ZSLAB_ECONDITION);
	check_old(ZSLAB_IF_PRESENT, NULL, "was", ZSLAB_OK);
	check_old(ZSLAB_IF_EQUAL, "was", "was", ZSLAB_OK);
	check_old(ZSLAB_IF_EQUAL, "wasn't", "was", ZSLAB_ECONDITION);
	check_old(ZSLAB_IF_EQUAL, "was", NULL, ZSLAB_ECONDITION);
}

static void test_increment(void **state)
{
	int64_t number = 0;

	(void)state;
	assert_status(handle, zslab_increment(handle, "n", 1, 5, &number), ZSLAB_OK);
	assert_int_equal(number, 5);
	assert_status(handle, zslab_increment(handle, "n", 1, -7, &number), ZSLAB_OK);
	assert_int_equal(number, -2);
	assert_value(handle, "n", "-2");
	assert_status(handle, zslab_increment(handle, "m", 1, INT64_MIN, &number), ZSLAB_OK);
	assert_value(handle, "m", "-9223372036854775808");
	assert_status(handle, zslab_increment(handle, "m", 1, -1, NULL), ZSLAB_EOVERFLOW);
	assert_status(handle, set_text(handle, "n", "no number"), ZSLAB_OK);
	assert_status(handle, zslab_increment(handle, "n", 1, 1, NULL), ZSLAB_ENOTINT);
	assert_mentions(zslab_error(handle), "not an integer");
}

/* The node's own word on a deadline, by EXPIRE's conditions: it is there, or it is not. */
static bool has_deadline(const char *key)
{
	struct zslab_op op = {
		.kind = ZSLAB_EXPIRE,
		.key = key,
		.key_size = strlen(key),
		.expiry = ZSLAB_EX,
		.time = 1000,
		.flags = ZSLAB_TTL_PRESENT,
	};
	int status = zslab_run(handle, &op);

	assert_true(status == ZSLAB_OK || status == ZSLAB_ECONDITION);
	return status == ZSLAB_OK;
}

static void test_expire(void **state)
{
	char value[16];
	size_t size;

	(void)state;
	assert_status(handle, zslab_expire(handle, "no such key", 11, 1000), ZSLAB_ENOTFOUND);
	assert_status(handle, set_text(handle, "e", "v"), ZSLAB_OK);
	assert_false(has_deadline("e"));
	assert_status(handle, zslab_expire(handle, "e", 1, 100000), ZSLAB_OK);
	assert_true(has_deadline("e"));
	assert_status(handle, zslab_expire(handle, "e", 1, 0), ZSLAB_OK);
	assert_false(has_deadline("e"));
	assert_status(handle, zslab_expire(handle, "e", 1, 30), ZSLAB_OK);
	sleep_ms(40);
	assert_status(handle, zslab_get_into(handle, "e", 1, value, sizeof(value), &size), ZSLAB_ENOTFOUND);
}

static void check_expiry(enum zslab_expiry expiry, int64_t time, bool there)
{
	struct zslab_op op = {
		.kind = ZSLAB_SET,
		.key = "t",
		.key_size = 1,
		.value = "v",
		.value_size = 1,
		.expiry = expiry,
		.time = time,
	};
	char value[8];

	assert_status(handle, zslab_run(handle, &op), ZSLAB_OK);
	assert_status(handle, get_text(handle, "t", value, sizeof(value)), there ? ZSLAB_OK : ZSLAB_ENOTFOUND);
	if (there)
		assert_int_equal(has_deadline("t"), expiry != ZSLAB_NO_EXPIRY);
}

static void test_times_to_live(void **state)
{
	struct zslab_op keep = {
		.kind = ZSLAB_SET,
		.key = "t",
		.key_size = 1,
		.value = "w",
		.value_size = 1,
		.flags = ZSLAB_KEEP_TTL,
	};
	int64_t now = time(NULL);

	(void)state;
	check_expiry(ZSLAB_NO_EXPIRY, 0, true);
	check_expiry(ZSLAB_PX, 100000, true);
	check_expiry(ZSLAB_EXAT, now + 100, true);
	check_expiry(ZSLAB_EXAT, now - 100, false);
	check_expiry(ZSLAB_PXAT, (now + 100) * 1000, true);
	check_expiry(ZSLAB_EX, 100, true);
	assert_status(handle, zslab_run(handle, &keep), ZSLAB_OK);
	assert_value(handle, "t", "w");
	assert_true(has_deadline("t"));
	assert_status(handle, zslab_set(handle, "t", 1, "v", 1, -5), ZSLAB_ENODE);
	assert_mentions(zslab_error(handle), "invalid expire time");
}

static void test_expire_conditions(void **state)
{
	static const struct {
		unsigned flags;
		int64_t time;
		int status;
	} steps[] = {
		{ ZSLAB_TTL_PRESENT, 50, ZSLAB_ECONDITION },
		{ ZSLAB_TTL_ABSENT, 50, ZSLAB_OK },
		{ ZSLAB_TTL_ABSENT, 50, ZSLAB_ECONDITION },
		{ ZSLAB_TTL_GREATER, 20, ZSLAB_ECONDITION },
		{ ZSLAB_TTL_GREATER, 90, ZSLAB_OK },
		{ ZSLAB_TTL_LESS, 200, ZSLAB_ECONDITION },
		{ ZSLAB_TTL_LESS, 60, ZSLAB_OK },
	};

	(void)state;
	assert_status(handle, set_text(handle, "conditions", "v"), ZSLAB_OK);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct zslab_op op = {
			.kind = ZSLAB_EXPIRE,
			.key = "conditions",
			.key_size = 10,
			.expiry = ZSLAB_EX,
			.time = steps[i].time,
			.flags = steps[i].flags,
		};

		assert_status(handle, zslab_run(handle, &op), steps[i].status);
	}
}

static void test_touch_groups_stats_ping(void **state)
{
	struct zslab_op op = {
		.kind = ZSLAB_SET,
		.value = "v",
		.value_size = 1,
		.group = "match 7",
		.group_size = 7,
	};
	static char text[65536];
	char key[8];
	int64_t count = -1;
	size_t size;

	(void)state;
	assert_status(handle, zslab_touch(handle, "g0", 2), ZSLAB_ENOTFOUND);
	for (int i = 0; i < 10; i++) {
		op.key = key;
		op.key_size = (size_t)snprintf(key, sizeof(key), "g%d", i);
		assert_status(handle, zslab_run(handle, &op), ZSLAB_OK);
	}
	assert_status(handle, zslab_touch(handle, "g0", 2), ZSLAB_OK);
	assert_status(handle, zslab_drop(handle, "match 7", 7, &count), ZSLAB_OK);
	assert_int_equal(count, 10);
	assert_status(handle, get_text(handle, "g3", text, sizeof(text)), ZSLAB_ENOTFOUND);
	assert_status(handle, zslab_drop(handle, "match 7", 7, &count), ZSLAB_OK);
	assert_int_equal(count, 0);
	assert_status(handle, zslab_stats(handle, 0, NULL, text, sizeof(text), NULL), ZSLAB_OK);
	assert_mentions(text, "zs_version:");
	assert_status(handle, zslab_stats(handle, 0, "server", text, 10, &size), ZSLAB_ESMALL);
	assert_int_equal(strlen(text), 9);
	assert_true(size > 100 && size <= sizeof(text));
	assert_status(handle, zslab_stats(handle, 0, "server", text, size, &size), ZSLAB_OK);
	assert_status(handle, zslab_ping(handle, 0), ZSLAB_OK);
	assert_status(handle, zslab_ping(handle, 1), ZSLAB_EINVAL);
}

/* More keys than one MGET of the library has, some of them absent, some counters, some buffers too small. */
static void test_multi_get(void **state)
{
	enum { KEYS = 1500 };
	static struct zslab_item items[KEYS];
	static char keys[KEYS][16];
	static char values[KEYS][16];

	(void)state;
	for (int i = 0; i < KEYS; i++) {
		size_t size = (size_t)snprintf(keys[i], sizeof(keys[i]), "multi:%d", i);

		if (i % 10 == 1)
			assert_status(handle, zslab_increment(handle, keys[i], size, i, NULL), ZSLAB_OK);
		else if (i % 10)
			assert_status(handle, zslab_set(handle, keys[i], size, keys[i], size, 0), ZSLAB_OK);
		items[i] = (struct zslab_item){
			.key = keys[i],
			.key_size = size,
			.buffer = values[i],
			.buffer_size = i % 10 == 2 ? 3 : sizeof(values[i]) - 1,
		};
	}
	for (size_t count = 0; count <= KEYS; count += count < 3 ? 1 : 499) {
		memset(values, 0, sizeof(values));
		assert_status(handle, zslab_mget(handle, items, count), ZSLAB_OK);
		for (size_t i = 0; i < count; i++) {
			char expected[16];

			snprintf(expected, sizeof(expected), i % 10 == 1 ? "%zu" : "multi:%zu", i);
			assert_int_equal(items[i].status, i % 10 == 0	? ZSLAB_ENOTFOUND
							  : i % 10 == 2 ? ZSLAB_ESMALL
									: ZSLAB_OK);
			if (items[i].status == ZSLAB_OK)
				assert_string_equal(values[i], expected);
			if (items[i].status != ZSLAB_ENOTFOUND)
				assert_int_equal(items[i].size, strlen(expected));
		}
	}
}

static void test_wrong_arguments(void **state)
{
	static const struct zslab_op wrong[] = {
		{ .kind = (enum zslab_kind)0 },
		{ .kind = (enum zslab_kind)99 },
		{ .kind = ZSLAB_SET, .flags = ZSLAB_IF_ABSENT | ZSLAB_IF_PRESENT },
		{ .kind = ZSLAB_SET, .flags = ZSLAB_KEEP_TTL, .expiry = ZSLAB_EX, .time = 1 },
		{ .kind = ZSLAB_SET, .flags = ZSLAB_TTL_LESS },
		{ .kind = ZSLAB_SET, .expiry = (enum zslab_expiry)9 },
		{ .kind = ZSLAB_EXPIRE, .flags = ZSLAB_TTL_LESS },
		{ .kind = ZSLAB_EXPIRE, .expiry = ZSLAB_EX, .flags = ZSLAB_TTL_LESS | ZSLAB_TTL_GREATER },
		{ .kind = ZSLAB_DROP },
		{ .kind = ZSLAB_GET, .key = "", .key_size = 1u << 30 },
		{ .kind = ZSLAB_MGET, .item_count = 3 },
		{ .kind = ZSLAB_PING, .node = 7 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct zslab_op op = wrong[i];

		assert_status(handle, zslab_run(handle, &op), ZSLAB_EINVAL);
		assert_int_equal(op.status, ZSLAB_EINVAL);
		assert_true(strlen(op.error) > 10);
	}
	assert_status(handle, zslab_ping(handle, 0), ZSLAB_OK);
}

static void test_reads_were_answered_from_memory(void **state)
{
	struct zslab_counters counters;

	(void)state;
	assert_status(handle, zslab_counters(handle, &counters), ZSLAB_OK);
	assert_true(counters.operations > 1000);
	assert_int_equal(counters.disconnects, 0);
	assert_int_equal(counters.attaches, !strcmp(way, "shm"));
	assert_int_equal(counters.rdma_attaches, !strcmp(way, "rdma"));
	assert_int_equal(counters.shm_hits > 1000, !strcmp(way, "shm"));
	assert_int_equal(counters.rdma_hits > 1000, !strcmp(way, "rdma"));
	assert_int_equal(counters.rdma_reads > counters.rdma_hits, !strcmp(way, "rdma"));
	assert_int_equal(counters.rdma_detaches, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_as_it_says),
		cmocka_unit_test(test_get_and_set),
		cmocka_unit_test(test_bytes_of_all_kinds_and_sizes),
		cmocka_unit_test(test_small_buffer),
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_set_get),
		cmocka_unit_test(test_increment),
		cmocka_unit_test(test_expire),
		cmocka_unit_test(test_times_to_live),
		cmocka_unit_test(test_expire_conditions),
		cmocka_unit_test(test_touch_groups_stats_ping),
		cmocka_unit_test(test_multi_get),
		cmocka_unit_test(test_wrong_arguments),
		cmocka_unit_test(test_reads_were_answered_from_memory),
	};

	way = argc > 1 ? argv[1] : "tcp";
	return cmocka_run_group_tests(tests, open_all, close_all);
}
