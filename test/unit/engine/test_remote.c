/* What the engine does for readers outside of the process: touches by hash, and memory that rests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/lease.h"
#include "server/engine/index.h"
#include "server/engine/slab.h"

struct world {
	struct zs_engine *engine;
	struct zs_thread *thread;
	uint64_t ms;
	struct zs_clock clock;
};

static uint64_t world_ms(void *context)
{
	return ((struct world *)context)->ms;
}

static uint64_t world_ns(void *context)
{
	return ((struct world *)context)->ms * 1000000;
}

static int open_world(void **state)
{
	static struct world w;
	struct zs_engine_options options;
	char why[256];

	w = (struct world){ .ms = 1767258123457u };
	w.clock = (struct zs_clock){ world_ms, world_ns, &w };
	zs_engine_options_init(&options);
	options.memory = 4u << 20;
	options.policy = ZS_POLICY_NOEVICTION;
	options.clock = &w.clock;
	options.quarantine_ms = 20;
	if (zs_engine_open(&options, &w.engine, why, sizeof(why)))
		return -1;
	w.thread = zs_thread_attach(w.engine);
	*state = &w;
	return 0;
}

static int close_world(void **state)
{
	struct world *w = *state;

	zs_thread_detach(w->thread);
	zs_engine_close(w->engine);
	return 0;
}

static int put(struct world *w, unsigned n)
{
	static const uint8_t value[1000];
	char key[16];
	struct zs_set set = { .key = key, .value = value, .value_size = sizeof(value) };

	set.key_size = (size_t)snprintf(key, sizeof(key), "k%u", n);
	return zs_set(w->thread, &set, NULL);
}

static uint64_t hash_of(const struct world *w, const char *key)
{
	return zs_hash(key, strlen(key), w->engine->seed);
}

static uint32_t recency_of(struct world *w, const char *key)
{
	uint64_t hash = hash_of(w, key);
	struct zs_found found;

	assert_true(zs_index_find(zs_part_of(w->engine, hash), hash, 0, key, strlen(key), &found));
	return zs_slab_recency(found.slab, zs_identity_slots(found.identity), found.slot);
}

static void a_touch_by_hash_counts_as_a_use(void **state)
{
	struct world *w = *state;

	assert_int_equal(put(w, 1), ZS_OK);
	assert_int_equal(put(w, 2), ZS_OK);
	assert_int_equal(recency_of(w, "k1"), 0);
	assert_true(zs_touch_hash(w->thread, hash_of(w, "k1")));
	assert_int_equal(recency_of(w, "k1"), 1);
	assert_int_equal(recency_of(w, "k2"), 0);
	for (unsigned i = 0; i < 9; i++)
		assert_true(zs_touch_hash(w->thread, hash_of(w, "k1")));
	assert_int_equal(recency_of(w, "k1"), 3);
}

static void a_touch_of_what_is_not_there_does_nothing(void **state)
{
	struct world *w = *state;

	assert_int_equal(put(w, 1), ZS_OK);
	assert_false(zs_touch_hash(w->thread, hash_of(w, "k2")));
	/* The tag and the buckets of k1, but not its hash. */
	assert_false(zs_touch_hash(w->thread, hash_of(w, "k1") ^ 0x100));
	assert_int_equal(recency_of(w, "k1"), 0);
	assert_int_equal(zs_delete(w->thread, "k1", 2, NULL), ZS_OK);
	assert_false(zs_touch_hash(w->thread, hash_of(w, "k1")));
}

/* Fills the engine, deletes everything, and says whether there is room again at once. */
static bool room_comes_at_once(struct world *w)
{
	unsigned count = 0;
	char key[16];
	int result;

	while ((result = put(w, count)) == ZS_OK)
		count++;
	assert_true(result == ZS_EFULL || result == ZS_EAGAIN);
	for (unsigned i = 0; i < count; i++)
		zs_delete(w->thread, key, (size_t)snprintf(key, sizeof(key), "k%u", i), NULL);
	for (unsigned i = 0; i < 1000; i++)
		zs_thread_upkeep(w->thread, 1000);
	for (unsigned i = 0; i < count / 2; i++) {
		if (put(w, i) != ZS_OK)
			return false;
	}
	return true;
}

static void memory_rests_while_readers_are_expected(void **state)
{
	struct world *w = *state;

	assert_true(room_comes_at_once(w));
	zs_flush(w->thread);
	for (unsigned i = 0; i < 1000; i++)
		zs_thread_upkeep(w->thread, 1000);
	zs_engine_expect_readers(w->engine, true);
	assert_false(room_comes_at_once(w));
	w->ms += 21;
	for (unsigned i = 0; i < 1000; i++)
		zs_thread_upkeep(w->thread, 1000);
	assert_int_equal(put(w, 0), ZS_OK);
	zs_engine_expect_readers(w->engine, false);
	zs_flush(w->thread);
	for (unsigned i = 0; i < 1000; i++)
		zs_thread_upkeep(w->thread, 1000);
	assert_true(room_comes_at_once(w));
}

static void a_lease_holds_for_its_tag_and_time(void **state)
{
	uint64_t until = UINT64_C(123456789012345);
	uint64_t word = zs_lease_word(until, 7);

	(void)state;
	assert_true(zs_lease_holds(word, 7, until - 65536));
	assert_false(zs_lease_holds(word, 7, until));
	assert_false(zs_lease_holds(word, 8, until - 65536));
	assert_false(zs_lease_holds(0, 7, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_touch_by_hash_counts_as_a_use, open_world, close_world),
		cmocka_unit_test_setup_teardown(a_touch_of_what_is_not_there_does_nothing, open_world, close_world),
		cmocka_unit_test_setup_teardown(memory_rests_while_readers_are_expected, open_world, close_world),
		cmocka_unit_test(a_lease_holds_for_its_tag_and_time),
	};

	return cmocka_run_group_tests_name("remote", tests, NULL, NULL);
}
