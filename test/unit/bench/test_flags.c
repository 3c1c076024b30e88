#include "test/unit/bench/cmocka_all.h"

#include "bench/flags.h"

static void test_numbers(void **state)
{
	uint64_t number;

	(void)state;
	assert_true(zs_flags_number("0", &number) && number == 0);
	assert_true(zs_flags_number("64m", &number) && number == 64u << 20);
	assert_true(zs_flags_number("1g", &number) && number == 1u << 30);
	assert_true(zs_flags_number("2M", &number) && number == 2000000);
	assert_true(zs_flags_number("18446744073709551615", &number) && number == UINT64_MAX);
	assert_false(zs_flags_number("18446744073709551616", &number));
	assert_false(zs_flags_number("18446744073709551615k", &number));
	assert_false(zs_flags_number("", &number));
	assert_false(zs_flags_number("-1", &number));
	assert_false(zs_flags_number(" 1", &number));
	assert_false(zs_flags_number("1x", &number));
	assert_false(zs_flags_number("k", &number));
}

static void test_ranges(void **state)
{
	struct zs_range range;

	(void)state;
	assert_true(zs_flags_range("128", &range) && range.low == 128 && range.high == 128);
	assert_true(zs_flags_range("32..512", &range) && range.low == 32 && range.high == 512);
	assert_true(zs_flags_range("1k..2k", &range) && range.low == 1024 && range.high == 2048);
	assert_false(zs_flags_range("512..32", &range));
	assert_false(zs_flags_range("1..", &range));
	assert_false(zs_flags_range("..1", &range));
	assert_false(zs_flags_range("1-2", &range));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_numbers), cmocka_unit_test(test_ranges) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
