/* The course of single remote reads: what is fetched, in how many round trips, and why the node is asked. */
#include "test/unit/common/arena_fixture.h"

#include "common/reader_steps.h"

enum { LEASE_MS = 1000 };

struct fixture {
	struct arena *arena;
	struct zs_locations *locations;
	struct zs_remote remote;
	struct zs_steps steps;
	void *landing; /* of the present post, just as big as was asked for */
};

static void begin_session(struct fixture *f)
{
	char why[256] = "";

	if (zs_remote_init(&f->remote, f->arena->engine->arena, f->arena->engine->arena_size, f->locations, why,
			   sizeof(why)))
		fail_msg("%s", why);
	zs_remote_lease(&f->remote, f->arena->ns, (uint64_t)LEASE_MS * 1000000, arena_ms(f->arena));
}

static struct fixture *open_fixture(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->arena = arena_open();
	f->locations = zs_locations_new(1 << 16);
	assert_non_null(f->locations);
	begin_session(f);
	return f;
}

static void close_fixture(struct fixture *f)
{
	free(f->landing);
	zs_locations_free(f->locations);
	arena_close(f->arena);
	free(f);
}

static enum zs_steps_status start(struct fixture *f, const char *key)
{
	return zs_steps_start(&f->steps, &f->remote, key, strlen(key), f->arena->ns);
}

/* Memory for a post. That of the one before is gone, and whoever leaves this one is found by AddressSanitizer. */
static void land(struct fixture *f)
{
	assert_in_range(f->steps.landing_size, 1, ZS_STEPS_LANDING_MAX);
	free(f->landing);
	assert_int_equal(posix_memalign(&f->landing, ZS_STEPS_ALIGNMENT, f->steps.landing_size), 0);
	memset(f->landing, 0xa5, f->steps.landing_size);
	zs_steps_land(&f->steps, f->landing);
}

/* Performs one post, at once, and reports it. */
static enum zs_steps_status perform(struct fixture *f)
{
	uint32_t count = f->steps.fetch_count;
	enum zs_steps_status status = ZS_STEPS_WAIT;

	land(f);
	for (uint32_t i = 0; i < count; i++) {
		const struct zs_fetch *fetch = &f->steps.fetches[i];
		const uint8_t *destination = fetch->destination;
		const uint8_t *landing = f->landing;

		assert_true(fetch->address + fetch->length <= f->arena->engine->arena_size);
		assert_true(destination >= landing && destination + fetch->length <= landing + f->steps.landing_size);
		memcpy(fetch->destination, f->arena->engine->arena + fetch->address, fetch->length);
	}
	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(status, ZS_STEPS_WAIT);
		status = zs_steps_done(&f->steps, true, f->arena->ns);
	}
	return status;
}

static enum zs_steps_status get(struct fixture *f, const char *key)
{
	enum zs_steps_status status = start(f, key);

	while (status == ZS_STEPS_FETCH)
		status = perform(f);
	return status;
}

static void expect_hit(struct fixture *f, const char *key, const char *value, unsigned round_trips)
{
	assert_int_equal(get(f, key), ZS_STEPS_HIT);
	assert_int_equal(f->steps.value.size, strlen(value));
	assert_memory_equal(f->steps.data, value, strlen(value));
	assert_int_equal(f->steps.round_trips, round_trips);
}

static void expect_ask(struct fixture *f, const char *key, enum zs_ask_reason reason)
{
	assert_int_equal(get(f, key), ZS_STEPS_ASK);
	assert_string_equal(zs_ask_reason_text(f->steps.reason), zs_ask_reason_text(reason));
	assert_int_equal(f->steps.fetch_count, 0);
}

static void test_cold_is_two_round_trips_and_hot_is_one(void **state)
{
	struct fixture *f = open_fixture();
	char key[32];

	(void)state;
	arena_fill(f->arena, 0, 200, 100);
	/* The very first read also fetches where the tables are. */
	assert_int_equal(get(f, "key:000150"), ZS_STEPS_HIT);
	assert_int_equal(f->steps.round_trips, 3);
	for (unsigned i = 150; i < 200; i++) {
		snprintf(key, sizeof(key), "key:%06u", i);
		assert_int_equal(get(f, key), ZS_STEPS_HIT);
		assert_memory_equal(f->steps.data, key, 10);
		if (i > 150 && f->steps.candidate_next == 1)
			assert_int_equal(f->steps.round_trips, 2);
		assert_int_equal(get(f, key), ZS_STEPS_HIT);
		assert_memory_equal(f->steps.data, key, 10);
		assert_int_equal(f->steps.round_trips, 1);
	}
	close_fixture(f);
}

