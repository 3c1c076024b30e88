/* Groups and their whole drop, and flush. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test/engine/support.h"

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

static int put_in(struct zs_thread *t, const char *group, const char *key, const char *value, uint64_t deadline)
{
	struct zs_set set = {
		.key = key,
		.key_size = strlen(key),
		.value = value,
		.value_size = strlen(value),
		.deadline = deadline,
		.flags = ZS_SET_GROUP,
		.group = group,
		.group_size = strlen(group),
	};

	return zs_test_set(t, &set, NULL);
}

static int drop(struct zs_thread *t, const char *group, uint64_t *dropped)
{
	return zs_drop(t, group, strlen(group), dropped);
}

struct seen {
	const char *name;
	unsigned calls; /* for the group of that name */
	unsigned groups;
	uint64_t objects;
	uint64_t slabs;
};

static void see(void *context, const struct zs_group_info *info)
{
	struct seen *seen = context;

	seen->groups++;
	if (info->name_size != strlen(seen->name) || memcmp(info->name, seen->name, info->name_size) != 0)
		return;
	seen->calls++;
	seen->objects = info->objects;
	seen->slabs = info->slabs;
}

static struct seen look(struct zs_thread *t, const char *name)
{
	struct seen seen = { .name = name };

	zs_groups(t, see, &seen);
	return seen;
}

static void drop_ends_a_group_and_no_other(void **state)
{
	struct zs_thread *t = ((struct zs_fixture *)*state)->thread;
	uint64_t dropped = 99;
	char key[24];

	assert_int_equal(drop(t, "red", &dropped), ZS_ENOTFOUND);
	for (int i = 0; i < 3000; i++) {
		snprintf(key, sizeof(key), "%d", i);
		if (i % 3 == 0)
			assert_int_equal(put_in(t, "red", key, "r", 0), ZS_OK);
		else if (i % 3 == 1)
			assert_int_equal(put_in(t, "blue", key, "b", 0), ZS_OK);
		else
			assert_int_equal(zs_test_put(t, key, "none", 0), ZS_OK);
	}
	assert_int_equal(look(t, "red").objects, 1000);
	assert_int_equal(look(t, "blue").objects, 1000);
	assert_int_equal(look(t, "red").groups, 2);
	assert_int_equal(drop(t, "red", &dropped), ZS_OK);
	assert_int_equal(dropped, 1000);
	for (int i = 0; i < 3000; i++) {
		snprintf(key, sizeof(key), "%d", i);
		if (i % 3 == 0)
			zs_test_expect_absent(t, key);
		else
			zs_test_expect(t, key, i % 3 == 1 ? "b" : "none");
	}
	assert_int_equal(look(t, "red").calls, 0);
	assert_int_equal(zs_engine_count(((struct zs_fixture *)*state)->engine), 2000);
	zs_fixture_settle(*state);
	assert_int_equal(zs_engine_count(((struct zs_fixture *)*state)->engine), 2000);
}

/* The name may be used again at once, also while the memory of its former life still rests. */
static void a_name_lives_again(void **state)
{
	struct zs_thread *t = ((struct zs_fixture *)*state)->thread;
	uint64_t dropped;
	char value[24];

	for (int round = 0; round < 200; round++) {
		snprintf(value, sizeof(value), "round %d", round);
		assert_int_equal(put_in(t, "tick", "a", value, 0), ZS_OK);
		assert_int_equal(put_in(t, "tick", "b", value, 0), ZS_OK);
		zs_test_expect(t, "a", value);
		assert_int_equal(drop(t, "tick", &dropped), ZS_OK);
		assert_int_equal(dropped, 2);
		zs_test_expect_absent(t, "a");
		zs_test_expect_absent(t, "b");
		if (round % 5 == 0)
			zs_thread_upkeep(t, 200);
	}
	assert_int_equal(put_in(t, "tick", "a", "last", 0), ZS_OK);
	zs_fixture_settle(*state);
	zs_test_expect(t, "a", "last");
	zs_test_expect_absent(t, "b");
}

