/* What readers in other processes rely on: freed slots rest, under a generation of their own. */
#include "test/unit/common/arena_fixture.h"

#include "server/engine/index.h"

static bool find(struct arena *arena, const char *key, struct zs_found *found)
{
	uint64_t hash = zs_hash(key, strlen(key), arena->engine->seed);

	return zs_index_find(zs_part_of(arena->engine, hash), hash, 0, key, strlen(key), found);
}

static uint32_t generation(const struct zs_found *found)
{
	return zs_identity_generation(zs_load(&found->slab->identity));
}

static void delete (struct arena *arena, const char *key)
{
	assert_int_equal(zs_delete(arena->thread, key, strlen(key), NULL), ZS_OK);
	zs_thread_quiesce(arena->thread);
}

/* Writes new keys until one lands in the slot; false if `most` do not. */
static bool is_refilled(struct arena *arena, const struct zs_found *slot, unsigned first, unsigned most)
{
	for (unsigned i = first; i < first + most; i++) {
		struct zs_found found;
		char key[32];

		arena_fill(arena, i, 1, 100);
		snprintf(key, sizeof(key), "key:%06u", i);
		assert_true(find(arena, key, &found));
		if (found.id == slot->id && found.slot == slot->slot)
			return true;
	}
	return false;
}

static void test_a_freed_slot_rests(void **state)
{
	struct arena *arena = arena_open();
	struct zs_found slot;
	uint32_t before;

	(void)state;
	/* The first hundred are of mixed slabs, then there are whole slabs of this shape. */
	arena_fill(arena, 0, 400, 100);
	assert_true(find(arena, "key:000200", &slot));
	before = generation(&slot);
	delete (arena, "key:000200");
	assert_true(generation(&slot) > before); /* at the beginning of the rest, not at its end */
	before = generation(&slot);
	assert_false(is_refilled(arena, &slot, 1000, 500));
	arena->ns += QUARANTINE_MS * 1000000;
	assert_true(is_refilled(arena, &slot, 2000, 500));
	assert_int_equal(generation(&slot), before);
	arena_close(arena);
}

static void test_without_remote_readers_nothing_rests(void **state)
{
	struct arena *arena = arena_open();
	struct zs_found slot;
	uint32_t before;

	(void)state;
	zs_store(&arena->engine->remote_until_ms, 0);
	arena_fill(arena, 0, 400, 100);
	assert_true(find(arena, "key:000200", &slot));
	before = generation(&slot);
	delete (arena, "key:000200");
	assert_true(is_refilled(arena, &slot, 1000, 500));
	assert_true(generation(&slot) > before);
	arena_close(arena);
}

static void test_a_slab_that_empties_gets_its_generation_before_it_rests(void **state)
{
	struct arena *arena = arena_open();
	struct zs_found slot;
	uint32_t before;

	(void)state;
	arena_fill(arena, 0, 400, 100);
	assert_true(find(arena, "key:000200", &slot));
	before = generation(&slot);
	zs_flush(arena->thread);
	for (unsigned i = 0; i < 50; i++) {
		arena_advance(arena, 100000);
		zs_thread_upkeep(arena->thread, 1000);
	}
	assert_int_equal(zs_load(&slot.slab->live[slot.slot / 32]), 0);
	assert_true(generation(&slot) > before);
	assert_false(is_refilled(arena, &slot, 1000, 300));
	arena_close(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_freed_slot_rests),
		cmocka_unit_test(test_without_remote_readers_nothing_rests),
		cmocka_unit_test(test_a_slab_that_empties_gets_its_generation_before_it_rests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
