/* What every zoned device does, whatever it is made of. */
#include "test/tier/support.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "bench/random.h"

static void expect_state(struct zs_zone_test *test, uint32_t zone, enum zs_zone_state state, uint32_t written)
{
	struct zs_zone found = zs_zone_test_state(test, zone);

	assert_int_equal(found.state, state);
	assert_int_equal(found.written, written);
}

static void test_what_is_appended_is_read(void **state)
{
	struct zs_zone_test test;
	uint32_t block;

	(void)state;
	zs_zone_test_open(&test);
	for (uint32_t i = 0; i < ZONES; i++)
		expect_state(&test, i, ZS_ZONE_EMPTY, 0);
	assert_int_equal(zs_zone_test_append(&test, 2, 3, 77, &block), ZS_ZONE_DONE);
	assert_int_equal(block, 0);
	assert_int_equal(zs_zone_test_append(&test, 2, 1, 78, &block), ZS_ZONE_DONE);
	assert_int_equal(block, 3);
	expect_state(&test, 2, ZS_ZONE_OPEN, 4);
	assert_int_equal(zs_zone_test_read(&test, 2, 1), ZS_ZONE_DONE);
	assert_true(zs_zone_test_is(test.data, 77, 1));
	assert_int_equal(zs_zone_test_read(&test, 2, 3), ZS_ZONE_DONE);
	assert_true(zs_zone_test_is(test.data, 78, 0));
	/* Beyond the write pointer, and in a zone that nobody wrote to. */
	assert_int_equal(zs_zone_test_read(&test, 2, 4), ZS_ZONE_DONE);
	assert_true(zs_zone_test_is_zero(test.data));
	assert_int_equal(zs_zone_test_read(&test, 7, CAPACITY - 1), ZS_ZONE_DONE);
	assert_true(zs_zone_test_is_zero(test.data));
	zs_zone_test_close(&test);
}

static void test_a_full_zone_takes_nothing_until_it_is_reset(void **state)
{
	struct zs_zone_test test;
	uint32_t block;

	(void)state;
	zs_zone_test_open(&test);
	zs_zone_test_leave(&test, 0, 32);
	assert_int_equal(zs_zone_test_append(&test, 0, 33, 1, &block), ZS_ZONE_IS_FULL);
	expect_state(&test, 0, ZS_ZONE_OPEN, CAPACITY - 32);
	assert_int_equal(zs_zone_test_append(&test, 0, 32, 2, &block), ZS_ZONE_DONE);
	expect_state(&test, 0, ZS_ZONE_FULL, CAPACITY);
	assert_int_equal(zs_zone_test_append(&test, 0, 1, 3, &block), ZS_ZONE_IS_FULL);
	assert_int_equal(zs_zone_test_change(&test, ZS_ZONE_CLOSE, 0), ZS_ZONE_IS_FULL);
	assert_int_equal(zs_zone_test_change(&test, ZS_ZONE_RESET, 0), ZS_ZONE_DONE);
	expect_state(&test, 0, ZS_ZONE_EMPTY, 0);
	assert_int_equal(zs_zone_test_read(&test, 0, 5), ZS_ZONE_DONE);
	assert_true(zs_zone_test_is_zero(test.data));
	assert_int_equal(zs_zone_test_change(&test, ZS_ZONE_RESET, 0), ZS_ZONE_DONE);
	assert_int_equal(zs_zone_test_append(&test, 0, 1, 4, &block), ZS_ZONE_DONE);
	assert_int_equal(block, 0);
	zs_zone_test_close(&test);
}

/* Closes an open zone. */
static void close_one(struct zs_zone_test *test)
{
	uint32_t zone = 0;

	while (zs_zone_test_state(test, zone).state != ZS_ZONE_OPEN)
		zone++;
	assert_int_equal(zs_zone_test_change(test, ZS_ZONE_CLOSE, zone), ZS_ZONE_DONE);
}

/*
 * Appends to a zone that is active or may become so. While as many zones are active as can be null_blk does not close
 * one by itself to open another.
 */
