/* Reading, storing, replacing and deleting single objects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test/engine/support.h"

#define TEXT(s) .value = (s), .value_size = strlen(s)
#define KEY(s) .key = (s), .key_size = strlen(s)

static int setup(void **state)
{
	*state = zs_fixture_open(32u << 20, ZS_POLICY_S3FIFO);
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

static void finds_what_was_stored(void **state)
{
	struct zs_thread *t = thread_of(state);
	struct zs_view view;

	zs_test_expect_absent(t, "name");
	assert_int_equal(zs_test_put(t, "name", "Ada", 0), ZS_OK);
	assert_int_equal(zs_get(t, "name", 4, 0, &view), ZS_OK);
	assert_int_equal(view.type, ZS_BYTES);
	assert_int_equal(view.size, 3);
	assert_memory_equal(view.data, "Ada", 3);
	assert_int_equal(view.deadline, 0);
	zs_test_expect_absent(t, "nam");
	zs_test_expect_absent(t, "namf");
	zs_test_expect_absent(t, "name ");
	assert_int_equal(zs_test_put(t, "name", "Grace Hopper", 0), ZS_OK);
	zs_test_expect(t, "name", "Grace Hopper");
	assert_int_equal(zs_engine_count(((struct zs_fixture *)*state)->engine), 1);
}

static void keeps_any_bytes(void **state)
{
	struct zs_thread *t = thread_of(state);
	uint8_t value[256];
	struct zs_view view;

	for (unsigned i = 0; i < 256; i++)
		value[i] = (uint8_t)i;
	/* All one-byte keys, each with a value that starts at another byte. */
	for (unsigned i = 0; i < 256; i++) {
		uint8_t key = (uint8_t)i;
		struct zs_set set = { .key = &key, .key_size = 1, .value = value + i, .value_size = 256 - i };

		assert_int_equal(zs_test_set(t, &set, NULL), ZS_OK);
	}
	for (unsigned i = 0; i < 256; i++) {
		uint8_t key = (uint8_t)i;

		assert_int_equal(zs_get(t, &key, 1, 0, &view), ZS_OK);
		assert_int_equal(view.size, 256 - i);
		assert_memory_equal(view.data, value + i, 256 - i);
	}
}

static void empty_key_and_value(void **state)
{
	struct zs_thread *t = thread_of(state);
	struct zs_set empty = { .key = NULL, .key_size = 0, .value = NULL, .value_size = 0 };
	struct zs_view view;

	assert_int_equal(zs_get(t, "", 0, 0, &view), ZS_ENOTFOUND);
	assert_int_equal(zs_test_set(t, &empty, NULL), ZS_OK);
	assert_int_equal(zs_get(t, NULL, 0, 0, &view), ZS_OK);
	assert_int_equal(view.type, ZS_BYTES);
	assert_int_equal(view.size, 0);
	assert_int_equal(zs_test_put(t, "", "full", 0), ZS_OK);
	zs_test_expect(t, "", "full");
	assert_int_equal(zs_test_put(t, "key", "", 0), ZS_OK);
	zs_test_expect(t, "key", "");
	assert_int_equal(zs_delete(t, "", 0, NULL), ZS_OK);
	zs_test_expect_absent(t, "");
	zs_test_expect(t, "key", "");
}

/* Stores and reads back one object of these sizes, with and without a deadline and a group. */
static void check_sizes(struct zs_fixture *f, size_t key_size, size_t value_size, unsigned variant)
{
	static uint8_t bytes[2 * ZS_OBJECT_MAX];
	struct zs_set set = { .key = bytes, .key_size = key_size, .value_size = value_size };
	struct zs_view view;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 + variant);
	set.value = bytes + ZS_OBJECT_MAX;
	if (variant & 1)
		set.deadline = zs_thread_now(f->thread) + 3600000;
	if (variant & 2) {
		set.flags = ZS_SET_GROUP;
		set.group = "sizes";
		set.group_size = 5;
	}
	assert_int_equal(zs_test_set(f->thread, &set, NULL), ZS_OK);
	assert_int_equal(zs_get(f->thread, set.key, key_size, 0, &view), ZS_OK);
	assert_int_equal(view.size, value_size);
	if (value_size)
		assert_memory_equal(view.data, set.value, value_size);
	assert_int_equal(view.deadline != 0, variant & 1);
	assert_int_equal(zs_delete(f->thread, set.key, key_size, NULL), ZS_OK);
	assert_int_equal(zs_get(f->thread, set.key, key_size, 0, &view), ZS_ENOTFOUND);
}

