#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/error.h"
#include "server/node/settings.h"

static struct zs_options options;
static char why[ZS_OPTION_WHY_MAX];

static int setup(void **state)
{
	(void)state;
	return zs_options_init(&options, zs_settings, ZS_SET_COUNT);
}

static int teardown(void **state)
{
	(void)state;
	zs_options_free(&options);
	return 0;
}

static void set(enum zs_setting setting, const char *value)
{
	assert_int_equal(zs_options_set(&options, setting, value, why, sizeof(why)), ZS_OK);
}

static int check(void)
{
	return zs_settings_check(&options, why, sizeof(why));
}

static void test_defaults_are_right_and_closed(void **state)
{
	char text[ZS_OPTION_TEXT_MAX];

	(void)state;
	assert_int_equal(check(), ZS_OK);
	assert_int_equal(zs_options_number(&options, ZS_SET_PORT), 7379);
	zs_options_text(&options, ZS_SET_BIND, text);
	assert_string_equal(text, "127.0.0.1");
}

/* An address that others reach needs a password, or somebody who says that it does not. */
static void test_protected_mode(void **state)
{
	static const char *const open[] = { "*", "0.0.0.0", "10.0.0.1", "127.0.0.1 10.0.0.1", "::", "example.org" };

	(void)state;
	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
		set(ZS_SET_BIND, open[i]);
		assert_int_equal(check(), ZS_ECONFIG);
		assert_non_null(strstr(why, "'requirepass'"));
		set(ZS_SET_REQUIREPASS, "secret");
		assert_int_equal(check(), ZS_OK);
		set(ZS_SET_REQUIREPASS, "");
		set(ZS_SET_PROTECTED_MODE, "no");
		assert_int_equal(check(), ZS_OK);
		set(ZS_SET_PROTECTED_MODE, "yes");
	}
}

static void test_loopback_needs_no_password(void **state)
{
	static const char *const closed[] = { "127.0.0.1", "127.1.2.3", "::1", "localhost", "127.0.0.1 ::1" };

	(void)state;
	for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
		set(ZS_SET_BIND, closed[i]);
		assert_int_equal(check(), ZS_OK);
	}
}

static void test_something_must_listen(void **state)
{
	(void)state;
	set(ZS_SET_PORT, "0");
	assert_int_equal(check(), ZS_ECONFIG);
	assert_non_null(strstr(why, "nothing to listen on"));
	set(ZS_SET_UNIXSOCKET, "/tmp/x");
	assert_int_equal(check(), ZS_OK);
	set(ZS_SET_PORT, "1");
	set(ZS_SET_BIND, " ");
	assert_int_equal(check(), ZS_ECONFIG);
}

static void test_names_are_unique_and_have_help(void **state)
{
	(void)state;
	for (int i = 0; i < ZS_SET_COUNT; i++) {
		assert_int_equal(zs_options_find(&options, zs_settings[i].name), i);
		assert_true(strlen(zs_settings[i].help) > 10);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_defaults_are_right_and_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_protected_mode, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loopback_needs_no_password, setup, teardown),
		cmocka_unit_test_setup_teardown(test_something_must_listen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names_are_unique_and_have_help, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