static enum zs_zone_status append_opening(struct zs_zone_test *test, uint32_t zone, uint32_t blocks, uint64_t tag,
					  uint32_t *block)
{
	enum zs_zone_status status = zs_zone_test_append(test, zone, blocks, tag, block);

	if (status != ZS_ZONE_TOO_MANY_OPEN)
		return status;
	close_one(test);
	return zs_zone_test_append(test, zone, blocks, tag, block);
}

static void test_limits_of_open_and_active_zones(void **state)
{
	struct zs_zone_test test;
	uint32_t closed = 0;
	uint32_t block;

	(void)state;
	zs_zone_test_open(&test);
	if (ACTIVE_MAX > ZONES - 2) {
		print_message("not tested: this device has no limit of active zones\n");
		zs_zone_test_close(&test);
		return;
	}
	for (uint32_t i = 0; i < ACTIVE_MAX; i++)
		assert_int_equal(zs_zone_test_append(&test, i, 1, i, &block), ZS_ZONE_DONE);
	/* Some had to make room; which ones is the device's affair. */
	for (uint32_t i = 0; i < ACTIVE_MAX; i++) {
		closed += zs_zone_test_state(&test, i).state == ZS_ZONE_CLOSED;
		assert_int_equal(zs_zone_test_state(&test, i).written, 1);
	}
	assert_int_equal(closed, ACTIVE_MAX - OPEN_MAX);
	assert_int_equal(zs_zone_test_append(&test, ACTIVE_MAX, 1, 9, &block), ZS_ZONE_TOO_MANY_ACTIVE);
	expect_state(&test, ACTIVE_MAX, ZS_ZONE_EMPTY, 0);
	/* A zone that is active already may go on. */
	assert_int_equal(append_opening(&test, 0, 1, 9, &block), ZS_ZONE_DONE);
	assert_int_equal(block, 1);
	assert_int_equal(zs_zone_test_change(&test, ZS_ZONE_RESET, 1), ZS_ZONE_DONE);
	assert_int_equal(zs_zone_test_append(&test, ACTIVE_MAX, 1, 9, &block), ZS_ZONE_DONE);
	assert_int_equal(zs_zone_test_append(&test, ZONES - 1, 1, 9, &block), ZS_ZONE_TOO_MANY_ACTIVE);
	/* A full zone is not active. */
	if (zs_zone_test_state(&test, 2).state == ZS_ZONE_CLOSED)
		close_one(&test);
	zs_zone_test_leave(&test, 2, 0);
	expect_state(&test, 2, ZS_ZONE_FULL, CAPACITY);
	assert_int_equal(zs_zone_test_append(&test, ZONES - 1, 1, 9, &block), ZS_ZONE_DONE);
	zs_zone_test_close(&test);
}

static void test_limits_of_open_and_active_zones_after_finishing(void **state)
{
	struct zs_zone_test test;
	uint32_t block;

	(void)state;
	zs_zone_test_open(&test);
	for (uint32_t i = 0; i < ZONES; i++) {
		assert_int_equal(zs_zone_test_append(&test, i, 2, i, &block), ZS_ZONE_DONE);
		assert_int_equal(zs_zone_test_change(&test, ZS_ZONE_FINISH, i), ZS_ZONE_DONE);
		assert_int_equal(zs_zone_test_state(&test, i).state, ZS_ZONE_FULL);
		assert_int_equal(zs_zone_test_append(&test, i, 1, i, &block), ZS_ZONE_IS_FULL);
	}
	assert_int_equal(zs_zone_test_read(&test, 3, 1), ZS_ZONE_DONE);
	assert_true(zs_zone_test_is(test.data, 3, 1));
	zs_zone_test_close(&test);
}