static void edge_sizes(void **state)
{
	static const size_t totals[] = { 0,
					 1,
					 2,
					 7,
					 8,
					 9,
					 63,
					 64,
					 65,
					 255,
					 256,
					 257,
					 1007,
					 1008,
					 1343,
					 1344,
					 2015,
					 2016,
					 2017,
					 4000,
					 4024,
					 ZS_OBJECT_MAX - 1,
					 ZS_OBJECT_MAX };

	for (size_t i = 0; i < sizeof(totals) / sizeof(totals[0]); i++) {
		size_t total = totals[i];

		for (unsigned variant = 0; variant < 4; variant++) {
			check_sizes(*state, 0, total, variant);
			check_sizes(*state, total, 0, variant);
			check_sizes(*state, total / 2, total - total / 2, variant);
			check_sizes(*state, total < 16 ? total : 16, total < 16 ? 0 : total - 16, variant);
		}
	}
}

static void refuses_what_does_not_fit(void **state)
{
	static uint8_t bytes[70000];
	struct zs_thread *t = thread_of(state);
	struct zs_set set = { .key = bytes, .key_size = 16, .value = bytes, .value_size = ZS_OBJECT_MAX - 15 };
	struct zs_view view;

	assert_int_equal(zs_set(t, &set, NULL), ZS_ETOOBIG);
	set.value_size = sizeof(bytes);
	assert_int_equal(zs_set(t, &set, NULL), ZS_ETOOBIG);
	set.key_size = ZS_OBJECT_MAX + 1;
	set.value_size = 0;
	assert_int_equal(zs_set(t, &set, NULL), ZS_ETOOBIG);
	set.key_size = sizeof(bytes);
	assert_int_equal(zs_set(t, &set, NULL), ZS_ETOOBIG);
	assert_int_equal(zs_get(t, bytes, sizeof(bytes), 0, &view), ZS_ENOTFOUND);
	assert_int_equal(zs_delete(t, bytes, sizeof(bytes), NULL), ZS_ENOTFOUND);
	assert_int_equal(zs_expire(t, bytes, sizeof(bytes), 0, 0, NULL), ZS_ENOTFOUND);

	/* A refused write leaves what was there. */
	assert_int_equal(zs_test_put(t, "kept", "old", 0), ZS_OK);
	set = (struct zs_set){ KEY("kept"), .value = bytes, .value_size = ZS_OBJECT_MAX - 3 };
	assert_int_equal(zs_set(t, &set, NULL), ZS_ETOOBIG);
	zs_test_expect(t, "kept", "old");
	assert_int_equal(zs_engine_count(((struct zs_fixture *)*state)->engine), 1);
}

static void nx_and_xx(void **state)
{
	struct zs_thread *t = thread_of(state);
	struct zs_set nx = { KEY("k"), TEXT("first"), .flags = ZS_SET_ABSENT };
	struct zs_set xx = { KEY("k"), TEXT("second"), .flags = ZS_SET_PRESENT };
	struct zs_set both = { KEY("k"), TEXT("never"), .flags = ZS_SET_PRESENT | ZS_SET_ABSENT };
	struct zs_previous previous;

	assert_int_equal(zs_test_set(t, &xx, &previous), ZS_EEXIST);
	assert_false(previous.existed);
	zs_test_expect_absent(t, "k");
	assert_int_equal(zs_test_set(t, &nx, &previous), ZS_OK);
	assert_false(previous.existed);
	assert_int_equal(zs_test_set(t, &nx, &previous), ZS_EEXIST);
	assert_true(previous.existed);
	assert_int_equal(previous.old.size, 5);
	assert_memory_equal(previous.old.data, "first", 5);
	assert_int_equal(zs_test_set(t, &xx, &previous), ZS_OK);
	assert_true(previous.existed);
	assert_memory_equal(previous.old.data, "first", 5);
	zs_test_expect(t, "k", "second");
	/* Both together can never hold. */
	assert_int_equal(zs_test_set(t, &both, NULL) == ZS_OK, 0);
	zs_test_expect(t, "k", "second");
	assert_int_equal(zs_delete(t, "k", 1, NULL), ZS_OK);
	assert_int_equal(zs_test_set(t, &both, NULL) == ZS_OK, 0);
	zs_test_expect_absent(t, "k");
}

