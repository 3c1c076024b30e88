#include "test/unit/common/arena_fixture.h"

#include "common/lease.h"
#include "common/reader_plain.h"

enum { LEASE_TAG = 7 };

struct fixture {
	struct arena *arena;
	uint64_t lease;
	struct zs_plain_options options;
	struct zs_plain plain;
	uint8_t buffer[ZS_FRAME_SIZE];
	struct zs_plain_read read;
};

static struct fixture *open_fixture(void)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char why[256] = "";

	assert_non_null(f);
	f->arena = arena_open();
	f->lease = zs_lease_word(UINT64_MAX, LEASE_TAG);
	f->options = (struct zs_plain_options){
		.base = f->arena->engine->arena,
		.size = f->arena->engine->arena_size,
		.lease = &f->lease,
		.lease_tag = LEASE_TAG,
		.clock = &f->arena->clock,
		.node_ms_offset = NODE_MS,
	};
	if (zs_plain_open(&f->plain, &f->options, why, sizeof(why)))
		fail_msg("%s", why);
	assert_true(zs_plain_incarnation(&f->plain) == f->arena->engine->superblock->incarnation);
	return f;
}

static void close_fixture(struct fixture *f)
{
	arena_close(f->arena);
	free(f);
}

static enum zs_answer get(struct fixture *f, const char *key)
{
	f->read = (struct zs_plain_read){
		.key = key, .key_size = strlen(key), .buffer = f->buffer, .buffer_size = sizeof(f->buffer)
	};
	return zs_plain_get(&f->plain, &f->read);
}

static void expect_bytes(struct fixture *f, const char *key, const char *value)
{
	assert_int_equal(get(f, key), ZS_ANSWER_HIT);
	assert_false(f->read.value.is_number);
	assert_int_equal(f->read.value.size, strlen(value));
	assert_memory_equal(f->buffer, value, strlen(value));
}