static void test_closing(void **state)
{
	struct zs_zone_test test;
	uint32_t block;

	(void)state;
	zs_zone_test_open(&test);
	assert_int_equal(zs_zone_test_change(&test, ZS_ZONE_CLOSE, 4), ZS_ZONE_INVALID);
	assert_int_equal(zs_zone_test_append(&test, 4, 1, 1, &block), ZS_ZONE_DONE);
	assert_int_equal(zs_zone_test_change(&test, ZS_ZONE_CLOSE, 4), ZS_ZONE_DONE);
	expect_state(&test, 4, ZS_ZONE_CLOSED, 1);
	assert_int_equal(zs_zone_test_append(&test, 4, 1, 2, &block), ZS_ZONE_DONE);
	expect_state(&test, 4, ZS_ZONE_OPEN, 2);
	assert_int_equal(zs_zone_test_change(&test, ZS_ZONE_FLUSH, 0), ZS_ZONE_DONE);
	zs_zone_test_close(&test);
}

static void test_parallel_appends_have_places_of_their_own(void **state)
{
	enum { COUNT = 30 };
	struct zs_zone_request requests[COUNT];
	struct zs_zone_test test;
	bool taken[CAPACITY_MAX] = { false };

	(void)state;
	zs_zone_test_open(&test);
	if (!zs_zone_test_is_disk())
		zs_zone_file_delay(test.device, 500);
	for (uint32_t i = 0; i < COUNT; i++) {
		uint32_t blocks = 1 + i % 4;
		uint8_t *data = aligned_alloc(ZS_ZONE_BLOCK_SIZE, (size_t)blocks * ZS_ZONE_BLOCK_SIZE);

		assert_non_null(data);
		zs_zone_test_fill(data, blocks, 100 + i);
		requests[i] =
		    (struct zs_zone_request){ .op = ZS_ZONE_APPEND, .zone = 1, .blocks = blocks, .data = data };
		assert_int_equal(zs_zone_submit(test.device, &requests[i]), ZS_OK);
	}
	for (uint32_t i = 0; i < COUNT; i++)
		assert_int_equal(zs_zone_test_wait(test.device)->status, ZS_ZONE_DONE);
	for (uint32_t i = 0; i < COUNT; i++) {
		for (uint32_t b = 0; b < requests[i].blocks; b++) {
			assert_false(taken[requests[i].block + b]);
			taken[requests[i].block + b] = true;
			assert_int_equal(zs_zone_test_read(&test, 1, requests[i].block + b), ZS_ZONE_DONE);
			assert_true(zs_zone_test_is(test.data, 100 + i, b));
		}
		free(requests[i].data);
	}
	zs_zone_test_close(&test);
}

