/* Writing: set, delete, increment, expire, update. Each is a change of one key, see change.h. */
#include <stdio.h>
#include <string.h>

#include "server/engine/change.h"
#include "server/engine/fetch.h"
#include "server/engine/lifetime.h"
#include "server/engine/place.h"
#include "server/engine/slab.h"
#include "server/engine/view.h"

/* Rounds of a write that others interfere with; each one means that somebody else's write succeeded. */
#define ROUNDS_MAX 1000

static bool has_passed(const struct zs_thread *thread, uint64_t deadline)
{
	return deadline && deadline <= zs_now(thread);
}

/* ---- set ---- */

static bool equals(const struct zs_change *c, const void *value, size_t size)
{
	char text[24];
	const uint8_t *data = (const uint8_t *)c->found.slab + c->found.extent.value;

	if (zs_found_is_counter(&c->found)) {
		int n = snprintf(text, sizeof(text), "%lld", (long long)c->number);

		return (size_t)n == size && memcmp(text, value, size) == 0;
	}
	return c->found.extent.value_size == size && (size == 0 || memcmp(data, value, size) == 0);
}

static bool condition_holds(const struct zs_change *c, const struct zs_set *set)
{
	if (set->flags & ZS_SET_ABSENT && zs_change_has_present(c))
		return false;
	if (set->flags & ZS_SET_PRESENT && !zs_change_has_present(c))
		return false;
	if (set->flags & ZS_SET_EQUAL && !(zs_change_has_present(c) && equals(c, set->expected, set->expected_size)))
		return false;
	return true;
}

static int set_once(struct zs_change *c, const struct zs_set *set, struct zs_previous *previous)
{
	struct zs_content content = {
		.value = set->value,
		.size = set->value_size,
		.deadline = set->deadline,
	};

	if (!zs_change_look(c))
		return ZS_EWARM;
	zs_change_previous(c, previous);
	if (!condition_holds(c, set))
		return ZS_EINVAL; /* told apart from ZS_EEXIST, "look again", by the caller */
	if (set->flags & ZS_SET_GROUP) {
		content.group = set->group;
		content.group_size = set->group_size;
	}
	if (set->flags & ZS_SET_KEEP_TTL && zs_change_has_present(c))
		content.deadline = c->found.deadline;
	return has_passed(c->thread, content.deadline) ? zs_change_erase(c) : zs_change_store(c, &content);
}

static int set_begun(struct zs_change *c, const struct zs_set *set, struct zs_previous *previous)
{
	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		int error = set_once(c, set, previous);

		if (error == ZS_EINVAL)
			return ZS_EEXIST;
		if (error == ZS_OK)
			zs_count(c->thread, sets, 1);
		if (error != ZS_EEXIST)
			return error;
	}
	return ZS_EAGAIN;
}

static int check_set(const struct zs_set *set)
{
	if (set->key_size + set->value_size > ZS_OBJECT_MAX || set->key_size > ZS_OBJECT_MAX)
		return ZS_ETOOBIG;
	if (set->flags & ZS_SET_GROUP && (set->group_size == 0 || set->group_size > ZS_GROUP_NAME_MAX))
		return ZS_EINVAL;
	return ZS_OK;
}

int zs_set(struct zs_thread *thread, const struct zs_set *set, struct zs_previous *previous)
{
	struct zs_change c;
	int error = check_set(set);

	if (error)
		return error;
	zs_change_begin(&c, thread, set->key, set->key_size);
	return set_begun(&c, set, previous);
}

/* Up to ZS_FETCH_MAX objects. Those that are replaced most often have the size of the new ones. */
static size_t set_some(struct zs_thread *thread, const struct zs_set *sets, size_t count)
{
	struct zs_fetch list[ZS_FETCH_MAX];

	for (size_t i = 0; i < count; i++) {
		list[i].hash = zs_hash(sets[i].key, sets[i].key_size, thread->seed);
		list[i].stride = (uint32_t)(sets[i].key_size + sets[i].value_size);
	}
	zs_fetch_all(thread, list, count);
	for (size_t i = 0; i < count; i++) {
		struct zs_change c;

		if (check_set(&sets[i]))
			return i;
		zs_change_begin_hashed(&c, thread, sets[i].key, sets[i].key_size, list[i].hash);
		if (set_begun(&c, &sets[i], NULL))
			return i;
	}
	return count;
}