static void test_kinds_of_values(void **state)
{
	struct fixture *f = open_fixture();
	char large[3900];
	int64_t number;

	(void)state;
	memset(large, 'x', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	arena_put(f->arena, "a", "first", 0);
	arena_put(f->arena, "", "of the empty key", 0);
	arena_put(f->arena, "nothing", "", 0);
	arena_put(f->arena, "large", large, 0);
	assert_int_equal(zs_increment(f->arena->thread, "count", 5, -42, &number), ZS_OK);
	expect_bytes(f, "a", "first");
	expect_bytes(f, "", "of the empty key");
	expect_bytes(f, "nothing", "");
	expect_bytes(f, "large", large);
	assert_int_equal(get(f, "count"), ZS_ANSWER_HIT);
	assert_true(f->read.value.is_number);
	assert_int_equal(f->read.value.number, -42);
	assert_int_equal(get(f, "b"), ZS_ANSWER_MISS);
	arena_put(f->arena, "a", "second", 0);
	expect_bytes(f, "a", "second");
	assert_int_equal(zs_delete(f->arena->thread, "a", 1, NULL), ZS_OK);
	assert_int_equal(get(f, "a"), ZS_ANSWER_MISS);
	close_fixture(f);
}

static void test_a_short_buffer_takes_what_fits(void **state)
{
	struct fixture *f = open_fixture();

	(void)state;
	arena_put(f->arena, "a", "0123456789", 0);
	memset(f->buffer, '?', sizeof(f->buffer));
	f->read = (struct zs_plain_read){ .key = "a", .key_size = 1, .buffer = f->buffer, .buffer_size = 4 };
	assert_int_equal(zs_plain_get(&f->plain, &f->read), ZS_ANSWER_HIT);
	assert_int_equal(f->read.value.size, 10);
	assert_memory_equal(f->buffer, "0123??", 6);
	close_fixture(f);
}

static void test_deadlines(void **state)
{
	struct fixture *f = open_fixture();
	uint64_t deadline = arena_ms(f->arena) + 1000;

	(void)state;
	arena_put(f->arena, "a", "short-lived", deadline);
	expect_bytes(f, "a", "short-lived");
	assert_in_range(f->read.value.deadline, deadline - 10, deadline);
	f->arena->ns += 980000000;
	expect_bytes(f, "a", "short-lived");
	f->arena->ns += 20000000;
	assert_int_equal(get(f, "a"), ZS_ANSWER_MISS);
	close_fixture(f);
}

static void test_nothing_is_believed_without_a_lease(void **state)
{
	struct fixture *f = open_fixture();

	(void)state;
	arena_put(f->arena, "a", "value", 0);
	f->lease = zs_lease_word(f->arena->ns + 1000000, LEASE_TAG);
	expect_bytes(f, "a", "value");
	f->arena->ns += 1000000;
	assert_int_equal(get(f, "a"), ZS_ANSWER_ASK);
	assert_int_equal(get(f, "b"), ZS_ANSWER_ASK);
	/* The word serves another session by now. */
	f->lease = zs_lease_word(UINT64_MAX, LEASE_TAG + 1);
	assert_int_equal(get(f, "a"), ZS_ANSWER_ASK);
	f->lease = zs_lease_word(UINT64_MAX, LEASE_TAG);
	expect_bytes(f, "a", "value");
	f->lease = 0;
	zs_plain_get_batch(&f->plain, &f->read, 1);
	assert_int_equal(f->read.answer, ZS_ANSWER_ASK);
	close_fixture(f);
}

static uint64_t standing(void)
{
	return 1;
}

/* As with the system's clocks, of which one stands still between two ticks. */
static void test_a_bound_on_the_time_does_not_prolong_leases_and_lives(void **state)
{
	struct fixture *f = open_fixture();
	uint64_t until = f->arena->ns + 20000000;
	uint64_t deadline = arena_ms(f->arena) + 80;

	(void)state;
	arena_put(f->arena, "a", "for ever", 0);
	arena_put(f->arena, "b", "short-lived", deadline);
	zs_near_clock_init(&f->plain.clock, &f->arena->clock, standing);
	f->lease = zs_lease_word(until, LEASE_TAG);
	expect_bytes(f, "a", "for ever");
	f->arena->ns = (until & ~UINT64_C(0xffff)) - 1000;
	expect_bytes(f, "a", "for ever");
	f->arena->ns = until;
	assert_int_equal(get(f, "a"), ZS_ANSWER_ASK);

	f->lease = zs_lease_word(UINT64_MAX, LEASE_TAG);
	expect_bytes(f, "b", "short-lived");
	f->arena->ns += (f->read.value.deadline - arena_ms(f->arena) - 1) * 1000000;
	expect_bytes(f, "b", "short-lived");
	f->arena->ns += 1000000;
	assert_int_equal(get(f, "b"), ZS_ANSWER_MISS);
	close_fixture(f);
}

static void test_batches_while_the_index_grows(void **state)
{
	enum { KEYS = 6000, BATCH = 100 };
	struct fixture *f = open_fixture();
	static char names[BATCH][32];
	static uint8_t buffers[BATCH][64];
	struct zs_plain_read reads[BATCH];
	unsigned both_tables = 0;

	(void)state;
	for (unsigned n = 0; n < KEYS; n += 50) {
		arena_fill(f->arena, n, 50, 40);
		for (unsigned i = 0; i < BATCH; i++) {
			unsigned key = (n + 50) * i / (BATCH - 10); /* the last ones are not there */

			snprintf(names[i], sizeof(names[i]), "key:%06u", key);
			reads[i] = (struct zs_plain_read){
				.key = names[i], .key_size = 10, .buffer = buffers[i], .buffer_size = 64
			};
		}
		zs_plain_get_batch(&f->plain, reads, BATCH);
		for (unsigned i = 0; i < BATCH; i++) {
			assert_int_equal(reads[i].answer, i < BATCH - 10 ? ZS_ANSWER_HIT : ZS_ANSWER_MISS);
			if (i < BATCH - 10)
				assert_memory_equal(buffers[i], names[i], 10);
		}
		both_tables += f->arena->engine->superblock->partition[0].previous.buckets > 0;
		arena_advance(f->arena, 1000000);
	}
	assert_true(both_tables > 0);
	close_fixture(f);
}

static void test_a_held_bucket_is_not_waited_for(void **state)
{
	struct fixture *f = open_fixture();
	struct zs_bucket *buckets = f->arena->engine->parts[0].view->main.buckets;

	(void)state;
	arena_put(f->arena, "a", "value", 0);
	/* As if writers had been stopped while they held all buckets: what is found counts, what is not does not. */
	for (uint32_t i = 0; i < f->arena->engine->parts[0].view->main.count; i++)
		buckets[i].sequence++;
	expect_bytes(f, "a", "value");
	assert_int_equal(get(f, "b"), ZS_ANSWER_ASK);
	for (uint32_t i = 0; i < f->arena->engine->parts[0].view->main.count; i++)
		buckets[i].sequence++;
	assert_int_equal(get(f, "b"), ZS_ANSWER_MISS);
	f->arena->engine->superblock->sequence++;
	assert_int_equal(get(f, "a"), ZS_ANSWER_ASK);
	f->arena->engine->superblock->sequence++;
	expect_bytes(f, "a", "value");
	close_fixture(f);
}

static void expect_refused(const struct zs_plain_options *options, const char *why_part)
{
	struct zs_plain plain;
	char why[256] = "";
	int error = zs_plain_open(&plain, options, why, sizeof(why));

	assert_true(error == ZS_EPROTO || error == ZS_EAGAIN);
	if (!strstr(why, why_part))
		fail_msg("\"%s\" does not say \"%s\"", why, why_part);
}

static void test_what_is_no_arena_is_refused(void **state)
{
	struct fixture *f = open_fixture();
	struct zs_superblock *super = f->arena->engine->superblock;
	struct zs_superblock saved = *super;
	struct zs_plain_options half = f->options;

	(void)state;
	half.size /= 2;
	expect_refused(&half, "bytes, but there are");
	half.size = 100;
	expect_refused(&half, "whole pages");
	super->magic++;
	expect_refused(&f->options, "no arena");
	*super = saved;
	super->version = 99;
	expect_refused(&f->options, "layout version 99");
	*super = saved;
	super->partitions = 65;
	expect_refused(&f->options, "65 partitions");
	*super = saved;
	super->sequence = 1;
	expect_refused(&f->options, "being replaced");
	*super = saved;
	super->partition[0].main.buckets = UINT64_MAX / 64;
	expect_refused(&f->options, "outside");
	*super = saved;
	super->partition[0].previous = (struct zs_table_place){ super->arena_size - 64, 2 };
	expect_refused(&f->options, "outside");
	*super = saved;
	super->partition[0].frames++;
	expect_refused(&f->options, "outside");
	*super = saved;
	close_fixture(f);
}

/* Bad bytes anywhere: no load leaves the memory, which sanitizers watch, and each read comes to an end. */
static void test_garbage_in_the_mapping(void **state)
{
	struct fixture *f = open_fixture();
	size_t size = f->options.size;
	uint8_t *copy = aligned_alloc(ZS_FRAME_SIZE, size);
	uint64_t random = 88172645463325252u;
	unsigned opened = 0;

	(void)state;
	assert_non_null(copy);
	arena_fill(f->arena, 0, 300, 100);
	f->options.base = copy;
	for (unsigned round = 0; round < 300; round++) {
		char why[256];
		char key[32];

		memcpy(copy, f->arena->engine->arena, size);
		for (unsigned i = 0; i < (round % 2 ? 20000u : 200u); i++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			copy[i < 2 && round % 4 == 0   ? random % 64
			     : i < 2 && round % 4 == 1 ? offsetof(struct zs_superblock, partition) + random % 48
						       : random % size] = (uint8_t)(random >> 40);
		}
		if (zs_plain_open(&f->plain, &f->options, why, sizeof(why)))
			continue;
		opened++;
		for (unsigned i = 0; i < 300; i++) {
			snprintf(key, sizeof(key), "key:%06u", i);
			get(f, key);
			zs_plain_get_batch(&f->plain, &f->read, 1);
		}
	}
	assert_in_range(opened, 150, 299);
	free(copy);
	close_fixture(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds_of_values),
		cmocka_unit_test(test_a_short_buffer_takes_what_fits),
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_nothing_is_believed_without_a_lease),
		cmocka_unit_test(test_a_bound_on_the_time_does_not_prolong_leases_and_lives),
		cmocka_unit_test(test_batches_while_the_index_grows),
		cmocka_unit_test(test_a_held_bucket_is_not_waited_for),
		cmocka_unit_test(test_what_is_no_arena_is_refused),
		cmocka_unit_test(test_garbage_in_the_mapping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