static void test_bad_requests_do_nothing(void **state)
{
	struct zs_zone_test test;

	(void)state;
	zs_zone_test_open(&test);
	struct zs_zone_request bad[] = {
		{ .op = ZS_ZONE_APPEND, .zone = ZONES, .blocks = 1, .data = test.data },
		{ .op = ZS_ZONE_APPEND, .zone = 0, .blocks = 0, .data = test.data },
		{ .op = ZS_ZONE_APPEND, .zone = 0, .blocks = ZS_ZONE_APPEND_BLOCKS_MAX + 1, .data = test.data },
		{ .op = ZS_ZONE_APPEND, .zone = 0, .blocks = 1, .data = test.data + 512 },
		{ .op = ZS_ZONE_APPEND, .zone = 0, .blocks = 1, .data = NULL },
		{ .op = ZS_ZONE_READ, .zone = 0, .block = CAPACITY, .blocks = 1, .data = test.data },
		{ .op = ZS_ZONE_READ, .zone = 0, .block = CAPACITY - 1, .blocks = 2, .data = test.data },
		{ .op = ZS_ZONE_READ, .zone = 0, .block = UINT32_MAX, .blocks = 1, .data = test.data },
		{ .op = ZS_ZONE_RESET, .zone = UINT32_MAX },
		{ .op = ZS_ZONE_FINISH, .zone = ZONES },
		{ .op = (enum zs_zone_op)99, .zone = 0 },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(zs_zone_test_run(test.device, &bad[i]), ZS_ZONE_INVALID);
	expect_state(&test, 0, ZS_ZONE_EMPTY, 0);
	assert_int_equal(zs_zone_report(test.device, 1, ZONES, NULL), ZS_EINVAL);
	zs_zone_test_close(&test);
}

static void test_a_zone_is_not_changed_under_what_is_under_way(void **state)
{
	struct zs_zone_test test;
	struct zs_zone_request append = { .op = ZS_ZONE_APPEND, .zone = 0, .blocks = 1 };
	struct zs_zone_request reset = { .op = ZS_ZONE_RESET, .zone = 0 };
	struct zs_zone_request late = append;

	(void)state;
	zs_zone_test_open(&test);
	append.data = test.data;
	late.data = test.data;
	assert_int_equal(zs_zone_submit(test.device, &append), ZS_OK);
	assert_int_equal(zs_zone_submit(test.device, &reset), ZS_OK);
	zs_zone_test_wait(test.device);
	zs_zone_test_wait(test.device);
	assert_int_equal(append.status, ZS_ZONE_DONE);
	assert_int_equal(reset.status, ZS_ZONE_INVALID);
	assert_int_equal(zs_zone_submit(test.device, &reset), ZS_OK);
	assert_int_equal(zs_zone_submit(test.device, &late), ZS_OK);
	zs_zone_test_wait(test.device);
	zs_zone_test_wait(test.device);
	assert_int_equal(reset.status, ZS_ZONE_DONE);
	assert_int_equal(late.status, ZS_ZONE_INVALID);
	expect_state(&test, 0, ZS_ZONE_EMPTY, 0);
	assert_int_equal(zs_zone_test_run(test.device, &late), ZS_ZONE_DONE);
	zs_zone_test_close(&test);
}

static void test_the_queue_is_bounded_and_the_descriptor_tells(void **state)
{
	static struct zs_zone_request requests[ZS_ZONE_QUEUE_DEPTH + 1];
	struct zs_zone_request *done[ZS_ZONE_QUEUE_DEPTH];
	struct zs_zone_test test;
	struct pollfd ready = { .events = POLLIN };
	unsigned count = 0;

	(void)state;
	zs_zone_test_open(&test);
	ready.fd = zs_zone_fd(test.device);
	assert_int_equal(poll(&ready, 1, 0), 0);
	for (unsigned i = 0; i <= ZS_ZONE_QUEUE_DEPTH; i++) {
		requests[i] = (struct zs_zone_request){ .op = ZS_ZONE_FLUSH };
		assert_int_equal(zs_zone_submit(test.device, &requests[i]),
				 i < ZS_ZONE_QUEUE_DEPTH ? ZS_OK : ZS_EAGAIN);
	}
	while (count < ZS_ZONE_QUEUE_DEPTH) {
		assert_int_equal(poll(&ready, 1, 10000), 1);
		count += zs_zone_reap(test.device, done, ZS_ZONE_QUEUE_DEPTH);
	}
	assert_int_equal(poll(&ready, 1, 0), 0);
	assert_int_equal(zs_zone_reap(test.device, done, 1), 0);
	assert_int_equal(zs_zone_test_run(test.device, &requests[ZS_ZONE_QUEUE_DEPTH]), ZS_ZONE_DONE);
	zs_zone_test_close(&test);
}

/* ---- faults ---- */

static void test_an_append_or_a_read_fails(void **state)
{
	struct zs_zone_test test;
	uint32_t block;

	(void)state;
	zs_zone_test_open(&test);
	assert_int_equal(zs_zone_test_append(&test, 0, 2, 5, &block), ZS_ZONE_DONE);
	if (!zs_zone_test_break(&test, 0, ZS_ZONE_FAULT_READ)) {
		print_message("not tested: this device cannot be made to fail\n");
		zs_zone_test_close(&test);
		return;
	}
	assert_int_equal(zs_zone_test_read(&test, 0, 0), ZS_ZONE_READ_FAULT);
	zs_zone_test_mend(&test, 0, ZS_ZONE_FAULT_READ);
	assert_int_equal(zs_zone_test_read(&test, 0, 0), ZS_ZONE_DONE);
	assert_true(zs_zone_test_is(test.data, 5, 0));
	assert_true(zs_zone_test_break(&test, 0, ZS_ZONE_FAULT_APPEND));
	assert_int_equal(zs_zone_test_append(&test, 0, 1, 6, &block), ZS_ZONE_WRITE_FAULT);
	zs_zone_test_mend(&test, 0, ZS_ZONE_FAULT_APPEND);
	/* The zone goes on where the device says. */
	assert_int_equal(zs_zone_test_append(&test, 0, 1, 7, &block), ZS_ZONE_DONE);
	assert_in_range(block, 2, 3);
	assert_int_equal(zs_zone_test_read(&test, 0, block), ZS_ZONE_DONE);
	assert_true(zs_zone_test_is(test.data, 7, 0));
	assert_int_equal(zs_zone_test_change(&test, ZS_ZONE_RESET, 0), ZS_ZONE_DONE);
	zs_zone_test_close(&test);
}

/* Each twice: a request that failed leaves nothing under way in its zone. */
static void expect_refusals(struct zs_zone_test *test, uint32_t zone, enum zs_zone_status status)
{
	uint32_t block;

	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(zs_zone_test_append(test, zone, 1, 4, &block), status);
		assert_int_equal(zs_zone_test_change(test, ZS_ZONE_RESET, zone), status);
		assert_int_equal(zs_zone_test_change(test, ZS_ZONE_FINISH, zone), status);
		assert_int_equal(zs_zone_test_change(test, ZS_ZONE_CLOSE, zone), status);
	}
}

