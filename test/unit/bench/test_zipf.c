#include "test/unit/bench/cmocka_all.h"

#include <math.h>

#include "bench/zipf.h"
#include "common/error.h"

#define COUNT 1000
#define DRAWS 1000000

/* Every rank is drawn as often as the formula says, within five standard deviations. */
static void check_frequencies(double alpha)
{
	static uint32_t seen[COUNT];
	struct zs_random random = { 7 };
	struct zs_zipf zipf;
	double total = 0;

	for (unsigned i = 0; i < COUNT; i++) {
		seen[i] = 0;
		total += pow(i + 1, -alpha);
	}
	assert_int_equal(zs_zipf_open(&zipf, COUNT, alpha), ZS_OK);
	for (unsigned i = 0; i < DRAWS; i++) {
		uint64_t rank = zs_zipf_draw(&zipf, &random);

		assert_true(rank < COUNT);
		seen[rank]++;
	}
	for (unsigned i = 0; i < COUNT; i++) {
		double expected = DRAWS * pow(i + 1, -alpha) / total;

		assert_true(fabs(seen[i] - expected) <= 5 * sqrt(expected) + 1);
	}
	zs_zipf_close(&zipf);
}

static void test_uniform(void **state)
{
	(void)state;
	check_frequencies(0);
}

static void test_below_one(void **state)
{
	(void)state;
	check_frequencies(0.27);
	check_frequencies(0.9);
}

static void test_one_and_above(void **state)
{
	(void)state;
	check_frequencies(1);
	check_frequencies(2.1);
}

/* The inverse is exact at the steps: just below a cumulative probability is that rank, the probability itself
 * the next. */
static void test_steps(void **state)
{
	struct zs_zipf zipf;

	(void)state;
	assert_int_equal(zs_zipf_open(&zipf, COUNT, 1.2), ZS_OK);
	assert_int_equal(zs_zipf_rank(&zipf, 0), 0);
	for (unsigned i = 0; i + 1 < COUNT; i++) {
		assert_int_equal(zs_zipf_rank(&zipf, nextafter(zipf.cumulative[i], 0)), i);
		assert_int_equal(zs_zipf_rank(&zipf, zipf.cumulative[i]), i + 1);
	}
	assert_int_equal(zs_zipf_rank(&zipf, nextafter(1, 0)), COUNT - 1);
	zs_zipf_close(&zipf);
}

static void test_single(void **state)
{
	struct zs_zipf zipf;

	(void)state;
	assert_int_equal(zs_zipf_open(&zipf, 1, 0.99), ZS_OK);
	assert_int_equal(zs_zipf_rank(&zipf, 0), 0);
	assert_int_equal(zs_zipf_rank(&zipf, 0.999999), 0);
	zs_zipf_close(&zipf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uniform), cmocka_unit_test(test_below_one), cmocka_unit_test(test_one_and_above),
		cmocka_unit_test(test_steps),	cmocka_unit_test(test_single),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