static void writes_decide_the_group(void **state)
{
	struct zs_thread *t = ((struct zs_fixture *)*state)->thread;
	struct zs_set keep = { .key = "c", .key_size = 1, .value = "kept", .value_size = 4, .flags = ZS_SET_KEEP_TTL };
	uint64_t dropped;

	assert_int_equal(put_in(t, "one", "a", "1", 0), ZS_OK);
	assert_int_equal(put_in(t, "one", "b", "1", 0), ZS_OK);
	assert_int_equal(put_in(t, "one", "c", "1", 0), ZS_OK);
	assert_int_equal(put_in(t, "two", "a", "2", 0), ZS_OK); /* into another group */
	assert_int_equal(zs_test_put(t, "b", "0", 0), ZS_OK);	/* out of it */
	assert_int_equal(zs_test_set(t, &keep, NULL), ZS_OK);	/* KEEP_TTL keeps the deadline, not the group */
	assert_int_equal(put_in(t, "one", "d", "1", 0), ZS_OK);
	assert_int_equal(drop(t, "one", &dropped), ZS_OK);
	assert_int_equal(dropped, 1);
	zs_test_expect(t, "a", "2");
	zs_test_expect(t, "b", "0");
	zs_test_expect(t, "c", "kept");
	zs_test_expect_absent(t, "d");
	assert_int_equal(drop(t, "two", &dropped), ZS_OK);
	assert_int_equal(dropped, 1);
	zs_test_expect_absent(t, "a");
}

static int append_x(void *context, struct zs_update *update)
{
	(void)context;
	memcpy(update->value, update->old->data, update->old->size);
	update->value[update->old->size] = 'x';
	update->value_size = update->old->size + 1;
	return ZS_OK;
}

/* What changes an object without naming a group leaves it in its group. */
static void changes_keep_the_group(void **state)
{
	struct zs_fixture *f = *state;
	struct zs_thread *t = f->thread;
	uint64_t now = zs_thread_now(t), dropped;
	int64_t n;

	for (uint64_t later = 1000; later < 1u << 30; later *= 8) {
		assert_int_equal(put_in(t, "g", "updated", "1", 0), ZS_OK);
		assert_int_equal(put_in(t, "g", "counted", "1", 0), ZS_OK);
		assert_int_equal(put_in(t, "g", "expiring", "1", 0), ZS_OK);
		assert_int_equal(put_in(t, "g", "moved", "1", now + 1000), ZS_OK);
		assert_int_equal(zs_update(t, "updated", 7, append_x, NULL), ZS_OK);
		zs_test_expect(t, "updated", "1x");
		assert_int_equal(zs_increment(t, "counted", 7, 5, &n), ZS_OK);
		assert_int_equal(n, 6);
		assert_int_equal(zs_expire(t, "expiring", 8, now + later, 0, NULL), ZS_OK);
		assert_int_equal(zs_expire(t, "moved", 5, now + later, 0, NULL), ZS_OK);
		assert_int_equal(zs_expire(t, "moved", 5, 0, 0, NULL), ZS_OK);
		zs_test_expect(t, "moved", "1");
		assert_int_equal(drop(t, "g", &dropped), ZS_OK);
		assert_int_equal(dropped, 4);
		zs_test_expect_absent(t, "updated");
		zs_test_expect_absent(t, "counted");
		zs_test_expect_absent(t, "expiring");
		zs_test_expect_absent(t, "moved");
		zs_thread_quiesce(t);
	}
}

static void objects_of_a_group_expire(void **state)
{
	struct zs_fixture *f = *state;
	uint64_t now = zs_thread_now(f->thread), dropped;

	assert_int_equal(put_in(f->thread, "g", "short", "v", now + 2000), ZS_OK);
	assert_int_equal(put_in(f->thread, "g", "long", "v", now + 9000000), ZS_OK);
	assert_int_equal(put_in(f->thread, "g", "ever", "v", 0), ZS_OK);
	zs_fixture_advance(f, 2001);
	zs_test_expect_absent(f->thread, "short");
	zs_test_expect(f->thread, "long", "v");
	zs_fixture_settle(f);
	zs_test_expect(f->thread, "long", "v");
	zs_test_expect(f->thread, "ever", "v");
	zs_fixture_advance(f, 9000000);
	zs_fixture_settle(f);
	zs_test_expect_absent(f->thread, "long");
	zs_test_expect(f->thread, "ever", "v");
	assert_int_equal(drop(f->thread, "g", &dropped), ZS_OK);
	assert_in_range(dropped, 1, 3);
	zs_test_expect_absent(f->thread, "ever");
}

