#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/node/histogram.h"

static void test_buckets_cover_everything(void **state)
{
	(void)state;
	for (uint64_t ns = 0; ns < 100000; ns++) {
		unsigned bucket = zs_histogram_bucket(ns);

		assert_true(ns <= zs_histogram_upper(bucket));
		assert_true(bucket == 0 || ns > zs_histogram_upper(bucket - 1));
	}
	assert_int_equal(zs_histogram_bucket(UINT64_MAX), ZS_HISTOGRAM_BUCKETS - 1);
	assert_int_equal(zs_histogram_bucket((UINT64_C(1) << ZS_HISTOGRAM_MAX_BITS) - 1), ZS_HISTOGRAM_BUCKETS - 1);
}

static void test_error_is_below_an_eighth(void **state)
{
	(void)state;
	for (uint64_t ns = 8; ns < UINT64_C(1) << 39; ns = ns * 9 / 8 + 1) {
		uint64_t upper = zs_histogram_upper(zs_histogram_bucket(ns));

		assert_true(upper - ns <= ns / 8);
	}
}

static void test_percentiles(void **state)
{
	struct zs_histogram *histogram = calloc(1, sizeof(*histogram));
	uint64_t sum[ZS_HISTOGRAM_BUCKETS] = { 0 };

	(void)state;
	assert_int_equal(zs_histogram_percentile(sum, 50), 0);
	zs_histogram_add(histogram, 100, 989);
	zs_histogram_add(histogram, 5000, 10);
	zs_histogram_add(histogram, 1000000, 1);
	zs_histogram_sum(histogram, sum);
	assert_in_range(zs_histogram_percentile(sum, 0), 100, 112);
	assert_in_range(zs_histogram_percentile(sum, 50), 100, 112);
	assert_in_range(zs_histogram_percentile(sum, 98.9), 100, 112);
	assert_in_range(zs_histogram_percentile(sum, 99), 5000, 5625);
	assert_in_range(zs_histogram_percentile(sum, 99.9), 5000, 5625);
	assert_in_range(zs_histogram_percentile(sum, 100), 1000000, 1125000);
	zs_histogram_sum(histogram, sum); /* two workers */
	assert_in_range(zs_histogram_percentile(sum, 50), 100, 112);
	free(histogram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buckets_cover_everything),
		cmocka_unit_test(test_error_is_below_an_eighth),
		cmocka_unit_test(test_percentiles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