static void test_fetches_are_few_and_small(void **state)
{
	struct fixture *f = open_fixture();
	unsigned merged = 0;
	char key[32];

	(void)state;
	arena_fill(f->arena, 0, 200, 100);
	get(f, "key:000150");
	get(f, "key:000151");
	for (unsigned i = 160; i < 190; i++) {
		snprintf(key, sizeof(key), "key:%06u", i);
		/* The first bucket; the superblock was looked at a moment ago. */
		assert_int_equal(start(f, key), ZS_STEPS_FETCH);
		assert_int_equal(f->steps.fetch_count, 1);
		assert_int_equal(f->steps.fetches[0].length, 64);
		/* The header's first line and the slot; as one, if they are neighbours. */
		assert_int_equal(perform(f), ZS_STEPS_FETCH);
		if (f->steps.fetch_count == 1) {
			assert_in_range(f->steps.fetches[0].length, 64 + 110, 64 + 256 + 110);
			merged++;
		} else {
			assert_int_equal(f->steps.fetch_count, 2);
			assert_int_equal(f->steps.fetches[0].length, 64);
			assert_int_equal(f->steps.fetches[1].length, 110);
			/* They lie closely together: what is pinned for a read is little. */
			assert_in_range(f->steps.landing_size, 64 + 110, 64 + 7 + 110);
		}
	}
	assert_in_range(merged, 1, 10);
	close_fixture(f);
}

static void test_one_fetch_up_to_a_span(void **state)
{
	struct fixture *f = open_fixture();
	unsigned merged = 0;
	char key[32];

	(void)state;
	arena_fill(f->arena, 0, 200, 100);
	get(f, "key:000150");
	get(f, "key:000151");
	f->remote.span = 2048;
	for (unsigned i = 160; i < 190; i++) {
		snprintf(key, sizeof(key), "key:%06u", i);
		assert_int_equal(get(f, key), ZS_STEPS_HIT);
		assert_int_equal(start(f, key), ZS_STEPS_FETCH);
		if (f->steps.fetch_count == 1) {
			assert_in_range(f->steps.fetches[0].length, 64 + 110, 2048);
			merged++;
		} else {
			assert_in_range(f->steps.fetches[1].address % ZS_FRAME_SIZE, 2048 - 109, ZS_FRAME_SIZE);
		}
		assert_int_equal(perform(f), ZS_STEPS_HIT);
		assert_memory_equal(f->steps.data, key, 10);
	}
	assert_in_range(merged, 11, 25);
	close_fixture(f);
}

/* Nearly all keys are in their first bucket; the others cost one round trip more, and no key is missed. */
static void test_the_second_bucket_is_looked_into_last(void **state)
{
	struct fixture *f = open_fixture();
	unsigned second = 0;
	char key[32];

	(void)state;
	arena_fill(f->arena, 0, 3000, 100);
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(key, sizeof(key), "key:%06u", i);
		zs_locations_clear(f->locations);
		assert_int_equal(get(f, key), ZS_STEPS_HIT);
		assert_memory_equal(f->steps.data, key, 10);
		second += f->steps.round_trips > 2;
	}
	if (second < 1 || second > 3000 / 4)
		fail_msg("%u of 3000 keys took more than two round trips", second);
	expect_ask(f, "missing", ZS_ASK_NOT_FOUND);
	assert_in_range(f->steps.round_trips, 2, 4);
	close_fixture(f);
}