static void set_if_equal(void **state)
{
	struct zs_thread *t = thread_of(state);
	struct zs_set set = { KEY("k"), TEXT("new"), .flags = ZS_SET_EQUAL, .expected = "old", .expected_size = 3 };
	struct zs_previous previous;
	int64_t number;

	assert_int_equal(zs_test_set(t, &set, &previous), ZS_EEXIST);
	assert_false(previous.existed);
	zs_test_expect_absent(t, "k");
	assert_int_equal(zs_test_put(t, "k", "older", 0), ZS_OK);
	assert_int_equal(zs_test_set(t, &set, &previous), ZS_EEXIST);
	assert_true(previous.existed);
	assert_memory_equal(previous.old.data, "older", 5);
	assert_int_equal(zs_test_put(t, "k", "old", 0), ZS_OK);
	assert_int_equal(zs_test_set(t, &set, &previous), ZS_OK);
	zs_test_expect(t, "k", "new");

	/* An empty value equals an empty expectation, and nothing else does. */
	assert_int_equal(zs_test_put(t, "k", "", 0), ZS_OK);
	assert_int_equal(zs_test_set(t, &set, NULL), ZS_EEXIST);
	set.expected = NULL;
	set.expected_size = 0;
	assert_int_equal(zs_test_set(t, &set, NULL), ZS_OK);
	assert_int_equal(zs_test_set(t, &set, NULL), ZS_EEXIST);

	/* A number compares as its decimal. */
	assert_int_equal(zs_delete(t, "k", 1, NULL), ZS_OK);
	assert_int_equal(zs_increment(t, "k", 1, -17, &number), ZS_OK);
	set.expected = "-17 ";
	set.expected_size = 4;
	assert_int_equal(zs_test_set(t, &set, NULL), ZS_EEXIST);
	set.expected_size = 3;
	assert_int_equal(zs_test_set(t, &set, &previous), ZS_OK);
	assert_true(previous.existed);
	assert_int_equal(previous.old.type, ZS_NUMBER);
	assert_int_equal(previous.old.number, -17);
	zs_test_expect(t, "k", "new");
}

static void previous_views_stay_until_quiesce(void **state)
{
	struct zs_thread *t = thread_of(state);
	struct zs_set set = { KEY("k"), .value_size = 100 };
	struct zs_previous previous[20];
	uint8_t value[100];

	for (unsigned i = 0; i < 20; i++) {
		memset(value, 'a' + (int)i, sizeof(value));
		set.value = value;
		assert_int_equal(zs_set(t, &set, &previous[i]), ZS_OK);
		assert_int_equal(previous[i].existed, i > 0);
	}
	/* Nothing of the replaced values may have been used again: no quiesce has happened. */
	for (unsigned i = 1; i < 20; i++) {
		memset(value, 'a' + (int)i - 1, sizeof(value));
		assert_int_equal(previous[i].old.size, 100);
		assert_memory_equal(previous[i].old.data, value, 100);
	}
}

static void delete_says_what_was_there(void **state)
{
	struct zs_thread *t = thread_of(state);
	struct zs_previous previous;

	assert_int_equal(zs_delete(t, "k", 1, &previous), ZS_ENOTFOUND);
	assert_false(previous.existed);
	assert_int_equal(zs_delete(t, "k", 1, NULL), ZS_ENOTFOUND);
	assert_int_equal(zs_test_put(t, "k", "gone", 0), ZS_OK);
	assert_int_equal(zs_delete(t, "k", 1, &previous), ZS_OK);
	assert_true(previous.existed);
	assert_int_equal(previous.old.size, 4);
	assert_memory_equal(previous.old.data, "gone", 4);
	zs_test_expect_absent(t, "k");
	assert_int_equal(zs_delete(t, "k", 1, &previous), ZS_ENOTFOUND);
	assert_int_equal(zs_engine_count(((struct zs_fixture *)*state)->engine), 0);
}

struct append {
	const char *text;
	int result;
	bool unchanged;
	size_t grow_to;
	uint64_t deadline;
	bool existed;
};

