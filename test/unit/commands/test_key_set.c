#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/error.h"
#include "server/commands/key_set.h"

static bool add(struct zs_key_set *set, struct zs_reply *reply, const char *key)
{
	bool added;

	assert_int_equal(zs_key_set_add(set, reply, key, strlen(key), &added), ZS_OK);
	return added;
}

static void test_each_key_once(void **state)
{
	struct zs_key_set set;
	struct zs_reply reply;

	(void)state;
	zs_reply_init(&reply, 1000);
	zs_key_set_init(&set, 1);
	assert_true(add(&set, &reply, "a"));
	assert_true(add(&set, &reply, ""));
	assert_true(add(&set, &reply, "aa"));
	assert_false(add(&set, &reply, "a"));
	assert_false(add(&set, &reply, ""));
	assert_int_equal(set.used, 3);
	assert_int_equal(reply.used, 7 + 6 + 8);
	assert_memory_equal(reply.data, "$1\r\na\r\n$0\r\n\r\n$2\r\naa\r\n", reply.used);
	zs_key_set_free(&set);
	zs_reply_free(&reply);
}

static void test_many_keys_twice(void **state)
{
	struct zs_key_set set;
	struct zs_reply reply;
	char key[16];

	(void)state;
	zs_reply_init(&reply, 1 << 20);
	zs_key_set_init(&set, 2);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 20000; i++) {
			snprintf(key, sizeof(key), "%d", i);
			assert_int_equal(add(&set, &reply, key), round == 0);
		}
	}
	assert_int_equal(set.used, 20000);
	zs_key_set_free(&set);
	zs_reply_free(&reply);
}

static void test_full_reply(void **state)
{
	struct zs_key_set set;
	struct zs_reply reply;
	bool added = true;

	(void)state;
	zs_reply_init(&reply, 40);
	zs_key_set_init(&set, 3);
	assert_int_equal(zs_key_set_add(&set, &reply, "0123456789012345678901234567890123456789", 40, &added),
			 ZS_ENOMEM);
	assert_false(added);
	assert_true(reply.overflow);
	assert_int_equal(set.used, 0);
	zs_key_set_free(&set);
	zs_reply_free(&reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_key_once),
		cmocka_unit_test(test_many_keys_twice),
		cmocka_unit_test(test_full_reply),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
