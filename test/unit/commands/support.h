/*
 * Runs data commands in process, on an engine with a clock that the test moves.
 */
#ifndef ZS_TEST_UNIT_COMMANDS_SUPPORT_H
#define ZS_TEST_UNIT_COMMANDS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/commands/command.h"

#define START_MS 1700000000000u

#define MOST_ARGUMENTS 100

static uint64_t now_ms = START_MS;

static struct zs_engine *engine;
static struct zs_thread *thread;
static struct zs_reply reply;
static struct zs_argument arguments[MOST_ARGUMENTS];
static struct zs_call call;

static uint64_t test_ms(void *context)
{
	(void)context;
	return now_ms;
}

static uint64_t test_ns(void *context)
{
	(void)context;
	return now_ms * 1000000u;
}

static const struct zs_clock test_clock = { test_ms, test_ns, NULL };

static inline int open_engine(enum zs_policy policy)
{
	struct zs_engine_options options;
	char why[200];

	now_ms = START_MS;
	zs_engine_options_init(&options);
	options.memory = 16u << 20;
	options.policy = policy;
	options.clock = &test_clock;
	options.seed = 1;
	options.huge_pages = false;
	if (zs_engine_open(&options, &engine, why, sizeof(why)) != ZS_OK) {
		print_error("%s\n", why);
		return -1;
	}
	thread = zs_thread_attach(engine);
	zs_reply_init(&reply, 16u << 20);
	zs_thread_quiesce(thread);
	call = (struct zs_call){ .thread = thread, .reply = &reply, .argv = arguments };
	return thread ? 0 : -1;
}

static inline int setup(void **state)
{
	(void)state;
	return open_engine(ZS_POLICY_S3FIFO);
}

static inline int teardown(void **state)
{
	(void)state;
	zs_reply_free(&reply);
	zs_thread_detach(thread);
	zs_engine_close(engine);
	return 0;
}

static inline void pass_ms(uint64_t ms)
{
	now_ms += ms;
	zs_thread_quiesce(thread);
}

static inline const struct zs_command *find_in(const struct zs_command *table, const struct zs_argument *name)
{
	for (; table && table->name; table++) {
		if (strlen(table->name) == name->size && memcmp(table->name, name->data, name->size) == 0)
			return table;
	}
	return NULL;
}

/* Splits a line at its spaces into the arguments of `call`. Lives until the next one. */
static inline void set_arguments(const char *line)
{
	static char copy[8192];
	char *rest = copy;

	assert_true(strlen(line) < sizeof(copy));
	memcpy(copy, line, strlen(line) + 1);
	call.argc = 0;
	while (rest) {
		char *word = strsep(&rest, " ");

		assert_true(call.argc < MOST_ARGUMENTS);
		arguments[call.argc++] = (struct zs_argument){ (uint8_t *)word, strlen(word) };
	}
}

/* Runs the command in `call`, whose name is in lower case, and returns what the handler did. */
static inline int run_arguments(void)
{
	const struct zs_command *command = find_in(zs_commands_string, &arguments[0]);

	if (!command)
		command = find_in(zs_commands_generic, &arguments[0]);
	assert_non_null(command);
	if (command->subcommands)
		command = find_in(command->subcommands, &arguments[1]);
	assert_non_null(command);
	assert_true(command->arity > 0 ? (int)call.argc == command->arity : (int)call.argc >= -command->arity);
	call.command = command;
	reply.used = 0;
	return command->handler(&call);
}

/* Runs a line and compares its reply, which has no NUL. */
static inline void check_line(const char *line, const char *expected, const char *file, int number)
{
	set_arguments(line);
	_assert_int_equal((LargestIntegralType)run_arguments(), ZS_OK, file, number);
	if (reply.used != strlen(expected) || memcmp(reply.data, expected, reply.used) != 0) {
		print_error("%s\nexpected %s\ngot      %.*s\n", line, expected, (int)reply.used, (char *)reply.data);
		_fail(file, number);
	}
	zs_thread_quiesce(thread);
}

/* Runs a line and returns the number that it has to be answered with. */
static inline long long integer(const char *line)
{
	char text[40] = "";

	set_arguments(line);
	assert_int_equal(run_arguments(), ZS_OK);
	assert_in_range(reply.used, 4, 30);
	assert_int_equal(reply.data[0], ':');
	memcpy(text, reply.data + 1, reply.used - 1);
	return strtoll(text, NULL, 10);
}

/* A remaining time: at most 1 % less than what was asked for. */
#define CHECK_TTL(line, asked) assert_in_range(integer(line), (asked) - ((asked) + 99) / 100, asked)

#define CHECK(line, expected) check_line(line, expected, __FILE__, __LINE__)

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
