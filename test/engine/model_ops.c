#include "test/engine/model_ops.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY UINT64_C(86400000)

void zs_model_op_get(struct zs_model_run *run)
{
	uint8_t bytes[ZS_MODEL_KEY_MAX];
	unsigned key = draw_key(run);
	struct zs_view view;
	int result =
	    zs_get(run->model.thread, bytes, zs_model_key(key, bytes), draw_below(run, 8) ? 0 : ZS_READ_PEEK, &view);

	zs_model_note(&run->model, "get", (int)key, result, result ? 0 : view.deadline);
	zs_model_check(&run->model, key, result == ZS_OK, &view);
}

void zs_model_op_batch(struct zs_model_run *run)
{
	enum { MOST = 40 };
	static uint8_t bytes[MOST][ZS_MODEL_KEY_MAX];
	static struct zs_key keys[MOST];
	struct zs_view views[MOST];
	bool found[MOST];
	unsigned numbers[MOST];
	size_t count = 1 + draw_below(run, MOST), hits = 0, result;

	for (size_t i = 0; i < count; i++) {
		numbers[i] = draw_key(run);
		keys[i] = (struct zs_key){ bytes[i], zs_model_key(numbers[i], bytes[i]) };
		if (draw_below(run, 4) == 0)
			zs_prefetch_batch(run->model.thread, &keys[i], 1);
	}
	result = zs_get_batch(run->model.thread, keys, count, views, found);
	for (size_t i = 0; i < count; i++) {
		zs_model_note(&run->model, "batch", (int)numbers[i], found[i] ? ZS_OK : ZS_ENOTFOUND, i);
		zs_model_check(&run->model, numbers[i], found[i], &views[i]);
		hits += found[i];
	}
	if (hits != result)
		zs_model_fail(&run->model, ZS_MODEL_NO_KEY, "a batch says %zu were found, but marks %zu", result, hits);
}

void zs_model_op_drop(struct zs_model_run *run)
{
	int group = (int)draw_below(run, ZS_MODEL_GROUPS), result;
	uint64_t least = zs_model_count(&run->model, group), dropped = 0;
	char name[24];

	result = zs_drop(run->model.thread, name, group_name(group, name), &dropped);
	zs_model_note(&run->model, "drop", ZS_MODEL_NO_KEY, result, (uint64_t)group);
	if (result != ZS_OK && (result != ZS_ENOTFOUND || least))
		zs_model_fail(&run->model, ZS_MODEL_NO_KEY, "drop of %" PRIu64 " objects: %s", least,
			      zs_error_name(result));
	if (dropped < least)
		zs_model_fail(&run->model, ZS_MODEL_NO_KEY, "drop counts %" PRIu64 " of %" PRIu64 " objects", dropped,
			      least);
	for (unsigned key = 0; key < run->model.keys; key++) {
		if (run->model.entries[key].group == group)
			zs_model_remove(&run->model, key);
	}
}

static void see_group(void *context, const struct zs_group_info *info)
{
	uint64_t *objects = context;
	char name[24];

	for (int group = 0; group < ZS_MODEL_GROUPS; group++) {
		if (info->name_size == group_name(group, name) && memcmp(info->name, name, info->name_size) == 0)
			objects[group] += info->objects;
	}
}

void zs_model_op_groups(struct zs_model_run *run)
{
	uint64_t objects[ZS_MODEL_GROUPS] = { 0 };

	zs_groups(run->model.thread, see_group, objects);
	for (int group = 0; group < ZS_MODEL_GROUPS; group++) {
		uint64_t least = zs_model_count(&run->model, group);

		if (objects[group] < least)
			zs_model_fail(&run->model, ZS_MODEL_NO_KEY,
				      "group %d has %" PRIu64 " objects, listed are %" PRIu64, group, least,
				      objects[group]);
	}
}

void zs_model_op_flush(struct zs_model_run *run)
{
	zs_flush(run->model.thread);
	zs_model_note(&run->model, "flush", ZS_MODEL_NO_KEY, ZS_OK, 0);
	for (unsigned key = 0; key < run->model.keys; key++)
		zs_model_remove(&run->model, key);
	if (zs_engine_count(run->model.engine))
		zs_model_fail(&run->model, ZS_MODEL_NO_KEY, "%" PRIu64 " objects after a flush",
			      zs_engine_count(run->model.engine));
}

static bool is_ballast(const uint8_t *key, size_t size)
{
	return size && *key == 'b';
}

static void visit(void *context, const void *data, size_t size, const struct zs_view *view)
{
	struct zs_model_run *run = context;
	unsigned key;

	if (is_ballast(data, size))
		return;
	key = zs_model_key_number(&run->model, data, size);
	zs_model_check_view(&run->model, key, view);
	run->model.entries[key].seen = true;
}

