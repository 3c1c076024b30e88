/* What a reader concludes from its trials of a link. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/link.h"

/* Performs all trials on a link with these costs; now and then one takes longer. */
static uint32_t span_of(uint64_t small_ns, uint64_t two_ns, uint64_t large_ns)
{
	struct zs_link link = { 0 };
	struct zs_fetch parts[2];
	uint64_t now_ns = 1000;
	unsigned trials = 0;
	unsigned count;

	assert_false(zs_link_is_tried(&link));
	zs_link_begin(&link);
	assert_true(zs_link_is_tried(&link));
	while ((count = zs_link_next(&link, parts, now_ns))) {
		for (unsigned i = 0; i < count; i++)
			assert_true(parts[i].address + parts[i].length <= ZS_FRAME_SIZE);
		now_ns += count == 2 ? two_ns : parts[0].length == ZS_FRAME_SIZE ? large_ns : small_ns;
		now_ns += trials % 5 ? 0 : 1000000;
		zs_link_done(&link, now_ns);
		assert_in_range(++trials, 1, 100);
	}
	return link.span;
}

static void test_hardware_reads_two_small_parts(void **state)
{
	(void)state;
	assert_int_equal(span_of(2000, 2150, 2400), 0);
}

static void test_where_each_read_is_dear_one_is_made_of_both(void **state)
{
	(void)state;
	/* soft-RoCE in an emulated machine, MTU 1500 and 9000 */
	assert_in_range(span_of(29000, 44500, 65500), 1500, 2000);
	assert_in_range(span_of(28500, 43600, 43800), 3900, 4096);
	assert_int_equal(span_of(28500, 43600, 40000), 4096);
}

static void test_strange_figures_do_no_harm(void **state)
{
	(void)state;
	assert_int_equal(span_of(0, 0, 0), 0);
	assert_int_equal(span_of(50000, 100, 10), 0);
	assert_in_range(span_of(0, 1000, UINT32_MAX), 64, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hardware_reads_two_small_parts),
		cmocka_unit_test(test_where_each_read_is_dear_one_is_made_of_both),
		cmocka_unit_test(test_strange_figures_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
