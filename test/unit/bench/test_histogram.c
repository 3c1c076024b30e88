#include "test/unit/bench/cmocka_all.h"

#include <stdlib.h>

#include "bench/histogram.h"
#include "bench/random.h"

static struct zs_histogram histogram;
static struct zs_histogram other;

static void test_empty(void **state)
{
	(void)state;
	zs_histogram_reset(&histogram);
	assert_int_equal(zs_histogram_percentile(&histogram, 50), 0);
	assert_int_equal(zs_histogram_percentile(&histogram, 100), 0);
	assert_true(zs_histogram_mean(&histogram) == 0);
}

static void test_small_values_are_exact(void **state)
{
	(void)state;
	zs_histogram_reset(&histogram);
	for (unsigned i = 1; i <= 100; i++)
		zs_histogram_add(&histogram, i, 1);
	for (unsigned i = 1; i <= 100; i++)
		assert_int_equal(zs_histogram_percentile(&histogram, i), i);
	assert_int_equal(zs_histogram_percentile(&histogram, 0), 1);
	assert_true(zs_histogram_mean(&histogram) == 50.5);
}

static void test_times(void **state)
{
	(void)state;
	zs_histogram_reset(&histogram);
	zs_histogram_add(&histogram, 10, 999);
	zs_histogram_add(&histogram, 1000000, 1);
	zs_histogram_add(&histogram, 5, 0);
	assert_int_equal(histogram.count, 1000);
	assert_int_equal(zs_histogram_percentile(&histogram, 99.9), 10);
	assert_int_equal(zs_histogram_percentile(&histogram, 99.95), 1000000);
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Against sorting: never below the true percentile, and at most 1.6 % above it, over the whole range of 64
 * bits. */
static void test_error_bound(void **state)
{
	enum { COUNT = 10000 };
	static uint64_t values[COUNT];
	struct zs_random random = { 3 };

	(void)state;
	zs_histogram_reset(&histogram);
	for (unsigned i = 0; i < COUNT; i++) {
		values[i] = zs_random_next(&random) >> zs_random_below(&random, 64);
		zs_histogram_add(&histogram, values[i], 1);
	}
	qsort(values, COUNT, sizeof(values[0]), ascending);
	for (unsigned percent = 1; percent <= 100; percent++) {
		uint64_t truth = values[percent * COUNT / 100 - 1];
		uint64_t answer = zs_histogram_percentile(&histogram, percent);

		assert_true(answer >= truth);
		assert_true((double)answer <= (double)truth * 1.016);
	}
	assert_int_equal(zs_histogram_percentile(&histogram, 100), values[COUNT - 1]);
}

static void test_extremes(void **state)
{
	(void)state;
	zs_histogram_reset(&histogram);
	zs_histogram_add(&histogram, UINT64_MAX, 1);
	assert_true(zs_histogram_percentile(&histogram, 100) == UINT64_MAX);
	zs_histogram_add(&histogram, 0, 1);
	assert_int_equal(zs_histogram_percentile(&histogram, 50), 0);
}

static void test_merge(void **state)
{
	(void)state;
	zs_histogram_reset(&histogram);
	zs_histogram_reset(&other);
	zs_histogram_add(&histogram, 1, 50);
	zs_histogram_add(&other, 100, 50);
	zs_histogram_merge(&histogram, &other);
	assert_int_equal(histogram.count, 100);
	assert_int_equal(zs_histogram_percentile(&histogram, 50), 1);
	assert_int_equal(zs_histogram_percentile(&histogram, 51), 100);
	assert_true(zs_histogram_mean(&histogram) == 50.5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),	 cmocka_unit_test(test_small_values_are_exact),
		cmocka_unit_test(test_times),	 cmocka_unit_test(test_error_bound),
		cmocka_unit_test(test_extremes), cmocka_unit_test(test_merge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