void zs_model_op_scan(struct zs_model_run *run)
{
	if (!run->walking) {
		for (unsigned key = 0; key < run->model.keys; key++) {
			run->model.entries[key].stayed = zs_model_may_hit(&run->model, key);
			run->model.entries[key].seen = false;
		}
		run->cursor = 0;
		run->walking = true;
	}
	run->cursor = zs_scan(run->model.thread, run->cursor, 1 + draw_below(run, 400), visit, run);
	if (run->cursor)
		return;
	run->walking = false;
	for (unsigned key = 0; key < run->model.keys && !run->model.evicts; key++) {
		const struct zs_model_entry *e = &run->model.entries[key];

		if (e->stayed && !e->seen && !zs_model_may_miss(&run->model, key))
			zs_model_fail(&run->model, (int)key, "was there during a whole walk, but was not seen");
	}
}

void zs_model_op_random(struct zs_model_run *run)
{
	uint8_t bytes[ZS_OBJECT_MAX];
	size_t size = 0;
	int result = zs_random_key(run->model.thread, bytes, &size);
	unsigned key;

	if (result == ZS_ENOTFOUND && !zs_model_count(&run->model, ZS_MODEL_NO_GROUP))
		return;
	if (result)
		zs_model_fail(&run->model, ZS_MODEL_NO_KEY, "no random key though there are objects");
	if (is_ballast(bytes, size))
		return;
	key = zs_model_key_number(&run->model, bytes, size);
	if (!zs_model_may_hit(&run->model, key))
		zs_model_fail(&run->model, (int)key, "was drawn, but it is not there");
}

void zs_model_op_clock(struct zs_model_run *run)
{
	static const uint64_t steps[] = { 3, 50, 1000, 30000, 600000, 3600000, 8 * UINT64_C(3600000), 2 * DAY };
	uint64_t most = steps[draw_below(run, draw_below(run, 2) ? 8 : 4)];

	zs_model_release(&run->model);
	zs_test_clock_advance(&run->model.clock, 1 + draw_below(run, most));
	zs_thread_quiesce(run->model.thread);
	zs_model_note(&run->model, "clock", ZS_MODEL_NO_KEY, ZS_OK, zs_thread_now(run->model.thread));
}

void zs_model_op_upkeep(struct zs_model_run *run)
{
	zs_model_release(&run->model);
	zs_thread_upkeep(run->model.thread, (unsigned)draw_below(run, 300));
}

void zs_model_op_quiesce(struct zs_model_run *run)
{
	zs_model_release(&run->model);
	zs_thread_quiesce(run->model.thread);
}

void zs_model_op_sleep(struct zs_model_run *run)
{
	zs_model_release(&run->model);
	if (draw_below(run, 4)) {
		zs_thread_offline(run->model.thread);
		zs_thread_online(run->model.thread);
		return;
	}
	zs_thread_detach(run->model.thread);
	run->model.thread = zs_thread_attach(run->model.engine);
	if (!run->model.thread) {
		fprintf(stderr, "cannot attach again, seed %" PRIu64 "\n", run->model.seed);
		exit(1);
	}
	zs_thread_quiesce(run->model.thread);
}

void zs_model_op_stats(struct zs_model_run *run)
{
	struct zs_stats s;
	uint64_t least = run->model.evicts ? 0 : zs_model_count(&run->model, ZS_MODEL_NO_GROUP);

	zs_engine_stats(run->model.engine, &s);
	if (s.superblock_bytes + s.index_bytes + s.slab_bytes + s.quarantine_bytes + s.free_bytes != s.arena_bytes)
		zs_model_fail(&run->model, ZS_MODEL_NO_KEY, "the parts of the arena do not add up");
	if (s.objects < least || s.objects > run->model.keys + run->ballast || s.objects_with_deadline > s.objects)
		zs_model_fail(&run->model, ZS_MODEL_NO_KEY,
			      "%" PRIu64 " objects, %" PRIu64 " with a deadline; there are %u keys and %" PRIu64
			      " must be there",
			      s.objects, s.objects_with_deadline, run->model.keys, least);
	if (!run->model.evicts && s.evicted_objects)
		zs_model_fail(&run->model, ZS_MODEL_NO_KEY,
			      "%" PRIu64 " objects were evicted from %" PRIu64 " free bytes", s.evicted_objects,
			      s.free_bytes);
}

/* Objects that the dictionary does not know, of about a month, so that a small memory is full all the time. */
void zs_model_op_ballast(struct zs_model_run *run)
{
	static const uint8_t value[300];
	struct zs_set set = { .value = value };
	char key[24];

	if (!run->model.evicts)
		return;
	for (unsigned i = 0; i < 30; i++) {
		unsigned tries = 0;
		int result;

		set.key = key;
		set.key_size = (size_t)snprintf(key, sizeof(key), "b%" PRIu64, run->ballast++);
		set.value_size = draw_below(run, 4) ? 128 : draw_below(run, sizeof(value));
		set.deadline = zs_thread_now(run->model.thread) + 10 * DAY + draw_below(run, 20 * DAY);
		do {
			result = zs_set(run->model.thread, &set, NULL);
			if (result == ZS_EAGAIN)
				zs_model_release(&run->model);
		} while (zs_test_again(run->model.thread, result, &tries));
		if (result)
			zs_model_fail(&run->model, ZS_MODEL_NO_KEY, "ballast: %s", zs_error_name(result));
	}
}
