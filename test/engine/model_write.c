#include "test/engine/model_ops.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t draw_value(struct zs_model_run *run, uint8_t *value)
{
	const struct zs_model_shape *s = run->shape;
	bool rare = draw_below(run, 16) == 0;
	unsigned least = rare ? s->rare_least : s->common_least, most = rare ? s->rare_most : s->common_most;
	size_t size = least + draw_below(run, most - least + 1);
	uint64_t word = zs_test_random(&run->model.random);

	if (s->numbers && draw_below(run, 2))
		return (size_t)snprintf((char *)value, 24, "%" PRId64, (int64_t)word >> draw_below(run, 64));
	for (size_t i = 0; i < size; i++)
		value[i] = (uint8_t)(word >> (i % 8 * 8)) ^ (uint8_t)(i * 13);
	return size;
}

/* 0 (none) in a third of all cases; else from 1 ms to a month, all magnitudes alike; one in 64 has passed. */
static uint64_t draw_deadline(struct zs_model_run *run)
{
	uint64_t now = zs_thread_now(run->model.thread);

	if (draw_below(run, 3) == 0)
		return 0;
	if (draw_below(run, 64) == 0)
		return now - draw_below(run, 1000);
	return now + 1 + draw_below(run, 1ull << (1 + draw_below(run, 31)));
}

static int draw_group(struct zs_model_run *run)
{
	return draw_below(run, 4) ? ZS_MODEL_NO_GROUP : (int)draw_below(run, ZS_MODEL_GROUPS);
}

/* True if the call has to be repeated because memory is in quarantine. */
static bool again(struct zs_model_run *run, int result, unsigned *tries)
{
	if (result == ZS_EAGAIN)
		zs_model_release(&run->model);
	return zs_test_again(run->model.thread, result, tries);
}

static void unexpected(struct zs_model_run *run, unsigned key, const char *what, int result)
{
	zs_model_fail(&run->model, (int)key, "%s: %s", what, zs_error_name(result));
}

/* The dictionary's own idea of a canonical decimal. */
static bool parse_number(const uint8_t *value, size_t size, int64_t *number)
{
	char text[24], canonical[24];

	if (!size || size >= sizeof(text))
		return false;
	memcpy(text, value, size);
	text[size] = '\0';
	*number = strtoll(text, NULL, 10);
	snprintf(canonical, sizeof(canonical), "%" PRId64, *number);
	return strlen(text) == size && strcmp(text, canonical) == 0;
}

/*
 * Did NX, XX and EQUAL hold for what the write says was there? The dictionary has checked `previous` already.
 */
static bool holds(const struct zs_set *set, const struct zs_previous *previous, const struct zs_model_entry *e)
{
	if ((set->flags & ZS_SET_ABSENT) && previous->existed)
		return false;
	if ((set->flags & (ZS_SET_PRESENT | ZS_SET_EQUAL)) && !previous->existed)
		return false;
	if (set->flags & ZS_SET_EQUAL)
		return e->size == set->expected_size && (!e->size || memcmp(e->value, set->expected, e->size) == 0);
	return true;
}

static void draw_condition(struct zs_model_run *run, unsigned key, struct zs_set *set, uint8_t *expected)
{
	const struct zs_model_entry *e = &run->model.entries[key];

	switch (draw_below(run, 10)) {
	case 0:
		set->flags |= ZS_SET_ABSENT;
		break;
	case 1:
		set->flags |= ZS_SET_PRESENT;
		break;
	case 2:
		set->flags |= ZS_SET_EQUAL;
		set->expected = expected;
		set->expected_size = e->size;
		if (e->size)
			memcpy(expected, e->value, e->size);
		if (e->size && draw_below(run, 3) == 0)
			expected[draw_below(run, e->size)] ^= 1;
		break;
	default:
		break;
	}
}

