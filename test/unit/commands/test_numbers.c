#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/commands/numbers.h"

static void check_unsigned(uint64_t value)
{
	char expected[32];
	uint8_t text[ZS_INTEGER_MAX];
	size_t size = zs_unsigned_format(text, value);

	snprintf(expected, sizeof(expected), "%llu", (unsigned long long)value);
	assert_int_equal(size, strlen(expected));
	assert_memory_equal(text, expected, size);
	assert_int_equal(zs_digits(value), size);
}

static void check_integer(int64_t value)
{
	char expected[32];
	uint8_t text[ZS_INTEGER_MAX];
	size_t size = zs_integer_format(text, value);
	int64_t back;

	snprintf(expected, sizeof(expected), "%lld", (long long)value);
	assert_int_equal(size, strlen(expected));
	assert_memory_equal(text, expected, size);
	assert_true(zs_integer_parse(text, size, &back));
	assert_true(back == value);
}

static void test_format(void **state)
{
	(void)state;
	for (uint64_t value = 0; value < 12000; value++)
		check_unsigned(value);
	for (uint64_t power = 1; power <= UINT64_MAX / 10; power *= 10) {
		check_unsigned(power * 10 - 1);
		check_unsigned(power * 10);
		check_unsigned(power * 10 + 1);
	}
	check_unsigned(UINT64_MAX);
}

static void test_format_and_parse_agree(void **state)
{
	(void)state;
	for (int64_t value = -1100; value < 1100; value++)
		check_integer(value);
	for (int bit = 0; bit < 63; bit++) {
		int64_t power = (int64_t)1 << bit;

		check_integer(power - 1);
		check_integer(power);
		check_integer(-power);
		check_integer(-power - 1);
	}
	check_integer(INT64_MAX);
	check_integer(INT64_MIN);
}

static void test_only_canonical_integers(void **state)
{
	static const char *const wrong[] = {
		"",
		"-",
		"+1",
		" 1",
		"1 ",
		"01",
		"-0",
		"-01",
		"00",
		"1.0",
		"0x1",
		"1e3",
		"--1",
		"9223372036854775808",
		"-9223372036854775809",
		"18446744073709551616",
		"99999999999999999999",
		"100000000000000000000",
		"-100000000000000000000",
	};
	int64_t value = 77;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (zs_integer_parse(wrong[i], strlen(wrong[i]), &value))
			fail_msg("\"%s\" was taken for an integer", wrong[i]);
	}
	assert_false(zs_integer_parse("1\0", 2, &value));
	assert_int_equal(value, 77);
}

static void test_unsigned(void **state)
{
	uint64_t value = 77;

	(void)state;
	assert_false(zs_unsigned_parse("", 0, &value));
	assert_false(zs_unsigned_parse("-1", 2, &value));
	assert_false(zs_unsigned_parse(" 1", 2, &value));
	assert_false(zs_unsigned_parse("1a", 2, &value));
	assert_false(zs_unsigned_parse("18446744073709551616", 20, &value));
	assert_false(zs_unsigned_parse("20000000000000000000", 20, &value));
	assert_int_equal(value, 77);
	assert_true(zs_unsigned_parse("18446744073709551615", 20, &value));
	assert_true(value == UINT64_MAX);
	assert_true(zs_unsigned_parse("007", 3, &value));
	assert_int_equal(value, 7);
}

static void test_float_parse(void **state)
{
	static const char *const wrong[] = {
		"", " 1", "1 ", "\t1", "abc", "1.5x", "nan", "-nan", "1e5000", "-1e5000", "1e-5000", "--1", "1,5",
	};
	static char long_text[ZS_FLOAT_MAX];
	long double value = 77;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (zs_float_parse(wrong[i], strlen(wrong[i]), &value))
			fail_msg("\"%s\" was taken for a number", wrong[i]);
	}
	assert_false(zs_float_parse("1\0", 2, &value));
	memset(long_text, '1', sizeof(long_text));
	assert_false(zs_float_parse(long_text, sizeof(long_text), &value));
	assert_true(value == 77);

	assert_true(zs_float_parse("1.5", 3, &value) && value == 1.5L);
	assert_true(zs_float_parse("+2", 2, &value) && value == 2);
	assert_true(zs_float_parse("-1e3", 4, &value) && value == -1000);
	assert_true(zs_float_parse("0x10", 4, &value) && value == 16);
	assert_true(zs_float_parse("inf", 3, &value) && isinf(value));
}

static void check_float(long double value, const char *expected)
{
	char text[ZS_FLOAT_MAX];
	size_t size = zs_float_format(text, value);

	assert_int_equal(size, strlen(expected));
	assert_memory_equal(text, expected, size);
}

static void test_float_format(void **state)
{
	char text[ZS_FLOAT_MAX];

	(void)state;
	check_float(0, "0");
	check_float(-0.0L, "0");
	check_float(3, "3");
	check_float(100, "100");
	check_float(-5.5L, "-5.5");
	check_float(10.6L, "10.6");
	check_float(1e-17L, "0.00000000000000001");
	check_float(-1e-30L, "0");
	check_float(1e20L, "100000000000000000000");
	check_float(3000 + 0.1L, "3000.10000000000000009");
	assert_in_range(zs_float_format(text, -LDBL_MAX), 4900, ZS_FLOAT_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_format_and_parse_agree),
		cmocka_unit_test(test_only_canonical_integers),
		cmocka_unit_test(test_unsigned),
		cmocka_unit_test(test_float_parse),
		cmocka_unit_test(test_float_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