static void names_of_groups(void **state)
{
	struct zs_thread *t = ((struct zs_fixture *)*state)->thread;
	char name[ZS_GROUP_NAME_MAX + 2];
	struct zs_set set = {
		.key = "k", .key_size = 1, .value = "v", .value_size = 1, .flags = ZS_SET_GROUP, .group = name
	};

	memset(name, 'g', sizeof(name));
	set.group_size = 0;
	assert_int_equal(zs_set(t, &set, NULL), ZS_EINVAL);
	set.group_size = ZS_GROUP_NAME_MAX + 1;
	assert_int_equal(zs_set(t, &set, NULL), ZS_EINVAL);
	zs_test_expect_absent(t, "k");
	assert_int_equal(zs_drop(t, name, ZS_GROUP_NAME_MAX + 1, NULL), ZS_ENOTFOUND);
	assert_int_equal(zs_drop(t, name, 0, NULL), ZS_ENOTFOUND);
	/* Every length up to the longest is a name of its own; any byte may be in it. */
	name[0] = '\0';
	for (size_t size = 1; size <= ZS_GROUP_NAME_MAX; size += 127) {
		set.group_size = size;
		assert_int_equal(zs_test_set(t, &set, NULL), ZS_OK);
		if (size < ZS_GROUP_NAME_MAX)
			assert_int_equal(zs_drop(t, name, size + 1, NULL), ZS_ENOTFOUND);
		zs_test_expect(t, "k", "v");
		assert_int_equal(zs_drop(t, name, size, NULL), ZS_OK);
		zs_test_expect_absent(t, "k");
	}
}

/* Far more groups than may be open at one time, in any order of coming and going. */
static void many_groups(void **state)
{
	enum { GROUPS = 2000 };
	struct zs_fixture *f = *state;
	char group[24], key[24];
	uint64_t dropped;
	unsigned made = 0;

	for (int i = 0; i < GROUPS; i++) {
		int result;

		snprintf(group, sizeof(group), "match:%d", i);
		snprintf(key, sizeof(key), "state:%d", i);
		result = put_in(f->thread, group, key, group, 0);
		if (result == ZS_EGROUPS)
			break;
		assert_int_equal(result, ZS_OK);
		made++;
		zs_thread_upkeep(f->thread, 50);
	}
	assert_in_range(made, 500, GROUPS);
	assert_int_equal(look(f->thread, "match:7").groups, made);
	for (unsigned i = 0; i < made; i++) {
		unsigned victim = (i * 7919u) % made; /* 7919 is a prime above made: every group comes once */

		snprintf(group, sizeof(group), "match:%u", victim);
		snprintf(key, sizeof(key), "state:%u", victim);
		zs_test_expect(f->thread, key, group);
		assert_int_equal(drop(f->thread, group, &dropped), ZS_OK);
		assert_int_equal(dropped, 1);
		zs_test_expect_absent(f->thread, key);
	}
	assert_int_equal(zs_engine_count(f->engine), 0);
	zs_fixture_settle(f);
	/* All names and slabs are free again. */
	for (int i = 0; i < GROUPS; i++) {
		snprintf(group, sizeof(group), "again:%d", i);
		assert_int_equal(put_in(f->thread, group, "k", "v", 0), ZS_OK);
		assert_int_equal(drop(f->thread, group, NULL), ZS_OK);
		zs_thread_upkeep(f->thread, 50);
	}
}

/* Groups that end because each of their objects is deleted, not by a drop. There may be any number in a lifetime. */
static void emptied_groups_make_room(void **state)
{
	struct zs_fixture *f = *state;
	char group[24];

	for (int i = 0; i < 100000; i++) {
		int result;

		snprintf(group, sizeof(group), "match:%d", i);
		result = put_in(f->thread, group, group, "v", 0);
		if (result)
			fail_msg("group %d, all others are empty: %s", i, zs_error_name(result));
		assert_int_equal(zs_delete(f->thread, group, strlen(group), NULL), ZS_OK);
		if (i % 16 == 0) {
			zs_test_clock_advance(&f->clock, 20);
			zs_thread_upkeep(f->thread, 50);
		}
	}
	assert_int_equal(look(f->thread, "match:1").groups, 0);
}

