/* Deadlines: how exact they are, what moves them, and that nothing is returned after them. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test/engine/support.h"

#define DAY UINT64_C(86400000)

static int setup(void **state)
{
	*state = zs_fixture_open(64u << 20, ZS_POLICY_S3FIFO);
	return 0;
}

static int teardown(void **state)
{
	zs_fixture_close(*state);
	return 0;
}

static struct zs_thread *thread_of(void **state)
{
	return ((struct zs_fixture *)*state)->thread;
}

static uint64_t deadline_of(struct zs_thread *t, const char *key)
{
	struct zs_view view;
	int result = zs_get(t, key, strlen(key), ZS_READ_PEEK, &view);

	if (result)
		fail_msg("key \"%s\": %s", key, zs_error_name(result));
	return view.deadline;
}

static int expire(struct zs_thread *t, const char *key, uint64_t deadline, unsigned flags)
{
	unsigned tries = 0;
	int result;

	do {
		result = zs_expire(t, key, strlen(key), deadline, flags, NULL);
	} while (zs_test_again(t, result, &tries));
	return result;
}

/* Times to live from 1 ms to about ten years, each about 7 % longer than the one before. */
static uint64_t next_ttl(uint64_t ttl)
{
	return ttl + 1 + ttl / 14;
}

#define LONGEST_TTL (3650 * DAY)

static void stored_deadlines_are_exact_enough(void **state)
{
	struct zs_fixture *f = *state;
	uint64_t random = 42;

	for (int round = 0; round < 4; round++) {
		uint64_t now = zs_thread_now(f->thread);

		for (uint64_t ttl = 1; ttl < LONGEST_TTL; ttl = next_ttl(ttl)) {
			assert_int_equal(zs_test_put(f->thread, "set", "v", now + ttl), ZS_OK);
			zs_test_expect_deadline(now, now + ttl, deadline_of(f->thread, "set"));
			assert_int_equal(zs_test_put(f->thread, "expire", "v", 0), ZS_OK);
			assert_int_equal(deadline_of(f->thread, "expire"), 0);
			assert_int_equal(expire(f->thread, "expire", now + ttl, 0), ZS_OK);
			zs_test_expect_deadline(now, now + ttl, deadline_of(f->thread, "expire"));
			zs_thread_quiesce(f->thread);
		}
		zs_fixture_advance(f, 1 + zs_test_below(&random, 100000));
	}
}

static void alive_before_and_gone_after(void **state)
{
	struct zs_fixture *f = *state;
	uint64_t stored, now;

	for (uint64_t ttl = 2; ttl < 40 * DAY; ttl = next_ttl(next_ttl(next_ttl(ttl)))) {
		now = zs_thread_now(f->thread);
		assert_int_equal(zs_test_put(f->thread, "k", "v", now + ttl), ZS_OK);
		stored = deadline_of(f->thread, "k");
		zs_fixture_advance(f, stored - now - 1);
		zs_test_expect(f->thread, "k", "v");
		zs_fixture_advance(f, 2);
		zs_test_expect_absent(f->thread, "k");
		assert_int_equal(expire(f->thread, "k", now + LONGEST_TTL, 0), ZS_ENOTFOUND);
		assert_int_equal(zs_delete(f->thread, "k", 1, NULL), ZS_ENOTFOUND);
	}
}

/* The time of a thread is taken at its quiesce: until then nothing that it may be looking at goes away. */
static void time_is_taken_in_quiesce(void **state)
{
	struct zs_fixture *f = *state;
	uint64_t now = zs_thread_now(f->thread);

	assert_int_equal(now, ZS_TEST_EPOCH_MS);
	assert_int_equal(zs_test_put(f->thread, "k", "v", now + 1000), ZS_OK);
	zs_test_clock_advance(&f->clock, 5000);
	assert_int_equal(zs_thread_now(f->thread), now);
	zs_test_expect(f->thread, "k", "v");
	zs_thread_quiesce(f->thread);
	assert_int_equal(zs_thread_now(f->thread), now + 5000);
	zs_test_expect_absent(f->thread, "k");
	zs_thread_offline(f->thread);
	zs_test_clock_advance(&f->clock, 1000);
	zs_thread_online(f->thread);
	assert_int_equal(zs_thread_now(f->thread), now + 6000);
}

