/* Walking over all keys, and drawing one at random. */
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test/engine/support.h"

enum { MOST_KEYS = 200000 };

static int setup(void **state)
{
	*state = zs_fixture_open(128u << 20, ZS_POLICY_S3FIFO);
	return 0;
}

static int teardown(void **state)
{
	zs_fixture_close(*state);
	return 0;
}

/* What a walk has seen of the keys "stay:<n>"; other keys are counted only. */
struct walk {
	uint8_t seen[MOST_KEYS];
	uint64_t calls;
	uint64_t others;
	uint64_t twice;
	unsigned wrong;
};

static void visit(void *context, const void *key, size_t key_size, const struct zs_view *view)
{
	struct walk *walk = context;
	char text[32];
	unsigned number;

	walk->calls++;
	if (key_size >= sizeof(text) || view->size != key_size || memcmp(view->data, key, key_size) != 0) {
		walk->wrong++;
		return;
	}
	memcpy(text, key, key_size);
	text[key_size] = '\0';
	if (sscanf(text, "stay:%u", &number) != 1) {
		walk->others++;
		return;
	}
	if (walk->seen[number])
		walk->twice++;
	walk->seen[number] = 1;
}

static void put(struct zs_thread *t, const char *prefix, unsigned number)
{
	char key[32];

	snprintf(key, sizeof(key), "%s:%u", prefix, number);
	assert_int_equal(zs_test_put(t, key, key, 0), ZS_OK);
}

static void expect_all(const struct walk *walk, unsigned keys)
{
	unsigned missing = 0, first = 0;

	for (unsigned i = keys; i-- > 0;) {
		if (!walk->seen[i]) {
			missing++;
			first = i;
		}
	}
	if (missing)
		fail_msg("%u of %u keys that were there all the time were not seen, for one stay:%u", missing, keys,
			 first);
	if (walk->wrong)
		fail_msg("%u objects had a value that is not their own", walk->wrong);
}

static void an_empty_engine_ends_at_once(void **state)
{
	struct zs_thread *t = ((struct zs_fixture *)*state)->thread;
	struct walk *walk = calloc(1, sizeof(*walk));
	uint64_t cursor = 0;
	unsigned calls = 0;

	assert_non_null(walk);
	do {
		cursor = zs_scan(t, cursor, 10, visit, walk);
	} while (cursor && ++calls < 10000);
	assert_int_equal(cursor, 0);
	assert_int_equal(walk->calls, 0);
	free(walk);
}

static void sees_every_key(void **state)
{
	static const size_t counts[] = { 1, 2, 10, 100, 5000, 1000000 };
	struct zs_thread *t = ((struct zs_fixture *)*state)->thread;
	unsigned keys = 0;

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct walk *walk = calloc(1, sizeof(*walk));
		uint64_t cursor = 0;

		assert_non_null(walk);
		for (unsigned end = keys * 4 + 17; keys < end; keys++)
			put(t, "stay", keys);
		do {
			uint64_t before = walk->calls;

			cursor = zs_scan(t, cursor, counts[i], visit, walk);
			if (walk->calls - before > counts[i] + 500)
				fail_msg("asked for %zu objects, got %" PRIu64, counts[i], walk->calls - before);
			zs_thread_quiesce(t);
		} while (cursor);
		expect_all(walk, keys);
		assert_int_equal(walk->others, 0);
		free(walk);
	}
}

/* A count of nothing must not stand still. */
static void a_count_of_zero_ends(void **state)
{
	struct zs_thread *t = ((struct zs_fixture *)*state)->thread;
	struct walk *walk = calloc(1, sizeof(*walk));
	uint64_t cursor = 0;
	unsigned calls = 0;

	assert_non_null(walk);
	for (unsigned i = 0; i < 100; i++)
		put(t, "stay", i);
	do {
		cursor = zs_scan(t, cursor, 0, visit, walk);
	} while (cursor && ++calls < 1000000);
	assert_int_equal(cursor, 0);
	expect_all(walk, 100);
	free(walk);
}

/* Any number may come from a client as a cursor. */
static void odd_cursors_are_harmless(void **state)
{
	struct zs_thread *t = ((struct zs_fixture *)*state)->thread;
	struct walk *walk = calloc(1, sizeof(*walk));
	uint64_t random = 99;

	assert_non_null(walk);
	for (unsigned i = 0; i < 1000; i++)
		put(t, "stay", i);
	for (unsigned i = 0; i < 2000; i++) {
		uint64_t cursor = zs_test_random(&random) >> zs_test_below(&random, 64);

		zs_scan(t, i ? cursor : UINT64_MAX, 10, visit, walk);
	}
	assert_int_equal(walk->wrong, 0);
	free(walk);
}

/* The index grows, entries are displaced and objects replaced and deleted while the walk goes on. */
static void complete_during_growth(void **state)
{
	enum { STAYING = 5000 };
	struct zs_fixture *f = *state;
	struct walk *walk = calloc(1, sizeof(*walk));
	struct zs_stats before, after;
	uint64_t random = 5, cursor = 0;
	unsigned added = 0;

	assert_non_null(walk);
	for (unsigned i = 0; i < STAYING; i++)
		put(f->thread, "stay", i);
	zs_engine_stats(f->engine, &before);
	do {
		cursor = zs_scan(f->thread, cursor, 20, visit, walk);
		for (unsigned i = 0; i < 400 && added < 150000; i++)
			put(f->thread, "more", added++);
		for (unsigned i = 0; i < 20; i++) {
			char key[32];

			put(f->thread, "stay", (unsigned)zs_test_below(&random, STAYING));
			snprintf(key, sizeof(key), "more:%u", (unsigned)zs_test_below(&random, added));
			zs_delete(f->thread, key, strlen(key), NULL);
		}
		zs_thread_upkeep(f->thread, 100);
	} while (cursor);
	zs_engine_stats(f->engine, &after);
	assert_true(after.index_resizes > before.index_resizes);
	expect_all(walk, STAYING);
	free(walk);
}