/* Appends text, rendering a number first, as APPEND does. */
static int append(void *context, struct zs_update *update)
{
	struct append *a = context;
	char buffer[24];
	size_t size = 0;

	a->existed = update->old;
	if (update->old) {
		const uint8_t *old = zs_test_bytes(update->old, buffer, &size);

		if (size)
			memcpy(update->value, old, size);
		assert_int_equal(update->deadline, update->old->deadline);
	} else {
		assert_int_equal(update->deadline, 0);
	}
	memcpy(update->value + size, a->text, strlen(a->text));
	update->value_size = a->grow_to ? a->grow_to : size + strlen(a->text);
	if (a->deadline)
		update->deadline = a->deadline;
	update->unchanged = a->unchanged;
	return a->result;
}

static void update_computes_from_the_old(void **state)
{
	struct zs_thread *t = thread_of(state);
	struct append a = { .text = "ab" };
	int64_t number;

	assert_int_equal(zs_update(t, "k", 1, append, &a), ZS_OK);
	assert_false(a.existed);
	zs_test_expect(t, "k", "ab");
	a.text = "cd";
	assert_int_equal(zs_update(t, "k", 1, append, &a), ZS_OK);
	assert_true(a.existed);
	zs_test_expect(t, "k", "abcd");
	assert_int_equal(zs_increment(t, "n", 1, 41, &number), ZS_OK);
	assert_int_equal(zs_update(t, "n", 1, append, &a), ZS_OK);
	zs_test_expect(t, "n", "41cd");
}

static void update_may_refuse(void **state)
{
	struct zs_thread *t = thread_of(state);
	struct append a = { .text = "x", .unchanged = true };

	assert_int_equal(zs_update(t, "k", 1, append, &a), ZS_OK);
	zs_test_expect_absent(t, "k");
	assert_int_equal(zs_test_put(t, "k", "old", 0), ZS_OK);
	assert_int_equal(zs_update(t, "k", 1, append, &a), ZS_OK);
	zs_test_expect(t, "k", "old");
	a.unchanged = false;
	a.result = ZS_EABORT;
	assert_int_equal(zs_update(t, "k", 1, append, &a), ZS_EABORT);
	zs_test_expect(t, "k", "old");
	a.result = ZS_ENOTFLOAT;
	assert_int_equal(zs_update(t, "absent", 6, append, &a), ZS_ENOTFLOAT);
	zs_test_expect_absent(t, "absent");
	a.result = ZS_OK;
	a.grow_to = ZS_OBJECT_MAX; /* with one byte of key that is one too many */
	assert_int_equal(zs_update(t, "k", 1, append, &a), ZS_ETOOBIG);
	zs_test_expect(t, "k", "old");
}

static void update_may_change_the_deadline(void **state)
{
	struct zs_thread *t = thread_of(state);
	struct append a = { .text = "x" };
	uint64_t now = zs_thread_now(t);
	struct zs_view view;

	a.deadline = now + 60000;
	assert_int_equal(zs_update(t, "k", 1, append, &a), ZS_OK);
	assert_int_equal(zs_get(t, "k", 1, 0, &view), ZS_OK);
	zs_test_expect_deadline(now, a.deadline, view.deadline);
	a.deadline = 0;
	now = view.deadline;
	assert_int_equal(zs_update(t, "k", 1, append, &a), ZS_OK);
	assert_int_equal(zs_get(t, "k", 1, 0, &view), ZS_OK);
	assert_int_equal(view.deadline, now);
	a.deadline = zs_thread_now(t) - 1;
	assert_int_equal(zs_update(t, "k", 1, append, &a), ZS_OK);
	zs_test_expect_absent(t, "k");
}

static void batch_finds_the_same(void **state)
{
	enum { MOST = 500 };
	static char names[MOST][16];
	static struct zs_key keys[MOST];
	static struct zs_view views[MOST];
	static bool found[MOST];
	struct zs_thread *t = thread_of(state);

	for (unsigned i = 0; i < MOST; i++) {
		keys[i].data = names[i];
		keys[i].size =
		    (size_t)snprintf(names[i], sizeof(names[i]), "key:%u", i / 2); /* each one twice in the batch */
		if (i % 3 == 0)
			assert_int_equal(zs_test_put(t, names[i], names[i], 0), ZS_OK);
	}
	assert_int_equal(zs_get_batch(t, keys, 0, views, found), 0);
	for (size_t count = 1; count <= MOST; count = count * 3 / 2 + 1) {
		size_t expected = 0;
		size_t result = zs_get_batch(t, keys, count, views, found);

		for (size_t i = 0; i < count; i++) {
			struct zs_view view;

			zs_prefetch_batch(t, &keys[i], count - i);
			assert_int_equal(found[i], zs_get(t, keys[i].data, keys[i].size, 0, &view) == ZS_OK);
			if (!found[i])
				continue;
			expected++;
			assert_int_equal(views[i].size, keys[i].size);
			assert_memory_equal(views[i].data, keys[i].data, keys[i].size);
		}
		assert_int_equal(result, expected);
	}
}