/* An hour of touches every 20 s, each for another 30 minutes. */
static void sliding_refresh_stays_exact(void **state)
{
	struct zs_fixture *f = *state;
	uint64_t now = zs_thread_now(f->thread);

	assert_int_equal(zs_test_put(f->thread, "session", "data", now + 1800000), ZS_OK);
	for (int touch = 0; touch < 180; touch++) {
		zs_fixture_advance(f, 20000);
		zs_fixture_settle(f);
		now = zs_thread_now(f->thread);
		assert_int_equal(expire(f->thread, "session", now + 1800000, 0), ZS_OK);
		zs_test_expect_deadline(now, now + 1800000, deadline_of(f->thread, "session"));
		zs_test_expect(f->thread, "session", "data");
	}
	zs_fixture_advance(f, 1800001);
	zs_test_expect_absent(f->thread, "session");
}

/*
 * Rewriting an object again and again while its end comes nearer must not move that end: a deadline that is
 * rounded at every copy would drift.
 */
static void copies_never_coarsen(void **state)
{
	static const uint64_t ttls[] = { 999, 61234, 3599999, 86400001, 30 * DAY + 17 };
	struct zs_fixture *f = *state;
	struct zs_set set = { .key = "k", .key_size = 1, .flags = ZS_SET_KEEP_TTL };
	static uint8_t value[1000];

	for (size_t i = 0; i < sizeof(ttls) / sizeof(ttls[0]); i++) {
		uint64_t now = zs_thread_now(f->thread);
		uint64_t stored;

		assert_int_equal(zs_test_put(f->thread, "k", "v", now + ttls[i]), ZS_OK);
		stored = deadline_of(f->thread, "k");
		for (size_t copy = 1; copy < 40; copy++) {
			zs_fixture_advance(f, (stored - zs_thread_now(f->thread)) / 5);
			zs_thread_upkeep(f->thread, 1000);
			set.value = value;
			set.value_size = copy * 23;
			set.deadline = zs_thread_now(f->thread) + 17;
			assert_int_equal(zs_test_set(f->thread, &set, NULL), ZS_OK);
			if (deadline_of(f->thread, "k") != stored)
				fail_msg("copy %zu of an object that lives %" PRIu64 " ms moved its end by %" PRId64
					 " ms",
					 copy, ttls[i], (int64_t)(deadline_of(f->thread, "k") - stored));
		}
		zs_fixture_advance(f, stored - zs_thread_now(f->thread) + 1);
		zs_test_expect_absent(f->thread, "k");
	}
}

/* The same for objects that upkeep moves: half of each slab dies, the rest is merged. */
static void background_moves_keep_deadlines(void **state)
{
	enum { OBJECTS = 30000 };
	struct zs_fixture *f = *state;
	uint64_t *stored = calloc(OBJECTS, sizeof(*stored));
	uint64_t start = zs_thread_now(f->thread);
	char key[24];

	assert_non_null(stored);
	for (int i = 0; i < OBJECTS; i++) {
		snprintf(key, sizeof(key), "object:%d", i);
		assert_int_equal(
		    zs_test_put(f->thread, key, "some value of some length", start + 3600000 + (uint64_t)i * 100),
		    ZS_OK);
		stored[i] = deadline_of(f->thread, key);
		zs_thread_quiesce(f->thread);
	}
	for (int step = 0; step < 60; step++) {
		for (int i = step; i < OBJECTS; i += 67) {
			snprintf(key, sizeof(key), "object:%d", i);
			zs_delete(f->thread, key, strlen(key), NULL);
		}
		zs_fixture_advance(f, 60000);
		zs_fixture_settle(f);
	}
	for (int i = 0; i < OBJECTS; i++) {
		snprintf(key, sizeof(key), "object:%d", i);
		if (i % 67 < 60 || stored[i] < zs_thread_now(f->thread))
			zs_test_expect_absent(f->thread, key);
		else if (stored[i] > zs_thread_now(f->thread) && deadline_of(f->thread, key) != stored[i])
			fail_msg("%s: the end moved by %" PRId64 " ms", key,
				 (int64_t)(deadline_of(f->thread, key) - stored[i]));
	}
	free(stored);
}

static void past_deadlines_delete(void **state)
{
	struct zs_fixture *f = *state;
	struct zs_thread *t = f->thread;
	uint64_t past = zs_thread_now(t) - 1;
	struct zs_set nx = { .key = "k", .key_size = 1, .value = "x", .value_size = 1, .flags = ZS_SET_ABSENT };

	assert_int_equal(zs_test_put(t, "k", "v", past), ZS_OK);
	zs_test_expect_absent(t, "k");
	assert_int_equal(zs_test_put(t, "k", "v", 0), ZS_OK);
	assert_int_equal(zs_test_put(t, "k", "v", 1), ZS_OK);
	zs_test_expect_absent(t, "k");
	assert_int_equal(zs_engine_count(f->engine), 0);
	assert_int_equal(zs_test_put(t, "k", "v", 0), ZS_OK);
	nx.deadline = past;
	assert_int_equal(zs_test_set(t, &nx, NULL), ZS_EEXIST);
	zs_test_expect(t, "k", "v");
	assert_int_equal(expire(t, "k", past, 0), ZS_OK);
	zs_test_expect_absent(t, "k");
	assert_int_equal(expire(t, "k", past, 0), ZS_ENOTFOUND);
	/* The old object's deadline counts, not the one for a new object. */
	assert_int_equal(zs_test_put(t, "k", "v", 0), ZS_OK);
	nx.flags = ZS_SET_KEEP_TTL;
	assert_int_equal(zs_test_set(t, &nx, NULL), ZS_OK);
	zs_test_expect(t, "k", "x");
}

