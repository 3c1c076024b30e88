#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/locations.h"

static uint64_t hash_of(uint64_t i)
{
	return (i + 1) * 0x9e3779b97f4a7c15u;
}

static struct zs_location location_of(uint64_t i)
{
	return (struct zs_location){
		.identity = i * 0x123456789abcdu,
		.id = (uint32_t)(i & 0x3fffff),
		.slot = (uint8_t)i,
		.kind = (uint8_t)(i % 3),
		.unit = (uint8_t)(i % 102),
		.start = (uint16_t)(4095 - i % 4000),
		.size = (uint16_t)(1 + i % 4095),
	};
}

static void expect_location(const struct zs_location *seen, const struct zs_location *wanted)
{
	assert_true(seen->identity == wanted->identity);
	assert_int_equal(seen->id, wanted->id);
	assert_int_equal(seen->slot, wanted->slot);
	assert_int_equal(seen->kind, wanted->kind);
	assert_int_equal(seen->unit, wanted->unit);
	assert_int_equal(seen->start, wanted->start);
	assert_int_equal(seen->size, wanted->size);
}

static void test_every_field_comes_back(void **state)
{
	struct zs_locations *locations = zs_locations_new(1 << 20);
	struct zs_location seen;

	(void)state;
	assert_non_null(locations);
	for (uint64_t i = 0; i < 5000; i++) {
		struct zs_location wanted = location_of(i * 838861);

		zs_locations_store(locations, hash_of(i), &wanted);
		assert_true(zs_locations_find(locations, hash_of(i), &seen));
		expect_location(&seen, &wanted);
	}
	zs_locations_free(locations);
}

static void test_store_replaces_and_drop_forgets(void **state)
{
	struct zs_locations *locations = zs_locations_new(0);
	struct zs_location first = location_of(1);
	struct zs_location second = location_of(2);
	struct zs_location seen;

	(void)state;
	assert_non_null(locations);
	assert_int_equal(zs_locations_capacity(locations), 8);
	assert_false(zs_locations_find(locations, 5, &seen));
	zs_locations_store(locations, 5, &first);
	zs_locations_store(locations, 5, &second);
	assert_true(zs_locations_find(locations, 5, &seen));
	expect_location(&seen, &second);
	zs_locations_drop(locations, 5);
	zs_locations_drop(locations, 6);
	assert_false(zs_locations_find(locations, 5, &seen));
	zs_locations_store(locations, 5, &first);
	zs_locations_clear(locations);
	assert_false(zs_locations_find(locations, 5, &seen));
	zs_locations_free(locations);
}

static void test_objects_without_bytes_are_not_remembered(void **state)
{
	struct zs_locations *locations = zs_locations_new(0);
	struct zs_location location = { .identity = 1 };
	struct zs_location seen;

	(void)state;
	assert_non_null(locations);
	zs_locations_store(locations, 5, &location);
	assert_false(zs_locations_find(locations, 5, &seen));
	zs_locations_free(locations);
}

static void test_memory_is_bounded_and_what_is_used_stays(void **state)
{
	struct zs_locations *locations = zs_locations_new(100000);
	size_t capacity = zs_locations_capacity(locations);
	struct zs_location seen;
	unsigned kept = 0;

	(void)state;
	assert_non_null(locations);
	assert_in_range(capacity, 100000 / 24 - 8, 100000 / 24);
	/* One key is used between any two new ones; ten times as many come as fit. */
	for (uint64_t i = 0; i < 10 * capacity; i++) {
		struct zs_location location = location_of(i);

		zs_locations_store(locations, hash_of(i), &location);
		assert_true(zs_locations_find(locations, hash_of(0), &seen));
	}
	for (uint64_t i = 0; i < 10 * capacity; i++) {
		struct zs_location wanted = location_of(i);

		if (zs_locations_find(locations, hash_of(i), &seen)) {
			expect_location(&seen, &wanted);
			kept++;
		}
	}
	assert_in_range(kept, capacity * 9 / 10, capacity);
	zs_locations_free(locations);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_field_comes_back),
		cmocka_unit_test(test_store_replaces_and_drop_forgets),
		cmocka_unit_test(test_objects_without_bytes_are_not_remembered),
		cmocka_unit_test(test_memory_is_bounded_and_what_is_used_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