void zs_model_op_set(struct zs_model_run *run)
{
	static uint8_t value[ZS_OBJECT_MAX + 64], expected[ZS_OBJECT_MAX];
	uint8_t bytes[ZS_MODEL_KEY_MAX];
	char group[24];
	unsigned key = draw_key(run), tries = 0;
	struct zs_model_entry *e = &run->model.entries[key];
	struct zs_previous previous;
	struct zs_set set = { .key = bytes, .value = value };
	int in = draw_group(run), result;

	set.key_size = zs_model_key(key, bytes);
	set.value_size = draw_value(run, value);
	if (draw_below(run, 500) == 0)
		set.value_size = ZS_OBJECT_MAX - set.key_size + 1 + draw_below(run, 20);
	set.deadline = draw_deadline(run);
	draw_condition(run, key, &set, expected);
	if (draw_below(run, 8) == 0)
		set.flags |= ZS_SET_KEEP_TTL;
	if (in != ZS_MODEL_NO_GROUP) {
		set.flags |= ZS_SET_GROUP;
		set.group = group;
		set.group_size = group_name(in, group);
	}
	do {
		result = zs_set(run->model.thread, &set, &previous);
	} while (again(run, result, &tries));
	zs_model_note(&run->model, "set", (int)key, result, set.flags);
	if (result == ZS_ETOOBIG && set.key_size + set.value_size > ZS_OBJECT_MAX)
		return;
	if (result != ZS_OK && result != ZS_EEXIST)
		unexpected(run, key, "set", result);
	zs_model_check(&run->model, key, previous.existed, &previous.old);
	if ((result == ZS_OK) != holds(&set, &previous, e))
		unexpected(run, key, "its condition (flags in the last line below) led to", result);
	if (result == ZS_EEXIST)
		return;
	if (set.key_size + set.value_size > ZS_OBJECT_MAX &&
	    !(set.deadline && set.deadline <= zs_thread_now(run->model.thread)))
		unexpected(run, key, "an object that does not fit was accepted", result);
	zs_model_store(&run->model, key, value, set.value_size, in, previous.existed);
	if ((set.flags & ZS_SET_KEEP_TTL) && previous.existed)
		zs_model_deadline(&run->model, key, e->deadline, true);
	else
		zs_model_deadline(&run->model, key, set.deadline, false);
}

void zs_model_op_delete(struct zs_model_run *run)
{
	uint8_t bytes[ZS_MODEL_KEY_MAX];
	unsigned key = draw_key(run);
	struct zs_previous previous;
	int result = zs_delete(run->model.thread, bytes, zs_model_key(key, bytes), &previous);

	zs_model_note(&run->model, "delete", (int)key, result, 0);
	if (result != ZS_OK && result != ZS_ENOTFOUND)
		unexpected(run, key, "delete", result);
	if (previous.existed != (result == ZS_OK))
		unexpected(run, key, "`existed` does not fit the result", result);
	zs_model_check(&run->model, key, previous.existed, &previous.old);
	zs_model_remove(&run->model, key);
}

void zs_model_op_increment(struct zs_model_run *run)
{
	uint8_t bytes[ZS_MODEL_KEY_MAX];
	char text[24];
	unsigned key = draw_key(run), tries = 0;
	struct zs_model_entry *e = &run->model.entries[key];
	int64_t delta = (int64_t)zs_test_random(&run->model.random) >> draw_below(run, 64), number = 0, sum = 0,
		got = 0;
	bool may_hit = zs_model_may_hit(&run->model, key), may_miss = zs_model_may_miss(&run->model, key);
	bool canonical = may_hit && parse_number(e->value, e->size, &number), overflow;
	int result;

	/* From an old 0 and from nothing the sum is the same, but not what else the object has. */
	if (canonical && number == 0 && may_miss && (e->deadline || e->group != ZS_MODEL_NO_GROUP))
		return;
	do {
		result = zs_increment(run->model.thread, bytes, zs_model_key(key, bytes), delta, &got);
	} while (again(run, result, &tries));
	zs_model_note(&run->model, "increment", (int)key, result, (uint64_t)got);
	overflow = __builtin_add_overflow(number, delta, &sum);
	if (result == ZS_ENOTINT && may_hit && !canonical)
		return;
	if (result == ZS_EOVERFLOW && canonical && overflow)
		return;
	if (result)
		unexpected(run, key, "increment", result);
	if (canonical && !overflow && got == sum) {
		snprintf(text, sizeof(text), "%" PRId64, sum);
		zs_model_store(&run->model, key, text, strlen(text), e->group, true);
	} else if (may_miss && got == delta) {
		snprintf(text, sizeof(text), "%" PRId64, delta);
		zs_model_store(&run->model, key, text, strlen(text), ZS_MODEL_NO_GROUP, false);
		e->deadline = 0;
	} else {
		zs_model_fail(&run->model, (int)key, "adding %" PRId64 " gave %" PRId64, delta, got);
	}
	e->number = true;
	zs_model_deadline(&run->model, key, e->deadline, true);
}

struct change {
	struct zs_model_run *run;
	unsigned key;
	enum { REPLACE, APPEND, CUT, LEAVE, REFUSE } kind;
	bool existed;
	bool set_deadline;
	uint64_t deadline;
	uint8_t value[ZS_OBJECT_MAX];
	size_t size;
};

