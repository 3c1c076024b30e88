#include "test/engine/model.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void zs_model_note(struct zs_model *model, const char *what, int key, int result, uint64_t detail)
{
	model->history[model->op % ZS_MODEL_HISTORY] = (struct zs_model_event){ model->op, what, key, result, detail };
}

void zs_model_fail(const struct zs_model *model, int key, const char *format, ...)
{
	uint64_t first = model->op < ZS_MODEL_HISTORY ? 0 : model->op - ZS_MODEL_HISTORY + 1;
	va_list arguments;

	fflush(stdout);
	fprintf(stderr, "\nFAILED: %s, seed %" PRIu64 ", operation %" PRIu64 ", now %" PRIu64, model->name, model->seed,
		model->op, zs_thread_now(model->thread));
	if (key != ZS_MODEL_NO_KEY) {
		const struct zs_model_entry *e = &model->entries[key];

		fprintf(stderr, ", key %d (model: %s, %u bytes, deadline %" PRIu64 ", group %d)", key,
			e->present ? "present" : "absent", e->size, e->deadline, e->group);
	}
	fprintf(stderr, "\n  ");
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\n  what was done to this key, to groups and to the engine of late:\n");
	for (uint64_t op = first; op <= model->op; op++) {
		const struct zs_model_event *event = &model->history[op % ZS_MODEL_HISTORY];
		bool recent = model->op - op < 5;

		if (event->op == op && event->what && (recent || event->key == ZS_MODEL_NO_KEY || event->key == key))
			fprintf(stderr, "  %10" PRIu64 " %-10s key %-6d %-14s %" PRIu64 "\n", op, event->what,
				event->key, event->result > 0 ? "" : zs_error_name(event->result), event->detail);
	}
	exit(1);
}

size_t zs_model_key(unsigned key, uint8_t *buffer)
{
	size_t size, wanted = 16;

	if (!key)
		return 0;
	if (key % 5 == 0)
		wanted = 8 + key % 40;
	if (key % 97 == 0)
		wanted = 40 + key % 470;
	size = (size_t)snprintf((char *)buffer, ZS_MODEL_KEY_MAX, "%u:", key);
	while (size < wanted) {
		buffer[size] = (uint8_t)(key + size);
		size++;
	}
	return size;
}

unsigned zs_model_key_number(const struct zs_model *model, const void *data, size_t size)
{
	uint8_t expected[ZS_MODEL_KEY_MAX];
	const uint8_t *bytes = data;
	unsigned key = 0;

	for (size_t i = 0; i < size && i < 9 && bytes[i] >= '0' && bytes[i] <= '9'; i++)
		key = key * 10 + (unsigned)(bytes[i] - '0');
	if (key >= model->keys || zs_model_key(key, expected) != size || (size && memcmp(expected, data, size) != 0))
		zs_model_fail(model, ZS_MODEL_NO_KEY, "a key of %zu bytes \"%.*s\" that nobody stored", size, (int)size,
			      (const char *)data);
	return key;
}

bool zs_model_may_hit(const struct zs_model *model, unsigned key)
{
	const struct zs_model_entry *e = &model->entries[key];

	return e->present && (!e->deadline || zs_thread_now(model->thread) <= e->deadline);
}

bool zs_model_may_miss(const struct zs_model *model, unsigned key)
{
	const struct zs_model_entry *e = &model->entries[key];

	return model->evicts || !e->present || (e->deadline && zs_thread_now(model->thread) >= e->deadline);
}

/* Keeps some of the views that were read, to look at them again at their end. */
static void hold(struct zs_model *model, const struct zs_view *view)
{
	struct zs_model_held *held;

	if (model->held_count == ZS_MODEL_HELD || view->type != ZS_BYTES)
		return;
	held = &model->held[model->held_count++];
	held->view = *view;
	if (view->size)
		memcpy(held->bytes, view->data, view->size);
}