static void test_kinds_of_slabs(void **state)
{
	struct fixture *f = open_fixture();
	int64_t number;

	(void)state;
	arena_fill(f->arena, 0, 200, 100);
	arena_put(f->arena, "a mixed one", "with another length", 0);
	arena_put(f->arena, "another", "mixed", arena_ms(f->arena) + 100000);
	arena_put(f->arena, "", "of the empty key", 0);
	assert_int_equal(zs_increment(f->arena->thread, "count", 5, 7, &number), ZS_OK);
	get(f, "key:000150");
	assert_int_equal(get(f, "a mixed one"), ZS_STEPS_HIT);
	expect_hit(f, "a mixed one", "with another length", 1);
	assert_int_equal(get(f, "another"), ZS_STEPS_HIT);
	expect_hit(f, "another", "mixed", 1);
	assert_in_range(f->steps.value.deadline, arena_ms(f->arena) + 99000, arena_ms(f->arena) + 100000);
	assert_int_equal(get(f, ""), ZS_STEPS_HIT);
	assert_int_equal(get(f, "count"), ZS_STEPS_HIT);
	assert_true(f->steps.value.is_number);
	assert_int_equal(zs_increment(f->arena->thread, "count", 5, 1, &number), ZS_OK);
	assert_int_equal(get(f, "count"), ZS_STEPS_HIT);
	assert_int_equal(f->steps.round_trips, 1);
	assert_int_equal(f->steps.value.number, 8);
	close_fixture(f);
}

static void test_a_replaced_object_is_found_where_it_is_now(void **state)
{
	struct fixture *f = open_fixture();

	(void)state;
	arena_fill(f->arena, 0, 200, 100);
	arena_put(f->arena, "key:000000", "first", 0);
	assert_int_equal(get(f, "key:000000"), ZS_STEPS_HIT);
	arena_put(f->arena, "key:000000", "second", 0);
	assert_int_equal(get(f, "key:000000"), ZS_STEPS_HIT);
	assert_in_range(f->steps.round_trips, 3, 4); /* the location that was over, buckets, object */
	expect_hit(f, "key:000000", "second", 1);
	assert_int_equal(zs_delete(f->arena->thread, "key:000000", 10, NULL), ZS_OK);
	expect_ask(f, "key:000000", ZS_ASK_NOT_FOUND);
	close_fixture(f);
}

static void test_doubt_is_settled_by_the_node(void **state)
{
	struct fixture *f = open_fixture();
	uint64_t deadline = arena_ms(f->arena) + 500;

	(void)state;
	arena_put(f->arena, "a", "value", 0);
	arena_put(f->arena, "b", "value", deadline);
	expect_ask(f, "absent", ZS_ASK_NOT_FOUND);
	/* Slow: half the quarantine, from before the first post. */
	assert_int_equal(start(f, "a"), ZS_STEPS_FETCH);
	f->arena->ns += QUARANTINE_MS * 1000000 / 2;
	assert_int_equal(perform(f), ZS_STEPS_FETCH);
	assert_int_equal(perform(f), ZS_STEPS_ASK);
	assert_int_equal(f->steps.reason, ZS_ASK_SLOW);
	/* A deadline that may have passed by the node's clock, should that go faster than ours. */
	assert_int_equal(get(f, "b"), ZS_STEPS_HIT);
	f->arena->ns += 445000000;
	expect_ask(f, "b", ZS_ASK_EXPIRED);
	assert_int_equal(get(f, "a"), ZS_STEPS_HIT);
	/* The lease ends by our clock before it can end by the node's. */
	f->arena->ns += (uint64_t)LEASE_MS * 1000000 - 445000000 - 100000000;
	expect_ask(f, "a", ZS_ASK_LEASE);
	assert_int_equal(f->steps.round_trips, 0);
	close_fixture(f);
}

static void test_a_failed_fetch_ends_the_read_when_all_are_reported(void **state)
{
	struct fixture *f = open_fixture();

	(void)state;
	arena_put(f->arena, "a", "value", 0);
	get(f, "a");
	zs_locations_clear(f->locations);
	/* After a while the superblock is looked at again, together with the bucket. */
	f->arena->ns += 50000000;
	assert_int_equal(start(f, "a"), ZS_STEPS_FETCH);
	assert_int_equal(f->steps.fetch_count, 2);
	land(f);
	assert_int_equal(zs_steps_done(&f->steps, false, f->arena->ns), ZS_STEPS_WAIT);
	assert_int_equal(zs_steps_done(&f->steps, true, f->arena->ns), ZS_STEPS_ASK);
	assert_int_equal(f->steps.reason, ZS_ASK_FAILED);
	close_fixture(f);
}