static int change(void *context, struct zs_update *update)
{
	struct change *c = context;
	char buffer[24];
	size_t old_size = 0;
	const uint8_t *old = NULL;

	c->existed = update->old;
	if (update->old) {
		zs_model_check_view(&c->run->model, c->key, update->old);
		old = zs_test_bytes(update->old, buffer, &old_size);
		if (update->deadline != update->old->deadline)
			zs_model_fail(&c->run->model, (int)c->key, "an update begins with another deadline");
	}
	if (c->kind == REFUSE)
		return ZS_EABORT;
	update->unchanged = c->kind == LEAVE;
	if (c->set_deadline)
		update->deadline = c->deadline;
	if (c->kind == CUT && old_size)
		old_size = old_size / 2;
	if (c->kind == CUT || (c->kind == APPEND && old_size + c->size <= ZS_OBJECT_MAX - ZS_MODEL_KEY_MAX)) {
		if (c->kind == CUT)
			c->size = 0;
		memmove(c->value + old_size, c->value, c->size);
		if (old_size)
			memcpy(c->value, old, old_size);
		c->size += old_size;
		c->kind = REPLACE; /* a repeated call gets the same result: the test has one thread */
	}
	if (c->size)
		memcpy(update->value, c->value, c->size);
	update->value_size = c->size;
	return ZS_OK;
}

void zs_model_op_update(struct zs_model_run *run)
{
	static struct change c;
	uint8_t bytes[ZS_MODEL_KEY_MAX];
	unsigned tries = 0;
	struct zs_model_entry *e;
	int result, kind = (int)draw_below(run, 5);

	c.run = run;
	c.key = draw_key(run);
	c.set_deadline = draw_below(run, 3) == 0;
	c.deadline = draw_deadline(run);
	c.size = draw_value(run, c.value);
	c.kind = kind;
	e = &run->model.entries[c.key];
	do {
		result = zs_update(run->model.thread, bytes, zs_model_key(c.key, bytes), change, &c);
	} while (again(run, result, &tries));
	zs_model_note(&run->model, "update", (int)c.key, result, (uint64_t)kind);
	if (result != (kind == REFUSE ? ZS_EABORT : ZS_OK))
		unexpected(run, c.key, "update", result);
	if (!c.existed)
		zs_model_check(&run->model, c.key, false, NULL);
	if (kind == REFUSE || kind == LEAVE)
		return;
	zs_model_store(&run->model, c.key, c.value, c.size, c.existed ? e->group : ZS_MODEL_NO_GROUP, c.existed);
	if (c.set_deadline)
		zs_model_deadline(&run->model, c.key, c.deadline, false);
	else
		zs_model_deadline(&run->model, c.key, c.existed ? e->deadline : 0, true);
}

static bool expire_holds(unsigned flags, uint64_t old, uint64_t asked)
{
	uint64_t old_end = old ? old : UINT64_MAX, new_end = asked ? asked : UINT64_MAX;

	if ((flags & ZS_EXPIRE_NX) && old)
		return false;
	if ((flags & ZS_EXPIRE_XX) && !old)
		return false;
	if ((flags & ZS_EXPIRE_GT) && new_end <= old_end)
		return false;
	return !(flags & ZS_EXPIRE_LT) || new_end < old_end;
}

void zs_model_op_expire(struct zs_model_run *run)
{
	uint8_t bytes[ZS_MODEL_KEY_MAX];
	unsigned key = draw_key(run), tries = 0, flags = draw_below(run, 3) ? 0 : 1u << draw_below(run, 4);
	struct zs_model_entry *e = &run->model.entries[key];
	uint64_t asked = draw_deadline(run);
	struct zs_previous previous;
	int result;

	do {
		result = zs_expire(run->model.thread, bytes, zs_model_key(key, bytes), asked, flags, &previous);
	} while (again(run, result, &tries));
	zs_model_note(&run->model, "expire", (int)key, result, asked);
	if (result != ZS_OK && result != ZS_EEXIST && result != ZS_ENOTFOUND)
		unexpected(run, key, "expire", result);
	if (previous.existed != (result != ZS_ENOTFOUND))
		unexpected(run, key, "`existed` does not fit the result", result);
	zs_model_check(&run->model, key, previous.existed, &previous.old);
	if (!previous.existed)
		return;
	if ((result == ZS_OK) != expire_holds(flags, e->deadline, asked))
		zs_model_fail(&run->model, (int)key, "expire with flags %u from %" PRIu64 " to %" PRIu64 ": %s", flags,
			      e->deadline, asked, zs_error_name(result));
	if (result == ZS_OK)
		zs_model_deadline(&run->model, key, asked, false);
}
