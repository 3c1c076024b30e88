#include "test/unit/commands/support.h"

#include "server/commands/arguments.h"

static const struct zs_command fake = { .name = "fake" };

/* Empties the reply, whose text has to be this. */
static void check_reply(const char *expected)
{
	assert_int_equal(reply.used, strlen(expected));
	assert_memory_equal(reply.data, expected, reply.used);
	reply.used = 0;
}

static void test_words(void **state)
{
	const struct zs_argument word = { (const uint8_t *)"KeepTTL", 7 };

	(void)state;
	assert_true(zs_argument_is(&word, "KEEPTTL"));
	assert_true(zs_argument_is(&word, "keepttl"));
	assert_false(zs_argument_is(&word, "KEEP"));
	assert_false(zs_argument_is(&word, "KEEPTTLS"));
}

static void test_integer(void **state)
{
	int64_t value = 0;

	(void)state;
	set_arguments("-12 12x");
	assert_true(zs_argument_integer(&call, &arguments[0], &value));
	assert_int_equal(value, -12);
	check_reply("");
	assert_false(zs_argument_integer(&call, &arguments[1], &value));
	check_reply("-ERR value is not an integer or out of range\r\n");
}

static bool parse_set(const char *line, struct zs_write_options *options)
{
	set_arguments(line);
	call.command = &fake;
	return zs_parse_set_options(&call, options);
}

static void test_set_options(void **state)
{
	struct zs_write_options options;

	(void)state;
	assert_true(parse_set("set k v", &options));
	assert_int_equal(options.set_flags, 0);
	assert_null(options.when.number);
	assert_false(options.get);

	assert_true(parse_set("set k v nx get eX 10 EX 20", &options));
	assert_int_equal(options.set_flags, ZS_SET_ABSENT);
	assert_true(options.get);
	assert_true(options.when.seconds);
	assert_false(options.when.absolute);
	assert_ptr_equal(options.when.number, &arguments[8]);

	assert_true(parse_set("set k v pxat 10 ifeq ifeq group group", &options));
	assert_int_equal(options.set_flags, ZS_SET_EQUAL | ZS_SET_GROUP);
	assert_false(options.when.seconds);
	assert_true(options.when.absolute);
	assert_ptr_equal(options.expected, &arguments[6]);
	assert_ptr_equal(options.group, &arguments[8]);

	assert_true(parse_set("set k v keepttl xx", &options));
	assert_int_equal(options.set_flags, ZS_SET_KEEP_TTL | ZS_SET_PRESENT);
}

static void test_wrong_set_options(void **state)
{
	static const char *const wrong[] = {
		"set k v foo",	       "set k v ex",	       "set k v ex 1 px 1",    "set k v px 1 pxat 1",
		"set k v exat 1 ex 1", "set k v ex 1 keepttl", "set k v keepttl px 1", "set k v nx xx",
		"set k v xx nx",       "set k v ifeq",	       "set k v nx ifeq 1",    "set k v ifeq 1 xx",
		"set k v group",       "set k v persist",      "set k v get get x",    "set k v ",
	};
	struct zs_write_options options;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (parse_set(wrong[i], &options))
			fail_msg("%s was accepted", wrong[i]);
		check_reply("-ERR syntax error\r\n");
	}
}

static bool parse_getex(const char *line, struct zs_write_options *options)
{
	set_arguments(line);
	call.command = &fake;
	return zs_parse_getex_options(&call, options);
}

static void test_getex_options(void **state)
{
	static const char *const wrong[] = { "getex k persist ex 1", "getex k ex 1 persist", "getex k keepttl",
					     "getex k nx", "getex k ex" };
	struct zs_write_options options;

	(void)state;
	assert_true(parse_getex("getex k", &options));
	assert_false(options.persist);
	assert_true(parse_getex("getex k PERSIST", &options));
	assert_true(options.persist);
	assert_true(parse_getex("getex k exat 5", &options));
	assert_true(options.when.seconds && options.when.absolute);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (parse_getex(wrong[i], &options))
			fail_msg("%s was accepted", wrong[i]);
		check_reply("-ERR syntax error\r\n");
	}
}

static void check_expire_options(const char *line, const char *expected)
{
	unsigned flags;

	set_arguments(line);
	assert_false(zs_parse_expire_options(&call, &flags));
	check_reply(expected);
}

static void test_expire_options(void **state)
{
	unsigned flags;

	(void)state;
	set_arguments("expire k 1");
	assert_true(zs_parse_expire_options(&call, &flags));
	assert_int_equal(flags, 0);
	set_arguments("expire k 1 xx Gt gt");
	assert_true(zs_parse_expire_options(&call, &flags));
	assert_int_equal(flags, ZS_EXPIRE_XX | ZS_EXPIRE_GT);
	check_expire_options("expire k 1 nx foo", "-ERR Unsupported option foo\r\n");
	check_expire_options("expire k 1 nx xx",
			     "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n");
	check_expire_options("expire k 1 lt nx",
			     "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n");
	check_expire_options("expire k 1 gt lt xx", "-ERR GT and LT options at the same time are not compatible\r\n");
}

/* The deadline of `number`, 0 if it was refused as an invalid expire time. */
static uint64_t deadline_of(const char *number, bool seconds, bool absolute, bool any)
{
	struct zs_argument argument = { (const uint8_t *)number, strlen(number) };
	struct zs_when when = { &argument, seconds, absolute };
	uint64_t deadline = 0;

	call.command = &fake;
	if (any ? zs_when_deadline_any(&call, &when, &deadline) : zs_when_deadline(&call, &when, &deadline)) {
		check_reply("");
		return deadline;
	}
	check_reply("-ERR invalid expire time in 'fake' command\r\n");
	return 0;
}

static void test_deadlines(void **state)
{
	(void)state;
	for (int any = 0; any < 2; any++) {
		assert_int_equal(deadline_of("10", true, false, any), START_MS + 10000);
		assert_int_equal(deadline_of("10", false, false, any), START_MS + 10);
		assert_int_equal(deadline_of("10", true, true, any), 10000);
		assert_int_equal(deadline_of("10", false, true, any), 10);
		assert_int_equal(deadline_of("9223372036854775807", false, true, any), INT64_MAX);
		assert_int_equal(deadline_of("9223372036854775807", false, false, any), 0);
		assert_int_equal(deadline_of("9223372036854775807", true, true, any), 0);
		assert_int_equal(deadline_of("9223372036854775", true, true, any), 9223372036854775000);
		assert_int_equal(deadline_of("9223372036854775", true, false, any), 0);
	}
	assert_int_equal(deadline_of("0", true, false, false), 0);
	assert_int_equal(deadline_of("-1", false, true, false), 0);
	assert_int_equal(deadline_of("0", true, false, true), START_MS);
	assert_int_equal(deadline_of("-1", true, false, true), START_MS - 1000);
	assert_int_equal(deadline_of("-9223372036854775808", false, true, true), 1);
	assert_int_equal(deadline_of("-9223372036854775808", false, false, true), 1);
	assert_int_equal(deadline_of("-9223372036854775808", true, false, true), 0);
}

static void test_no_deadline_was_given(void **state)
{
	struct zs_when when = { 0 };
	uint64_t deadline = 77;

	(void)state;
	assert_true(zs_when_deadline(&call, &when, &deadline));
	assert_int_equal(deadline, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_words),	  TEST(test_integer),
		TEST(test_set_options),	  TEST(test_wrong_set_options),
		TEST(test_getex_options), TEST(test_expire_options),
		TEST(test_deadlines),	  TEST(test_no_deadline_was_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