struct churn {
	struct zs_engine *engine;
	_Atomic bool stop;
	unsigned first;
	_Atomic unsigned writes;
};

/* Another thread that writes: keys that stay are replaced, others come and go. */
static void *churn(void *context)
{
	struct churn *c = context;
	struct zs_thread *t = zs_thread_attach(c->engine);
	uint64_t random = c->first + 1;
	char key[32];

	while (!atomic_load(&c->stop)) {
		unsigned n = (unsigned)zs_test_below(&random, 20000);

		snprintf(key, sizeof(key), "%s:%u", n % 2 ? "stay" : "more", n);
		if (n % 3 == 0 && n % 2 == 0)
			zs_delete(t, key, strlen(key), NULL);
		else
			zs_test_put(t, key, key, 0);
		atomic_fetch_add(&c->writes, 1);
		zs_thread_upkeep(t, 20);
	}
	zs_thread_detach(t);
	return NULL;
}

static void complete_beside_writers(void **state)
{
	struct zs_fixture *f = *state;
	struct churn writers[2] = { { .engine = f->engine, .first = 0 }, { .engine = f->engine, .first = 77 } };
	pthread_t threads[2];

	for (unsigned i = 0; i < 20000; i++)
		put(f->thread, "stay", i);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, &writers[i]), 0);
	for (unsigned round = 0; round < 5 || atomic_load(&writers[0].writes) < 1000; round++) {
		struct walk *walk = calloc(1, sizeof(*walk));
		uint64_t cursor = 0;

		assert_non_null(walk);
		do {
			cursor = zs_scan(f->thread, cursor, 50, visit, walk);
			zs_thread_quiesce(f->thread);
		} while (cursor);
		expect_all(walk, 20000);
		free(walk);
	}
	zs_thread_offline(f->thread);
	for (int i = 0; i < 2; i++) {
		atomic_store(&writers[i].stop, true);
		pthread_join(threads[i], NULL);
	}
	zs_thread_online(f->thread);
}

static void does_not_see_what_is_gone(void **state)
{
	struct zs_fixture *f = *state;
	struct walk *walk = calloc(1, sizeof(*walk));
	struct zs_set grouped = { .key = "group",
				  .key_size = 5,
				  .value = "group",
				  .value_size = 5,
				  .flags = ZS_SET_GROUP,
				  .group = "g",
				  .group_size = 1 };
	uint64_t cursor = 0;

	assert_non_null(walk);
	put(f->thread, "stay", 0);
	assert_int_equal(zs_test_put(f->thread, "deleted", "deleted", 0), ZS_OK);
	assert_int_equal(zs_delete(f->thread, "deleted", 7, NULL), ZS_OK);
	assert_int_equal(zs_test_put(f->thread, "expired", "expired", zs_thread_now(f->thread) + 100), ZS_OK);
	assert_int_equal(zs_test_set(f->thread, &grouped, NULL), ZS_OK);
	assert_int_equal(zs_drop(f->thread, "g", 1, NULL), ZS_OK);
	zs_fixture_advance(f, 200);
	do {
		cursor = zs_scan(f->thread, cursor, 10, visit, walk);
	} while (cursor);
	assert_int_equal(walk->calls, 1);
	expect_all(walk, 1);
	free(walk);
}

static void random_keys_are_live_and_varied(void **state)
{
	enum { KEYS = 100, DRAWS = 20000 };
	struct zs_thread *t = ((struct zs_fixture *)*state)->thread;
	unsigned drawn[KEYS] = { 0 };
	char key[ZS_OBJECT_MAX + 1];
	size_t size;

	assert_int_equal(zs_random_key(t, key, &size), ZS_ENOTFOUND);
	for (unsigned i = 0; i < KEYS; i++)
		put(t, "stay", i);
	for (unsigned i = 0; i < KEYS; i += 2) {
		snprintf(key, sizeof(key), "stay:%u", i);
		assert_int_equal(zs_delete(t, key, strlen(key), NULL), ZS_OK);
	}
	for (unsigned i = 0; i < DRAWS; i++) {
		unsigned number;

		assert_int_equal(zs_random_key(t, key, &size), ZS_OK);
		assert_true(size < sizeof(key));
		key[size] = '\0';
		assert_int_equal(sscanf(key, "stay:%u", &number), 1);
		if (number >= KEYS || number % 2 == 0)
			fail_msg("drew \"%s\", which is not there", key);
		drawn[number]++;
		zs_thread_quiesce(t);
	}
	for (unsigned i = 1; i < KEYS; i += 2) {
		if (drawn[i] == 0)
			fail_msg("stay:%u was never drawn in %d draws of 50 keys", i, DRAWS);
	}
	for (unsigned i = 1; i < KEYS; i += 2) {
		snprintf(key, sizeof(key), "stay:%u", i);
		assert_int_equal(zs_delete(t, key, strlen(key), NULL), ZS_OK);
	}
	assert_int_equal(zs_random_key(t, key, &size), ZS_ENOTFOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_empty_engine_ends_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(sees_every_key, setup, teardown),
		cmocka_unit_test_setup_teardown(a_count_of_zero_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(odd_cursors_are_harmless, setup, teardown),
		cmocka_unit_test_setup_teardown(complete_during_growth, setup, teardown),
		cmocka_unit_test_setup_teardown(complete_beside_writers, setup, teardown),
		cmocka_unit_test_setup_teardown(does_not_see_what_is_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(random_keys_are_live_and_varied, setup, teardown),
	};

	return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