static void keep_ttl(void **state)
{
	struct zs_thread *t = thread_of(state);
	uint64_t now = zs_thread_now(t);
	struct zs_set keep = { .key = "k",
			       .key_size = 1,
			       .value = "new",
			       .value_size = 3,
			       .flags = ZS_SET_KEEP_TTL,
			       .deadline = now + 7000 };
	uint64_t stored;

	assert_int_equal(zs_test_set(t, &keep, NULL), ZS_OK);
	zs_test_expect_deadline(now, now + 7000, deadline_of(t, "k"));
	assert_int_equal(zs_test_put(t, "k", "v", now + 99000), ZS_OK);
	stored = deadline_of(t, "k");
	assert_int_equal(zs_test_set(t, &keep, NULL), ZS_OK);
	zs_test_expect(t, "k", "new");
	assert_int_equal(deadline_of(t, "k"), stored);
	assert_int_equal(zs_test_put(t, "k", "v", 0), ZS_OK);
	assert_int_equal(deadline_of(t, "k"), 0);
	assert_int_equal(zs_test_set(t, &keep, NULL), ZS_OK);
	assert_int_equal(deadline_of(t, "k"), 0);
}

static void conditions_of_expire(void **state)
{
	struct zs_thread *t = thread_of(state);
	uint64_t now = zs_thread_now(t);
	uint64_t soon = now + 10000, middle = now + 100000, late = now + 1000000;
	/* The object's deadline, the one asked for, flags, and whether the condition holds. */
	const struct {
		uint64_t old, asked;
		unsigned flags;
		bool holds;
	} cases[] = {
		{ 0, middle, ZS_EXPIRE_NX, true },
		{ middle, late, ZS_EXPIRE_NX, false },
		{ 0, middle, ZS_EXPIRE_XX, false },
		{ middle, late, ZS_EXPIRE_XX, true },
		{ 0, middle, ZS_EXPIRE_GT, false },
		{ middle, late, ZS_EXPIRE_GT, true },
		{ middle, soon, ZS_EXPIRE_GT, false },
		{ middle, 0, ZS_EXPIRE_GT, true },
		{ 0, middle, ZS_EXPIRE_LT, true },
		{ middle, soon, ZS_EXPIRE_LT, true },
		{ middle, late, ZS_EXPIRE_LT, false },
		{ middle, 0, ZS_EXPIRE_LT, false },
		{ 0, late, ZS_EXPIRE_XX | ZS_EXPIRE_LT, false },
		{ middle, soon, ZS_EXPIRE_XX | ZS_EXPIRE_LT, true },
		{ middle, late, ZS_EXPIRE_XX | ZS_EXPIRE_GT, true },
		{ middle, 0, 0, true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t before, after;
		int result;

		assert_int_equal(zs_test_put(t, "k", "v", cases[i].old), ZS_OK);
		before = deadline_of(t, "k");
		result = expire(t, "k", cases[i].asked, cases[i].flags);
		if (result != (cases[i].holds ? ZS_OK : ZS_EEXIST))
			fail_msg("case %zu: %s", i, zs_error_name(result));
		after = deadline_of(t, "k");
		zs_test_expect(t, "k", "v");
		if (!cases[i].holds)
			assert_int_equal(after, before);
		else if (cases[i].asked)
			zs_test_expect_deadline(now, cases[i].asked, after);
		else
			assert_int_equal(after, 0);
		assert_int_equal(expire(t, "absent", cases[i].asked, cases[i].flags), ZS_ENOTFOUND);
	}
	/* A condition that does not hold does not delete either. */
	assert_int_equal(zs_test_put(t, "k", "v", middle), ZS_OK);
	assert_int_equal(expire(t, "k", now - 1, ZS_EXPIRE_GT), ZS_EEXIST);
	zs_test_expect(t, "k", "v");
	assert_int_equal(expire(t, "k", now - 1, ZS_EXPIRE_LT), ZS_OK);
	zs_test_expect_absent(t, "k");
}

static void expire_says_what_was_there(void **state)
{
	struct zs_thread *t = thread_of(state);
	uint64_t now = zs_thread_now(t);
	struct zs_previous previous;

	assert_int_equal(zs_expire(t, "k", 1, now + 1000, 0, &previous), ZS_ENOTFOUND);
	assert_false(previous.existed);
	assert_int_equal(zs_test_put(t, "k", "v", 0), ZS_OK);
	assert_int_equal(zs_expire(t, "k", 1, now + 60000, 0, &previous), ZS_OK);
	assert_true(previous.existed);
	assert_int_equal(previous.old.deadline, 0);
	assert_int_equal(previous.old.size, 1);
	assert_memory_equal(previous.old.data, "v", 1);
	assert_int_equal(zs_expire(t, "k", 1, now + 90000, ZS_EXPIRE_NX, &previous), ZS_EEXIST);
	assert_true(previous.existed);
	zs_test_expect_deadline(now, now + 60000, previous.old.deadline);
}

/* What no clock reaches may be stored as something nearer, as long as no clock reaches that either. */
static void farthest_deadlines(void **state)
{
	static const uint64_t far[] = { 1ull << 42, 1ull << 52, INT64_MAX, UINT64_MAX - 1, UINT64_MAX };
	struct zs_fixture *f = *state;

	for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
		uint64_t reachable = far[i] < 1ull << 60 ? far[i] : 1ull << 60;
		uint64_t now = zs_thread_now(f->thread), stored;

		assert_int_equal(zs_test_put(f->thread, "k", "v", far[i]), ZS_OK);
		stored = deadline_of(f->thread, "k");
		assert_true(stored <= far[i]);
		if (stored < reachable)
			zs_test_expect_deadline(now, reachable, stored);
		zs_fixture_advance(f, DAY * 366 * 20);
		zs_fixture_settle(f);
		zs_test_expect(f->thread, "k", "v");
	}
}