static void test_a_zone_becomes_read_only_or_is_lost(void **state)
{
	struct zs_zone_test test;
	uint32_t block;

	(void)state;
	zs_zone_test_open(&test);
	assert_int_equal(zs_zone_test_append(&test, 0, 2, 5, &block), ZS_ZONE_DONE);
	assert_int_equal(zs_zone_test_append(&test, 1, 2, 6, &block), ZS_ZONE_DONE);
	if (!zs_zone_test_break(&test, 0, ZS_ZONE_FAULT_READ_ONLY)) {
		print_message("not tested: zones of this device cannot be made read-only or offline\n");
		zs_zone_test_close(&test);
		return;
	}
	assert_true(zs_zone_test_break(&test, 1, ZS_ZONE_FAULT_OFFLINE));
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(zs_zone_test_state(&test, 0).state, ZS_ZONE_READ_ONLY);
		assert_int_equal(zs_zone_test_state(&test, 1).state, ZS_ZONE_OFFLINE);
		assert_int_equal(zs_zone_test_state(&test, 1).written, 0);
		expect_refusals(&test, 0, ZS_ZONE_IS_READ_ONLY);
		expect_refusals(&test, 1, ZS_ZONE_IS_OFFLINE);
		assert_int_equal(zs_zone_test_read(&test, 0, 1), ZS_ZONE_DONE);
		assert_true(zs_zone_test_is(test.data, 5, 1));
		assert_int_equal(zs_zone_test_read(&test, 1, 0), ZS_ZONE_IS_OFFLINE);
		zs_zone_test_reopen(&test);
	}
	/* They are not active. */
	for (uint32_t i = 0; i < ACTIVE_MAX && i + 2 < ZONES; i++)
		assert_int_equal(zs_zone_test_append(&test, i + 2, 1, 7, &block), ZS_ZONE_DONE);
	zs_zone_test_mend(&test, 0, ZS_ZONE_FAULT_READ_ONLY);
	zs_zone_test_mend(&test, 1, ZS_ZONE_FAULT_OFFLINE);
	zs_zone_test_close(&test);
}

/* ---- at random, against a model ---- */

struct model {
	struct zs_zone zones[ZONES_MAX];
	uint64_t tags[ZONES_MAX][CAPACITY_MAX]; /* 0: nothing was written */
	uint32_t numbers[ZONES_MAX][CAPACITY_MAX];
};

static unsigned count_active(const struct model *model)
{
	unsigned active = 0;

	for (uint32_t i = 0; i < ZONES; i++)
		active += model->zones[i].state == ZS_ZONE_OPEN;
	return active;
}

