#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/node/cpus.h"

static struct zs_cpus cpus;
static char why[256];

static void test_lists(void **state)
{
	(void)state;
	assert_true(zs_cpus_parse("", &cpus, why, sizeof(why)));
	assert_int_equal(cpus.count, 0);
	assert_true(zs_cpus_parse("3", &cpus, why, sizeof(why)));
	assert_int_equal(cpus.count, 1);
	assert_int_equal(cpus.list[0], 3);
	assert_true(zs_cpus_parse("0,2-4,9", &cpus, why, sizeof(why)));
	assert_int_equal(cpus.count, 5);
	assert_int_equal(cpus.list[2], 3);
	assert_int_equal(cpus.list[4], 9);
}

static void test_wrong_lists(void **state)
{
	static const char *const wrong[] = { ",", "1,", "a", "1-", "3-1", "-1", "1 2", "1024", "0-1023,1" };

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_false(zs_cpus_parse(wrong[i], &cpus, why, sizeof(why)));
		assert_non_null(strstr(why, "'cpu-list' cannot be"));
	}
}

static void test_there_is_a_cpu(void **state)
{
	(void)state;
	assert_true(zs_cpus_available() >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_wrong_lists),
		cmocka_unit_test(test_there_is_a_cpu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
