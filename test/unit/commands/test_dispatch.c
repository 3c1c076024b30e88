#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/commands/dispatch.h"

static const struct zs_command *find(const char *name)
{
	return zs_command_find((const uint8_t *)name, strlen(name));
}

static void test_every_command_is_found_in_any_case(void **state)
{
	size_t count;
	const struct zs_command *table = zs_command_table(&count);

	(void)state;
	assert_true(count > 50);
	for (size_t i = 0; i < count; i++) {
		char upper[32];

		snprintf(upper, sizeof(upper), "%s", table[i].name);
		assert_ptr_equal(find(upper), &table[i]);
		for (char *p = upper; *p; p++) {
			if (*p >= 'a' && *p <= 'z')
				*p = (char)(*p - 32);
		}
		assert_ptr_equal(find(upper), &table[i]);
		assert_ptr_equal(zs_command_by_id(zs_command_id(&table[i])), &table[i]);
		assert_non_null(table[i].summary);
		assert_non_null(table[i].group);
		assert_non_null(table[i].since);
	}
}

/* Neighbours of real names: other lengths, one bit changed, bytes that folding could mistake for letters. */
static void test_others_are_not_found(void **state)
{
	size_t count;
	const struct zs_command *table = zs_command_table(&count);

	(void)state;
	assert_null(zs_command_find((const uint8_t *)"", 0));
	assert_null(zs_command_find((const uint8_t *)"get\0", 4));
	assert_null(find("a name that is longer than any command"));
	for (size_t i = 0; i < count; i++) {
		size_t size = strlen(table[i].name);
		char name[32];

		assert_true(zs_command_find((const uint8_t *)table[i].name, size - 1) != &table[i]);
		for (size_t bit = 0; bit < 8 * size; bit++) {
			char *changed = &name[bit / 8];

			memcpy(name, table[i].name, size + 1);
			*changed = (char)(*changed ^ (1 << bit % 8));
			if (bit % 8 == 5 && table[i].name[bit / 8] >= 'a' && table[i].name[bit / 8] <= 'z')
				continue; /* that is its capital */
			assert_true(zs_command_find((const uint8_t *)name, size) != &table[i]);
		}
	}
}

static void test_subcommands(void **state)
{
	const struct zs_command *config = find("config");
	const struct zs_command *get = zs_subcommand_find(config, (const uint8_t *)"GeT", 3);
	char name[64];

	(void)state;
	assert_non_null(get);
	assert_ptr_equal(zs_command_parent(get), config);
	assert_null(zs_command_parent(config));
	zs_command_full_name(get, '|', name, sizeof(name));
	assert_string_equal(name, "config|get");
	assert_null(zs_subcommand_find(config, (const uint8_t *)"nope", 4));
	assert_null(zs_subcommand_find(find("get"), (const uint8_t *)"get", 3));
}

static void check_error(const char *const *words, size_t argc, const char *error)
{
	struct zs_argument argv[8];
	struct zs_reply reply;
	struct zs_call call = { .reply = &reply, .argv = argv, .argc = argc };

	for (size_t i = 0; i < argc; i++)
		argv[i] = (struct zs_argument){ (const uint8_t *)words[i], strlen(words[i]) };
	zs_reply_init(&reply, 4096);
	assert_int_equal(zs_command_execute(&call), ZS_OK);
	zs_reply_raw(&reply, "", 1);
	assert_string_equal((const char *)reply.data, error);
	zs_reply_free(&reply);
}

/* As redis-server 7.0.15 answers them. */
static void test_errors(void **state)
{
	(void)state;
	check_error((const char *[]){ "foo", "bar", "baz" }, 3,
		    "-ERR unknown command 'foo', with args beginning with: 'bar' 'baz' \r\n");
	check_error((const char *[]){ "lpush", "a\r\nb" }, 2,
		    "-ERR unknown command 'lpush', with args beginning with: 'a  b' \r\n");
	check_error((const char *[]){ "GET" }, 1, "-ERR wrong number of arguments for 'get' command\r\n");
	check_error((const char *[]){ "get", "a", "b" }, 3, "-ERR wrong number of arguments for 'get' command\r\n");
	check_error((const char *[]){ "config" }, 1, "-ERR wrong number of arguments for 'config' command\r\n");
	check_error((const char *[]){ "config", "get" }, 2,
		    "-ERR wrong number of arguments for 'config|get' command\r\n");
	check_error((const char *[]){ "config", "foo" }, 2, "-ERR unknown subcommand 'foo'. Try CONFIG HELP.\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_command_is_found_in_any_case),
		cmocka_unit_test(test_others_are_not_found),
		cmocka_unit_test(test_subcommands),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
