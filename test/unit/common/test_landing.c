/* The pool that READs land in: no two get the same bytes, all of it can be used, and what is given back comes again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/landing.h"

static void *open_pool(struct zs_landing *pool)
{
	void *memory = aligned_alloc(4096, ZS_LANDING_SIZE);

	assert_non_null(memory);
	zs_landing_init(pool, memory);
	return memory;
}

static void test_all_of_it_can_be_used(void **state)
{
	struct zs_landing pool;
	uint8_t *memory = open_pool(&pool);

	(void)state;
	for (unsigned i = 0; i < ZS_LANDING_UNITS; i++)
		assert_ptr_equal(zs_landing_take(&pool, 1), memory + (size_t)i * ZS_LANDING_UNIT);
	assert_null(zs_landing_take(&pool, 1));
	zs_landing_give(&pool, memory + 70 * ZS_LANDING_UNIT, 1);
	assert_null(zs_landing_take(&pool, ZS_LANDING_UNIT + 1));
	assert_ptr_equal(zs_landing_take(&pool, ZS_LANDING_UNIT), memory + 70 * ZS_LANDING_UNIT);
	for (unsigned i = 0; i < ZS_LANDING_UNITS; i++)
		zs_landing_give(&pool, memory + (size_t)i * ZS_LANDING_UNIT, ZS_LANDING_UNIT);
	for (unsigned i = 0; i < ZS_LANDING_WORDS; i++)
		assert_ptr_equal(zs_landing_take(&pool, ZS_LANDING_MAX), memory + i * ZS_LANDING_MAX);
	assert_null(zs_landing_take(&pool, 1));
	free(memory);
}

/* A run does not go over the border of two words of the map, and is not put where its middle is in use. */
static void test_runs_lie_together(void **state)
{
	struct zs_landing pool;
	uint8_t *memory = open_pool(&pool);
	uint8_t *whole;

	(void)state;
	assert_ptr_equal(zs_landing_take(&pool, 60 * ZS_LANDING_UNIT), memory);
	whole = zs_landing_take(&pool, 4096);
	assert_ptr_equal(whole, memory + ZS_LANDING_MAX);
	zs_landing_give(&pool, memory, 60 * ZS_LANDING_UNIT);
	assert_ptr_equal(zs_landing_take(&pool, 5 * ZS_LANDING_UNIT), memory);
	assert_ptr_equal(zs_landing_take(&pool, 2 * ZS_LANDING_UNIT), memory + 5 * ZS_LANDING_UNIT);
	zs_landing_give(&pool, memory, 5 * ZS_LANDING_UNIT);
	assert_ptr_equal(zs_landing_take(&pool, 6 * ZS_LANDING_UNIT), memory + 7 * ZS_LANDING_UNIT);
	free(memory);
}

static void test_takes_and_gives_of_all_sizes(void **state)
{
	struct {
		uint8_t *memory;
		size_t size;
	} held[64] = { 0 };
	struct zs_landing pool;
	uint8_t *memory = open_pool(&pool);
	uint64_t refused = 0;

	(void)state;
	srand(7);
	for (unsigned round = 0; round < 200000; round++) {
		unsigned i = (unsigned)rand() % 64;

		if (held[i].memory) {
			for (size_t at = 0; at < held[i].size; at++)
				assert_int_equal(held[i].memory[at], i);
			zs_landing_give(&pool, held[i].memory, held[i].size);
			held[i].memory = NULL;
			continue;
		}
		held[i].size = 1 + (size_t)rand() % (rand() % 4 ? 500 : 4096);
		held[i].memory = zs_landing_take(&pool, held[i].size);
		refused += !held[i].memory;
		if (held[i].memory)
			memset(held[i].memory, (int)i, held[i].size);
	}
	assert_in_range(refused, 1, 100000);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_of_it_can_be_used),
		cmocka_unit_test(test_runs_lie_together),
		cmocka_unit_test(test_takes_and_gives_of_all_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