size_t zs_set_batch(struct zs_thread *thread, const struct zs_set *sets, size_t count)
{
	size_t done = 0;

	while (done < count) {
		size_t some = count - done < ZS_FETCH_MAX ? count - done : ZS_FETCH_MAX;
		size_t n = set_some(thread, sets + done, some);

		done += n;
		if (n < some)
			break;
	}
	return done;
}

/* ---- delete ---- */

int zs_delete(struct zs_thread *thread, const void *key, size_t key_size, struct zs_previous *previous)
{
	bool noted = false;
	struct zs_change c;

	zs_change_begin(&c, thread, key, key_size);
	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		if (!zs_change_look(&c))
			return ZS_EWARM;
		zs_change_previous(&c, previous);
		if (!zs_change_has_present(&c)) {
			/* It may have been found on flash since we looked; from the note on it cannot be. */
			if (!noted && zs_warm_note_write(thread, c.hash)) {
				noted = true;
				continue;
			}
			return ZS_ENOTFOUND;
		}
		if (zs_change_erase(&c) == ZS_OK) {
			zs_count(thread, deletes, 1);
			return ZS_OK;
		}
	}
	return ZS_EAGAIN;
}

/* ---- increment ---- */

/* The value of a canonical decimal: what printing it gives back, digit for digit. */
static bool parse_canonical(const uint8_t *text, size_t size, int64_t *number)
{
	bool negative = size && text[0] == '-';
	uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
	uint64_t n = 0;
	size_t i = negative;

	if (i == size || size - i > 19)
		return false;
	if (text[i] == '0')
		*number = 0;
	if (text[i] == '0')
		return size == 1;
	for (; i < size; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		n = n * 10 + (text[i] - '0');
	}
	if (n > limit)
		return false;
	*number = negative ? (int64_t)(0 - n) : (int64_t)n;
	return true;
}

/* The frequent case: the key is a counter already, and only its word changes. 0, an error, or 1 if it is not. */
static int increment_in_place(struct zs_change *c, int64_t delta, int64_t *result)
{
	struct zs_locked locked;
	struct zs_found found;
	int error = 1;

	zs_index_lock(c->part, c->hash, &locked);
	if (zs_index_find_locked(&locked, c->key, c->key_size, &found) && zs_found_is_counter(&found) &&
	    !zs_is_expired(c->thread, &found)) {
		uint64_t *word = (uint64_t *)(void *)((uint8_t *)found.slab + found.extent.value);
		int64_t sum;

		error = ZS_EOVERFLOW;
		if (!__builtin_add_overflow((int64_t)zs_load(word), delta, &sum)) {
			zs_store(word, (uint64_t)sum);
			zs_slab_touch(found.slab, zs_identity_slots(found.identity), found.slot);
			*result = sum;
			error = ZS_OK;
		}
	}
	zs_index_unlock(&locked);
	return error;
}

int zs_increment(struct zs_thread *thread, const void *key, size_t key_size, int64_t delta, int64_t *result)
{
	struct zs_change c;

	if (key_size + 8 > ZS_OBJECT_MAX)
		return ZS_ETOOBIG;
	zs_change_begin(&c, thread, key, key_size);
	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		struct zs_content content = { .counter = true, .keep_group = true };
		int64_t old = 0;
		int error = increment_in_place(&c, delta, result);

		if (error <= 0) {
			if (error == ZS_OK)
				zs_count(thread, sets, 1);
			return error;
		}
		if (!zs_change_look(&c))
			return ZS_EWARM;
		if (zs_change_has_present(&c)) {
			const uint8_t *text = (const uint8_t *)c.found.slab + c.found.extent.value;

			if (zs_found_is_counter(&c.found) && !c.found.warm)
				continue;
			if (zs_found_is_counter(&c.found))
				old = c.number;
			else if (!parse_canonical(text, c.found.extent.value_size, &old))
				return ZS_ENOTINT;
			content.deadline = c.found.deadline;
		}
		if (__builtin_add_overflow(old, delta, &content.number))
			return ZS_EOVERFLOW;
		error = zs_change_store(&c, &content);
		if (error == ZS_OK) {
			zs_count(thread, sets, 1);
			*result = content.number;
		}
		if (error != ZS_EEXIST)
			return error;
	}
	return ZS_EAGAIN;
}