/* The model does not tell open zones from closed ones. */
static void model_append(struct model *model, struct zs_zone_test *test, uint32_t zone, uint32_t blocks, uint64_t tag)
{
	struct zs_zone *z = &model->zones[zone];
	enum zs_zone_status expected = ZS_ZONE_DONE;
	uint32_t block;

	if (z->state == ZS_ZONE_FULL || blocks > CAPACITY - z->written)
		expected = ZS_ZONE_IS_FULL;
	else if (z->state == ZS_ZONE_EMPTY && count_active(model) == ACTIVE_MAX)
		expected = ZS_ZONE_TOO_MANY_ACTIVE;
	assert_int_equal(append_opening(test, zone, blocks, tag, &block), expected);
	if (expected)
		return;
	assert_int_equal(block, z->written);
	for (uint32_t i = 0; i < blocks; i++) {
		model->tags[zone][block + i] = tag;
		model->numbers[zone][block + i] = i;
	}
	z->written += blocks;
	z->state = z->written == CAPACITY ? ZS_ZONE_FULL : ZS_ZONE_OPEN;
}

static void model_read(const struct model *model, struct zs_zone_test *test, uint32_t zone, uint32_t block)
{
	assert_int_equal(zs_zone_test_read(test, zone, block), ZS_ZONE_DONE);
	if (model->tags[zone][block])
		assert_true(zs_zone_test_is(test->data, model->tags[zone][block], model->numbers[zone][block]));
	else
		assert_true(zs_zone_test_is_zero(test->data));
}

static void model_reset(struct model *model, struct zs_zone_test *test, uint32_t zone)
{
	assert_int_equal(zs_zone_test_change(test, ZS_ZONE_RESET, zone), ZS_ZONE_DONE);
	model->zones[zone] = (struct zs_zone){ .state = ZS_ZONE_EMPTY };
	memset(model->tags[zone], 0, sizeof(model->tags[zone]));
}

static void model_compare(const struct model *model, struct zs_zone_test *test)
{
	struct zs_zone found[ZONES_MAX];

	assert_int_equal(zs_zone_report(test->device, 0, ZONES, found), ZS_OK);
	for (uint32_t i = 0; i < ZONES; i++) {
		bool active = found[i].state == ZS_ZONE_OPEN || found[i].state == ZS_ZONE_CLOSED;

		assert_int_equal(found[i].written, model->zones[i].written);
		assert_int_equal(active, model->zones[i].state == ZS_ZONE_OPEN);
		assert_int_equal(found[i].state == ZS_ZONE_FULL, model->zones[i].state == ZS_ZONE_FULL);
	}
}

static void test_random_operations_and_reopening(void **state)
{
	static struct model model;
	struct zs_zone_test test;

	(void)state;
	zs_zone_test_open(&test);
	for (uint64_t i = 1; i <= 1500; i++) {
		uint64_t drawn = zs_mix(i);
		uint32_t zone = (uint32_t)(drawn >> 8) % ZONES;
		unsigned kind = drawn % 100;

		if (kind < 55)
			model_append(&model, &test, zone, 1 + (uint32_t)(drawn >> 32) % ZS_ZONE_APPEND_BLOCKS_MAX, i);
		else if (kind < 90)
			model_read(&model, &test, zone, (uint32_t)(drawn >> 32) % CAPACITY);
		else if (kind < 98)
			model_reset(&model, &test, zone);
		else
			zs_zone_test_reopen(&test);
		model_compare(&model, &test);
	}
	zs_zone_test_close(&test);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_appended_is_read),
		cmocka_unit_test(test_a_full_zone_takes_nothing_until_it_is_reset),
		cmocka_unit_test(test_limits_of_open_and_active_zones),
		cmocka_unit_test(test_limits_of_open_and_active_zones_after_finishing),
		cmocka_unit_test(test_closing),
		cmocka_unit_test(test_parallel_appends_have_places_of_their_own),
		cmocka_unit_test(test_bad_requests_do_nothing),
		cmocka_unit_test(test_a_zone_is_not_changed_under_what_is_under_way),
		cmocka_unit_test(test_the_queue_is_bounded_and_the_descriptor_tells),
		cmocka_unit_test(test_an_append_or_a_read_fails),
		cmocka_unit_test(test_a_zone_becomes_read_only_or_is_lost),
		cmocka_unit_test(test_random_operations_and_reopening),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