static void batch_stores_up_to_the_first_that_cannot_be(void **state)
{
	enum { COUNT = 75, BAD = 53 };
	static char names[COUNT][16];
	static struct zs_set sets[COUNT];
	struct zs_thread *t = thread_of(state);
	struct zs_view view;

	assert_int_equal(zs_set_batch(t, sets, 0), 0);
	for (unsigned i = 0; i < COUNT; i++) {
		sets[i].key = names[i];
		sets[i].key_size = (size_t)snprintf(names[i], sizeof(names[i]), "key:%u", i % 40); /* some twice */
		sets[i].value = &names[i];
		sets[i].value_size = i % 16;
	}
	sets[BAD].value_size = ZS_OBJECT_MAX;
	for (unsigned round = 0; round < 3; round++) {
		assert_int_equal(zs_set_batch(t, sets, COUNT), BAD);
		for (unsigned i = 0; i < 40; i++) {
			unsigned last = i + 40 < BAD ? i + 40 : i;

			assert_int_equal(zs_get(t, names[i], sets[i].key_size, 0, &view), ZS_OK);
			assert_int_equal(view.size, last % 16);
			assert_memory_equal(view.data, names[last], view.size);
		}
		zs_thread_quiesce(t);
	}
	sets[BAD].value_size = 3;
	sets[5].flags = ZS_SET_ABSENT;
	assert_int_equal(zs_set_batch(t, sets, COUNT), 5);
	assert_int_equal(zs_set_batch(t, sets + 6, COUNT - 6), COUNT - 6);
}

static void reads_count_as_hits_unless_they_peek(void **state)
{
	struct zs_fixture *f = *state;
	struct zs_stats stats;
	struct zs_view view;

	assert_int_equal(zs_test_put(f->thread, "k", "v", 0), ZS_OK);
	zs_thread_quiesce(f->thread);
	zs_engine_reset_stats(f->engine);
	for (unsigned i = 0; i < 7; i++) {
		zs_get(f->thread, "k", 1, 0, &view);
		zs_get(f->thread, "k", 1, ZS_READ_PEEK, &view);
		zs_get(f->thread, "absent", 6, ZS_READ_PEEK, &view);
	}
	for (unsigned i = 0; i < 3; i++)
		zs_get(f->thread, "absent", 6, 0, &view);
	zs_thread_quiesce(f->thread);
	zs_engine_stats(f->engine, &stats);
	assert_int_equal(stats.hits, 7);
	assert_int_equal(stats.misses, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(finds_what_was_stored, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_any_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(empty_key_and_value, setup, teardown),
		cmocka_unit_test_setup_teardown(edge_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_what_does_not_fit, setup, teardown),
		cmocka_unit_test_setup_teardown(nx_and_xx, setup, teardown),
		cmocka_unit_test_setup_teardown(set_if_equal, setup, teardown),
		cmocka_unit_test_setup_teardown(previous_views_stay_until_quiesce, setup, teardown),
		cmocka_unit_test_setup_teardown(delete_says_what_was_there, setup, teardown),
		cmocka_unit_test_setup_teardown(update_computes_from_the_old, setup, teardown),
		cmocka_unit_test_setup_teardown(update_may_refuse, setup, teardown),
		cmocka_unit_test_setup_teardown(update_may_change_the_deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(batch_finds_the_same, setup, teardown),
		cmocka_unit_test_setup_teardown(batch_stores_up_to_the_first_that_cannot_be, setup, teardown),
		cmocka_unit_test_setup_teardown(reads_count_as_hits_unless_they_peek, setup, teardown),
	};

	return cmocka_run_group_tests_name("basic", tests, NULL, NULL);
}