/* ---- expire ---- */

static bool expire_condition(const struct zs_change *c, uint64_t deadline, unsigned flags)
{
	uint64_t old = c->found.deadline ? c->found.deadline : UINT64_MAX;
	uint64_t new = deadline ? deadline : UINT64_MAX;

	if (flags & ZS_EXPIRE_NX && c->found.deadline)
		return false;
	if (flags & ZS_EXPIRE_XX && !c->found.deadline)
		return false;
	if (flags & ZS_EXPIRE_GT && new <= old)
		return false;
	if (flags & ZS_EXPIRE_LT && new >= old)
		return false;
	return true;
}

/* Writes the new deadline into the slab's column if its unit is fine enough and it is within reach. */
static bool refresh_in_place(struct zs_change *c, uint64_t deadline)
{
	uint32_t unit = zs_lifetime_unit(c->found.lifetime);
	struct zs_locked locked;
	uint8_t byte;
	bool done = false;

	if (c->found.warm || !unit || !deadline || unit > zs_unit_for(zs_left(c->thread, deadline)) ||
	    !zs_deadline_byte(c->found.lifetime, deadline, &byte))
		return false;
	zs_index_lock(c->part, c->hash, &locked);
	if (zs_change_holds(c, &locked)) {
		uint8_t *frame = (uint8_t *)c->found.slab;
		uint32_t at = zs_deadline_offset(zs_lifetime_kind(c->found.lifetime),
						 zs_identity_slots(c->found.identity), c->found.slot);

		zs_store(&frame[at], byte);
		done = true;
	}
	zs_index_unlock(&locked);
	return done;
}

static int expire_once(struct zs_change *c, uint64_t deadline)
{
	struct zs_content content = { .deadline = deadline, .keep_group = true };
	struct zs_view view;

	if (has_passed(c->thread, deadline))
		return zs_change_erase(c);
	if (!deadline && !c->found.deadline)
		return ZS_OK;
	if (refresh_in_place(c, deadline))
		return ZS_OK;
	zs_view_fill(&c->found, &view);
	content.counter = view.type == ZS_NUMBER;
	content.number = c->number;
	content.value = view.data;
	content.size = view.size;
	return zs_change_store(c, &content);
}

int zs_expire(struct zs_thread *thread, const void *key, size_t key_size, uint64_t deadline, unsigned flags,
	      struct zs_previous *previous)
{
	struct zs_change c;

	zs_change_begin(&c, thread, key, key_size);
	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		int error;

		if (!zs_change_look(&c))
			return ZS_EWARM;
		zs_change_previous(&c, previous);
		if (!zs_change_has_present(&c))
			return ZS_ENOTFOUND;
		if (!expire_condition(&c, deadline, flags))
			return ZS_EEXIST;
		error = expire_once(&c, deadline);
		if (error != ZS_EEXIST)
			return error;
	}
	return ZS_EAGAIN;
}

/* ---- update ---- */

int zs_update(struct zs_thread *thread, const void *key, size_t key_size, zs_update_function function, void *context)
{
	struct zs_change c;

	zs_change_begin(&c, thread, key, key_size);
	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		struct zs_update update = { .value = thread->scratch };
		struct zs_content content = { .keep_group = true };
		struct zs_previous previous = { .existed = false };
		int error;

		if (!zs_change_look(&c))
			return ZS_EWARM;
		zs_change_previous(&c, &previous);
		if (previous.existed) {
			update.old = &previous.old;
			update.deadline = previous.old.deadline;
		}
		error = function(context, &update);
		if (error || update.unchanged)
			return error;
		if (key_size + update.value_size > ZS_OBJECT_MAX)
			return ZS_ETOOBIG;
		content.value = update.value;
		content.size = update.value_size;
		content.deadline = update.deadline;
		error = has_passed(thread, content.deadline) ? zs_change_erase(&c) : zs_change_store(&c, &content);
		if (error == ZS_OK)
			zs_count(thread, sets, 1);
		if (error != ZS_EEXIST)
			return error;
	}
	return ZS_EAGAIN;
}
