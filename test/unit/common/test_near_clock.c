/* The bound on the time that costs little: it always is one, and seldom the clock is read for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/near_clock.h"

#define MILLISECOND 1000000u
#define SECOND UINT64_C(1000000000)

static struct world {
	uint64_t ns;
	uint64_t tick_ns;
	unsigned readings;
} world;

static uint64_t world_ns(void *context)
{
	(void)context;
	world.readings++;
	return world.ns;
}

static uint64_t world_coarse(void)
{
	return world.ns / world.tick_ns;
}

static const struct zs_clock world_clock = { .now_ns = world_ns };

static void begin(struct zs_near_clock *near, uint64_t tick_ns, bool coarse)
{
	world = (struct world){ .ns = 5 * SECOND, .tick_ns = tick_ns };
	zs_near_clock_init(near, &world_clock, coarse ? world_coarse : NULL);
}

/* Asks every `step_ns`; each answer must be a bound, and none too far away. */
static void ask(struct zs_near_clock *near, uint64_t step_ns, unsigned times)
{
	for (unsigned i = 0; i < times; i++, world.ns += step_ns) {
		uint64_t latest = zs_near_clock_latest(near);

		assert_true(latest >= world.ns);
		assert_true(latest <= world.ns + ZS_NEAR_CLOCK_LATE_NS);
	}
}

static void test_the_clock_is_read_once_in_many_questions(void **state)
{
	struct zs_near_clock near;

	(void)state;
	begin(&near, 4 * MILLISECOND, true);
	ask(&near, 200, 100000);
	assert_in_range(world.readings, 300, 500);
}

static void test_each_tick_leads_to_a_reading(void **state)
{
	struct zs_near_clock near;

	(void)state;
	begin(&near, 10 * MILLISECOND, true);
	ask(&near, MILLISECOND, 1000);
	assert_in_range(world.readings, 100, 101);
}

/* A coarse clock that stands still, as the host of a virtual machine may cause, is not believed for long. */
static void test_a_coarse_clock_that_stands_still(void **state)
{
	struct zs_near_clock near;

	(void)state;
	begin(&near, 1000 * SECOND, true);
	ask(&near, 300000, 10000);
	assert_in_range(world.readings, 38, 40);
}

static void test_a_long_sleep_between_two_questions(void **state)
{
	struct zs_near_clock near;

	(void)state;
	begin(&near, 4 * MILLISECOND, true);
	for (unsigned i = 0; i < 100; i++) {
		ask(&near, 200, 100);
		world.ns += 3600 * SECOND + i * 1000;
	}
}

static void test_without_a_coarse_clock_each_answer_is_a_reading(void **state)
{
	struct zs_near_clock near;

	(void)state;
	begin(&near, 4 * MILLISECOND, false);
	for (unsigned i = 0; i < 1000; i++, world.ns += 200)
		assert_int_equal(zs_near_clock_latest(&near), world.ns);
	assert_int_equal(world.readings, 1000);
}

static void test_the_systems_clock_is_bounded(void **state)
{
	struct zs_near_clock near;
	const struct zs_clock *clock = zs_clock_system();

	(void)state;
	zs_near_clock_init_system(&near);
	for (unsigned i = 0; i < 300000; i++) {
		uint64_t before = zs_clock_ns(clock);
		uint64_t latest = zs_near_clock_latest(&near);

		assert_true(latest >= before);
		assert_true(latest <= zs_clock_ns(clock) + ZS_NEAR_CLOCK_LATE_NS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_clock_is_read_once_in_many_questions),
		cmocka_unit_test(test_each_tick_leads_to_a_reading),
		cmocka_unit_test(test_a_coarse_clock_that_stands_still),
		cmocka_unit_test(test_a_long_sleep_between_two_questions),
		cmocka_unit_test(test_without_a_coarse_clock_each_answer_is_a_reading),
		cmocka_unit_test(test_the_systems_clock_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