static void test_another_incarnation_drops_everything(void **state)
{
	struct fixture *f = open_fixture();
	struct zs_location location;
	uint64_t hash;

	(void)state;
	arena_put(f->arena, "a", "value", 0);
	arena_put(f->arena, "b", "value", 0);
	assert_int_equal(get(f, "a"), ZS_STEPS_HIT);
	hash = f->steps.hash;
	assert_true(zs_locations_find(f->locations, hash, &location));
	f->arena->engine->superblock->incarnation++;
	f->arena->ns += 10000000; /* so that the superblock is looked at again */
	expect_ask(f, "b", ZS_ASK_RESTARTED);
	assert_false(zs_locations_find(f->locations, hash, &location));
	expect_ask(f, "a", ZS_ASK_RESTARTED);
	assert_int_equal(f->steps.round_trips, 0);
	begin_session(f);
	assert_int_equal(get(f, "a"), ZS_STEPS_HIT);
	close_fixture(f);
}

static void test_tables_that_change(void **state)
{
	struct fixture *f = open_fixture();
	struct zs_superblock *super = f->arena->engine->superblock;
	uint32_t resizes = super->sequence;
	char key[32];

	(void)state;
	for (unsigned n = 0; n < 6000; n += 20) {
		unsigned odd = n % 200 == 100;

		arena_fill(f->arena, n, 20, 40);
		snprintf(key, sizeof(key), "key:%06u", n * 7 / 8);
		zs_remote_lease(&f->remote, f->arena->ns, (uint64_t)LEASE_MS * 1000000, arena_ms(f->arena));
		zs_locations_clear(f->locations);
		arena_advance(f->arena, 6000000);
		if (odd) {
			super->sequence++;
			expect_ask(f, key, ZS_ASK_CHANGING);
			super->sequence--;
		}
		assert_int_equal(get(f, key), ZS_STEPS_HIT);
		assert_memory_equal(f->steps.data, key, 10);
	}
	assert_true(super->sequence - resizes >= 4); /* twice for each beginning and each end */
	/* They change again while they are being read: asked, not tried again. */
	f->arena->ns += 6000000;
	zs_locations_clear(f->locations);
	super->sequence += 2;
	assert_int_equal(start(f, key), ZS_STEPS_FETCH);
	assert_int_equal(perform(f), ZS_STEPS_FETCH); /* their places */
	super->sequence += 2;
	assert_int_equal(perform(f), ZS_STEPS_FETCH); /* buckets and superblock */
	assert_int_equal(perform(f), ZS_STEPS_ASK);
	assert_int_equal(f->steps.reason, ZS_ASK_CHANGING);
	close_fixture(f);
}

static void test_what_cannot_be_read_is_refused(void **state)
{
	struct fixture *f = open_fixture();
	struct zs_superblock super = *f->arena->engine->superblock;
	uint8_t page[ZS_FRAME_SIZE] = { 0 };
	char why[256] = "";

	(void)state;
	super.quarantine_ms = 0;
	memcpy(page, &super, sizeof(super));
	assert_int_equal(zs_remote_init(&f->remote, page, super.arena_size, NULL, why, sizeof(why)), ZS_EPROTO);
	assert_non_null(strstr(why, "quarantine"));
	super.quarantine_ms = 20;
	super.sequence = 7;
	memcpy(page, &super, sizeof(super));
	assert_int_equal(zs_remote_init(&f->remote, page, super.arena_size, NULL, why, sizeof(why)), ZS_EAGAIN);
	super.sequence = 8;
	super.partition[0].frames_offset = UINT64_MAX - 4095;
	memcpy(page, &super, sizeof(super));
	assert_int_equal(zs_remote_init(&f->remote, page, super.arena_size, NULL, why, sizeof(why)), ZS_EPROTO);
	assert_non_null(strstr(why, "partition 0"));
	close_fixture(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cold_is_two_round_trips_and_hot_is_one),
		cmocka_unit_test(test_fetches_are_few_and_small),
		cmocka_unit_test(test_one_fetch_up_to_a_span),
		cmocka_unit_test(test_the_second_bucket_is_looked_into_last),
		cmocka_unit_test(test_kinds_of_slabs),
		cmocka_unit_test(test_a_replaced_object_is_found_where_it_is_now),
		cmocka_unit_test(test_doubt_is_settled_by_the_node),
		cmocka_unit_test(test_a_failed_fetch_ends_the_read_when_all_are_reported),
		cmocka_unit_test(test_another_incarnation_drops_everything),
		cmocka_unit_test(test_tables_that_change),
		cmocka_unit_test(test_what_cannot_be_read_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