static void a_dropped_group_frees_its_memory(void **state)
{
	enum { OBJECTS = 100000 };
	struct zs_fixture *f = *state;
	struct zs_stats before, full, after;
	uint64_t dropped;
	char key[24];

	zs_engine_stats(f->engine, &before);
	for (int i = 0; i < OBJECTS; i++) {
		snprintf(key, sizeof(key), "object:%09d", i);
		assert_int_equal(put_in(f->thread, "big", key, "a value of 32 bytes, more or less", 0), ZS_OK);
		zs_thread_quiesce(f->thread);
	}
	zs_engine_stats(f->engine, &full);
	zs_test_expect_sums(&full);
	assert_int_equal(full.objects, OBJECTS);
	assert_int_equal(full.groups, 1);
	assert_int_equal(drop(f->thread, "big", &dropped), ZS_OK);
	assert_int_equal(dropped, OBJECTS);
	for (int i = 0; i < OBJECTS; i += 7) {
		snprintf(key, sizeof(key), "object:%09d", i);
		zs_test_expect_absent(f->thread, key);
	}
	zs_fixture_settle(f);
	zs_fixture_advance(f, 1000);
	zs_fixture_settle(f);
	zs_engine_stats(f->engine, &after);
	zs_test_expect_sums(&after);
	assert_int_equal(after.objects, 0);
	assert_int_equal(after.dropped_objects, OBJECTS);
	if (after.slab_bytes > before.slab_bytes + (full.slab_bytes - before.slab_bytes) / 20)
		fail_msg("slabs held %" PRIu64 " bytes with the group and %" PRIu64 " after its drop", full.slab_bytes,
			 after.slab_bytes);
}

static void flush_removes_everything(void **state)
{
	struct zs_fixture *f = *state;
	struct zs_stats stats;
	char key[24];
	int64_t n;

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 20000; i++) {
			snprintf(key, sizeof(key), "object:%d", i);
			if (i % 4 == 0)
				assert_int_equal(put_in(f->thread, "g", key, key, 0), ZS_OK);
			else if (i % 4 == 1)
				assert_int_equal(zs_increment(f->thread, key, strlen(key), 3, &n), ZS_OK);
			else
				assert_int_equal(zs_test_put(f->thread, key, key,
							     i % 4 == 2 ? 0 : zs_thread_now(f->thread) + 5000000),
						 ZS_OK);
			if (i % 32 == 0)
				zs_thread_quiesce(f->thread);
		}
		assert_int_equal(zs_engine_count(f->engine), 20000);
		zs_flush(f->thread);
		assert_int_equal(zs_engine_count(f->engine), 0);
		for (int i = 0; i < 20000; i++) {
			snprintf(key, sizeof(key), "object:%d", i);
			zs_test_expect_absent(f->thread, key);
		}
		assert_int_equal(drop(f->thread, "g", NULL), ZS_ENOTFOUND);
		zs_fixture_settle(f);
		zs_fixture_advance(f, 1000);
		zs_fixture_settle(f);
		zs_engine_stats(f->engine, &stats);
		zs_test_expect_sums(&stats);
		assert_int_equal(stats.payload_bytes, 0);
		assert_int_equal(stats.objects_with_deadline, 0);
		assert_int_equal(stats.index_used, 0);
		assert_int_equal(stats.groups, 0);
	}
	zs_flush(f->thread); /* an empty one too */
	assert_int_equal(zs_test_put(f->thread, "k", "v", 0), ZS_OK);
	zs_test_expect(f->thread, "k", "v");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(drop_ends_a_group_and_no_other, setup, teardown),
		cmocka_unit_test_setup_teardown(a_name_lives_again, setup, teardown),
		cmocka_unit_test_setup_teardown(writes_decide_the_group, setup, teardown),
		cmocka_unit_test_setup_teardown(changes_keep_the_group, setup, teardown),
		cmocka_unit_test_setup_teardown(objects_of_a_group_expire, setup, teardown),
		cmocka_unit_test_setup_teardown(names_of_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(many_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(emptied_groups_make_room, setup, teardown),
		cmocka_unit_test_setup_teardown(a_dropped_group_frees_its_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(flush_removes_everything, setup, teardown),
	};

	return cmocka_run_group_tests_name("groups", tests, NULL, NULL);
}