/*
 * Objects of many lifetimes at once, the clock in steps: what the engine shows is what was stored at first.
 */
static void many_lifetimes_end_in_time(void **state)
{
	enum { OBJECTS = 20000 };
	struct zs_fixture *f = *state;
	uint64_t *stored = calloc(OBJECTS, sizeof(*stored));
	uint64_t random = 7, now, left = OBJECTS;
	char key[24];

	assert_non_null(stored);
	for (int i = 0; i < OBJECTS; i++) {
		uint64_t ttl = 10 + zs_test_below(&random, 1ull << (8 + zs_test_below(&random, 20)));

		snprintf(key, sizeof(key), "object:%d", i);
		now = zs_thread_now(f->thread);
		assert_int_equal(zs_test_put(f->thread, key, key, now + ttl), ZS_OK);
		stored[i] = deadline_of(f->thread, key);
		zs_test_expect_deadline(now, now + ttl, stored[i]);
		zs_thread_quiesce(f->thread);
	}
	for (uint64_t step = 50; left; step += step / 2) {
		zs_fixture_advance(f, step);
		zs_thread_upkeep(f->thread, 500);
		now = zs_thread_now(f->thread);
		left = 0;
		for (int i = 0; i < OBJECTS; i++) {
			snprintf(key, sizeof(key), "object:%d", i);
			if (stored[i] < now)
				zs_test_expect_absent(f->thread, key);
			else if (stored[i] > now)
				zs_test_expect(f->thread, key, key);
			left += stored[i] >= now;
		}
	}
	zs_fixture_advance(f, DAY);
	zs_fixture_settle(f);
	assert_int_equal(zs_engine_count(f->engine), 0);
	free(stored);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(stored_deadlines_are_exact_enough, setup, teardown),
		cmocka_unit_test_setup_teardown(alive_before_and_gone_after, setup, teardown),
		cmocka_unit_test_setup_teardown(time_is_taken_in_quiesce, setup, teardown),
		cmocka_unit_test_setup_teardown(sliding_refresh_stays_exact, setup, teardown),
		cmocka_unit_test_setup_teardown(copies_never_coarsen, setup, teardown),
		cmocka_unit_test_setup_teardown(background_moves_keep_deadlines, setup, teardown),
		cmocka_unit_test_setup_teardown(past_deadlines_delete, setup, teardown),
		cmocka_unit_test_setup_teardown(keep_ttl, setup, teardown),
		cmocka_unit_test_setup_teardown(conditions_of_expire, setup, teardown),
		cmocka_unit_test_setup_teardown(expire_says_what_was_there, setup, teardown),
		cmocka_unit_test_setup_teardown(farthest_deadlines, setup, teardown),
		cmocka_unit_test_setup_teardown(many_lifetimes_end_in_time, setup, teardown),
	};

	return cmocka_run_group_tests_name("deadline", tests, NULL, NULL);
}