void zs_model_release(struct zs_model *model)
{
	for (unsigned i = 0; i < model->held_count; i++) {
		const struct zs_model_held *held = &model->held[i];

		if (held->view.size && memcmp(held->view.data, held->bytes, held->view.size) != 0)
			zs_model_fail(model, ZS_MODEL_NO_KEY,
				      "the bytes of a view changed before the thread's next quiesce");
	}
	model->held_count = 0;
}

void zs_model_check_view(const struct zs_model *model, unsigned key, const struct zs_view *view)
{
	const struct zs_model_entry *e = &model->entries[key];
	char buffer[24];
	size_t size;
	const uint8_t *bytes = zs_test_bytes(view, buffer, &size);

	if (!zs_model_may_hit(model, key))
		zs_model_fail(model, (int)key, "found, but it must not be there");
	if (size != e->size)
		zs_model_fail(model, (int)key, "found %zu bytes instead of %u", size, e->size);
	if (size && memcmp(bytes, e->value, size) != 0)
		zs_model_fail(model, (int)key, "found other bytes than were stored: \"%.*s\" instead of \"%.*s\"",
			      (int)(size < 40 ? size : 40), (const char *)bytes, (int)(size < 40 ? size : 40),
			      (const char *)e->value);
	if (view->deadline != e->deadline)
		zs_model_fail(model, (int)key, "its deadline moved to %" PRIu64, view->deadline);
	if (e->number && view->type != ZS_NUMBER)
		zs_model_fail(model, (int)key, "was incremented, but is no number any more");
}

void zs_model_check(struct zs_model *model, unsigned key, bool found, const struct zs_view *view)
{
	if (found) {
		zs_model_check_view(model, key, view);
		hold(model, view);
		return;
	}
	if (!zs_model_may_miss(model, key))
		zs_model_fail(model, (int)key, "not found, but it must be there");
	zs_model_remove(model, key);
}

void zs_model_store(struct zs_model *model, unsigned key, const void *value, size_t size, int group, bool existed)
{
	struct zs_model_entry *e = &model->entries[key];

	if (size > e->room) {
		free(e->value);
		e->value = malloc(size);
		e->room = (uint32_t)size;
		if (!e->value)
			zs_model_fail(model, (int)key, "the test is out of memory");
	}
	if (size)
		memcpy(e->value, value, size);
	e->size = (uint32_t)size;
	e->group = (int8_t)group;
	e->present = true;
	e->number = false;
	e->stayed = e->stayed && existed;
}

void zs_model_remove(struct zs_model *model, unsigned key)
{
	model->entries[key].present = false;
	model->entries[key].stayed = false;
}

void zs_model_deadline(struct zs_model *model, unsigned key, uint64_t asked, bool exact)
{
	struct zs_model_entry *e = &model->entries[key];
	uint64_t now = zs_thread_now(model->thread);
	uint8_t bytes[ZS_MODEL_KEY_MAX];
	struct zs_view view;
	int result;

	result = zs_get(model->thread, bytes, zs_model_key(key, bytes), ZS_READ_PEEK, &view);
	if (result && asked && asked <= now) {
		zs_model_remove(model, key);
		return;
	}
	if (result)
		zs_model_fail(model, (int)key, "%s right after it was written", zs_error_name(result));
	if (asked && asked < now)
		zs_model_fail(model, (int)key, "is there, though it was written with a deadline that had passed");
	if (exact ? view.deadline != asked : !asked != !view.deadline)
		zs_model_fail(model, (int)key, "deadline %" PRIu64 " instead of %" PRIu64, view.deadline, asked);
	if (view.deadline > asked || (asked - view.deadline) * 100 > asked - (asked ? now : 0))
		zs_model_fail(model, (int)key, "%" PRIu64 " ms to live became %" PRId64, asked - now,
			      (int64_t)(view.deadline - now));
	e->deadline = view.deadline;
	zs_model_check(model, key, true, &view);
}

uint64_t zs_model_count(const struct zs_model *model, int group)
{
	uint64_t count = 0;

	for (unsigned key = 0; key < model->keys; key++) {
		if (group != ZS_MODEL_NO_GROUP && model->entries[key].group != group)
			continue;
		count += zs_model_may_hit(model, key) && !zs_model_may_miss(model, key);
	}
	return count;
}
