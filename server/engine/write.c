/*
 * Writing: set, delete, increment, expire, update.
 *
 * Every write that needs a new slot goes the same way, in struct change: look at the present object without a lock,
 * take and fill a slot, lock the key's buckets, and publish only if the object is still the one that was looked at;
 * otherwise begin again. Under the lock the new slot becomes live before the old one ends, and the entry is replaced in
 * place, so a reader sees one of the two, and never the old one after the new (it could not find it: there is one
 * entry).
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "server/engine/evict.h"
#include "server/engine/fetch.h"
#include "server/engine/ghost.h"
#include "server/engine/group.h"
#include "server/engine/index.h"
#include "server/engine/lifetime.h"
#include "server/engine/place.h"
#include "server/engine/resize.h"
#include "server/engine/slab.h"
#include "server/engine/view.h"

/* Rounds of a write that others interfere with; each one means that somebody else's write succeeded. */
#define ROUNDS_MAX 1000

/* A write in progress. */
struct change {
	struct zs_thread *thread;
	struct zs_part *part;
	uint64_t hash;
	const void *key;
	size_t key_size;
	uint64_t flushes;      /* begun when we looked */
	bool exists;	       /* an entry and a live slot, perhaps expired */
	bool expired;	       /* ... and its deadline has passed: it counts as absent */
	struct zs_found found; /* if exists */
	int64_t number;	       /* of a counter, when we looked */
};

/* What to store. */
struct content {
	const void *value;
	size_t size;
	bool counter;
	int64_t number;
	uint64_t deadline;
	const void *group; /* NULL: the group of the present object if keep_group, else none */
	size_t group_size;
	bool keep_group;
};

static inline void begin_hashed(struct change *c, struct zs_thread *thread, const void *key, size_t key_size,
				uint64_t hash)
{
	c->thread = thread;
	c->hash = hash;
	c->part = zs_part_of(thread->engine, hash);
	c->key = key;
	c->key_size = key_size;
}

static void begin(struct change *c, struct zs_thread *thread, const void *key, size_t key_size)
{
	begin_hashed(c, thread, key, key_size, zs_hash(key, key_size, thread->seed));
}

static int64_t read_number(const struct zs_found *found)
{
	const uint8_t *at = (const uint8_t *)found->slab + found->extent.value;

	return (int64_t)zs_load((const uint64_t *)(const void *)at);
}

static bool is_counter(const struct zs_found *found)
{
	return zs_lifetime_kind(found->lifetime) == ZS_KIND_COUNTER;
}

static void look(struct change *c)
{
	/* What we see during a flush may be about to end; what we make of it would survive. */
	while ((c->flushes = __atomic_load_n(&c->thread->engine->flushes, __ATOMIC_SEQ_CST)) & 1)
		sched_yield();
	c->exists = zs_index_find(c->part, c->hash, c->thread->stride, c->key, c->key_size, &c->found);
	c->expired = c->exists && zs_is_expired(c->thread, &c->found);
	c->number = c->exists && is_counter(&c->found) ? read_number(&c->found) : 0;
}

static bool present(const struct change *c)
{
	return c->exists && !c->expired;
}

static void fill_previous(const struct change *c, struct zs_previous *previous)
{
	if (!previous)
		return;
	previous->existed = present(c);
	if (previous->existed) {
		zs_view_fill(&c->found, &previous->old);
		if (is_counter(&c->found))
			previous->old.number = c->number;
	}
}

/*
 * Under the lock: is everything still as we saw it? On success c->found says where the entry is. We have not quiesced
 * since we looked, so the slot has not been used again: while an entry leads to it, it is the object that we saw.
 */
static bool unchanged(struct change *c, struct zs_locked *locked)
{
	struct zs_found *found = &c->found;
	struct zs_found now;

	if (!c->exists)
		return !zs_index_find_locked(locked, c->key, c->key_size, &now);
	return zs_index_find_slot(locked, found->id, found->slot, found) && zs_slab_is_live(found->slab, found->slot) &&
	       zs_slab_deadline(found->slab, found->identity, found->lifetime, found->slot) == found->deadline &&
	       (!is_counter(found) || read_number(found) == c->number);
}

/* Ends the present object and its entry. The buckets are locked. */
static void end_present(struct change *c, struct zs_locked *locked)
{
	zs_slab_end_object(c->thread, c->part, c->found.slab, c->found.slot);
	zs_index_remove(c->thread, locked, &c->found);
}

static int find_group(struct change *c, const struct content *content, struct zs_group **group)
{
	int error = ZS_OK;

	*group = NULL;
	if (content->group) {
		*group = zs_group_find(c->thread, content->group, content->group_size, true, &error);
		return *group ? ZS_OK : error;
	}
	if (content->keep_group && present(c))
		*group = zs_group_by_number(c->thread->engine, zs_links_group(zs_load(&c->found.slab->links)));
	return ZS_OK;
}

/* Takes a slot and writes the object into it. */
static int place(struct change *c, const struct content *content, struct zs_spot *spot)
{
	struct zs_wanted wanted = {
		.counter = content->counter,
		.deadline = content->deadline < ZS_DEADLINE_MAX ? content->deadline : ZS_DEADLINE_MAX,
		.key_size = c->key_size,
		.value_size = content->counter ? 8 : content->size,
	};
	uint8_t *frame;
	int error;

	error = find_group(c, content, &wanted.group);
	if (error)
		return error;
	/* A deadline that is kept stays on its grid, or repeated rewriting would bring it forward bit by bit. */
	if (present(c) && content->deadline == c->found.deadline)
		wanted.unit = zs_lifetime_unit(c->found.lifetime);
	if (c->exists) {
		wanted.main = c->found.lifetime & ZS_SLAB_MAIN;
	} else if (c->part->ghost && zs_ghost_take(c->part->ghost, c->hash)) {
		wanted.main = true;
		zs_count(c->thread, ghost_hits, 1);
	}
	error = zs_place(c->thread, c->part, &wanted, spot);
	if (error) {
		if (content->group)
			zs_group_end_if_unused(c->thread->engine, wanted.group);
		return error;
	}
	frame = (uint8_t *)spot->slab;
	if (c->key_size)
		memcpy(frame + spot->extent.key, c->key, c->key_size);
	if (content->counter)
		zs_store((uint64_t *)(void *)(frame + spot->extent.value), (uint64_t)content->number);
	else if (content->size)
		memcpy(frame + spot->extent.value, content->value, content->size);
	if (present(c)) {
		uint32_t recency = zs_slab_recency(c->found.slab, zs_identity_slots(c->found.identity), c->found.slot);

		zs_slab_set_recency(spot->slab, zs_identity_slots(zs_load(&spot->slab->identity)), spot->slot,
				    recency < 3 ? recency + 1 : 3);
	}
	return ZS_OK;
}

enum outcome { PUBLISHED, INTERFERED, NO_PLACE };

/* Publishes the spot in place of what we looked at. */
static enum outcome publish(struct change *c, struct zs_locked *locked, const struct zs_spot *spot, bool force)
{
	if (!unchanged(c, locked))
		return INTERFERED;
	if (!zs_place_commit(c->thread, c->part, spot))
		return INTERFERED;
	if (c->exists) {
		/* A flush that began since we looked may have passed the new slab but not the old one. */
		if (__atomic_load_n(&c->thread->engine->flushes, __ATOMIC_SEQ_CST) != c->flushes ||
		    !zs_slab_end_object(c->thread, c->part, c->found.slab, c->found.slot)) {
			zs_slab_end_object(c->thread, c->part, spot->slab, spot->slot);
			return INTERFERED;
		}
		zs_index_replace(locked, &c->found, spot->id, spot->slot);
		if (c->expired)
			zs_count(c->thread, expired_objects, 1);
		return PUBLISHED;
	}
	if (!zs_index_insert(c->thread, locked, spot->id, spot->slot, force)) {
		zs_slab_end_object(c->thread, c->part, spot->slab, spot->slot);
		return NO_PLACE;
	}
	return PUBLISHED;
}

/* The index has no place for another entry: make one, or evict. The spot has been given back if this fails. */
static int make_place(struct change *c, unsigned round)
{
	const struct zs_index_view *view = zs_load_acquire(&c->part->view);

	if (zs_index_make_room(c->thread, c->part, &view->main, c->hash))
		return ZS_OK;
	/* A larger table, then; and a resize that is going on is finished first. */
	zs_resize_check(c->thread, c->part);
	while (round > 4 && zs_resize_step(c->thread, c->part, 256))
		;
	return round < 64 ? ZS_OK : ZS_EAGAIN;
}

/*
 * Stores `content` in place of what `look` saw. ZS_OK; ZS_EEXIST if it is another object by now (look again); or an
 * error of zs_place.
 */
static int store(struct change *c, const struct content *content)
{
	struct zs_spot spot;
	struct zs_locked locked;
	enum outcome outcome;
	int error = place(c, content, &spot);

	if (error)
		return error;
	for (unsigned round = 0;; round++) {
		zs_index_lock(c->thread, c->part, c->hash, &locked);
		outcome = publish(c, &locked, &spot, round > 4);
		zs_index_unlock(&locked);
		if (outcome != NO_PLACE)
			break;
		error = make_place(c, round);
		if (error) {
			/* The index is full and there is no room for a larger one: fewer objects, then. */
			zs_place_undo(&spot);
			zs_evict_by_policy(c->thread, c->part);
			return zs_engine_policy(c->thread->engine) == ZS_POLICY_NOEVICTION ? ZS_EFULL : error;
		}
	}
	if (outcome == INTERFERED) {
		zs_place_undo(&spot);
		return ZS_EEXIST;
	}
	if (c->exists)
		zs_place_freed(c->thread, c->part, c->found.id);
	return ZS_OK;
}

/* Ends what `look` saw. ZS_EEXIST: look again. */
static int erase(struct change *c)
{
	struct zs_locked locked;
	bool done;

	zs_index_lock(c->thread, c->part, c->hash, &locked);
	done = unchanged(c, &locked);
	if (done && c->exists)
		end_present(c, &locked);
	zs_index_unlock(&locked);
	if (!done)
		return ZS_EEXIST;
	if (c->exists)
		zs_place_freed(c->thread, c->part, c->found.id);
	return ZS_OK;
}

static bool has_passed(const struct zs_thread *thread, uint64_t deadline)
{
	return deadline && deadline <= zs_now(thread);
}

/* ---- set ---- */

static bool equals(const struct change *c, const void *value, size_t size)
{
	char text[24];
	const uint8_t *data = (const uint8_t *)c->found.slab + c->found.extent.value;

	if (is_counter(&c->found)) {
		int n = snprintf(text, sizeof(text), "%lld", (long long)c->number);

		return (size_t)n == size && memcmp(text, value, size) == 0;
	}
	return c->found.extent.value_size == size && (size == 0 || memcmp(data, value, size) == 0);
}

static bool condition_holds(const struct change *c, const struct zs_set *set)
{
	if (set->flags & ZS_SET_ABSENT && present(c))
		return false;
	if (set->flags & ZS_SET_PRESENT && !present(c))
		return false;
	if (set->flags & ZS_SET_EQUAL && !(present(c) && equals(c, set->expected, set->expected_size)))
		return false;
	return true;
}

static int set_once(struct change *c, const struct zs_set *set, struct zs_previous *previous)
{
	struct content content = {
		.value = set->value,
		.size = set->value_size,
		.deadline = set->deadline,
	};

	look(c);
	fill_previous(c, previous);
	if (!condition_holds(c, set))
		return ZS_EINVAL; /* told apart from ZS_EEXIST, "look again", by the caller */
	if (set->flags & ZS_SET_GROUP) {
		content.group = set->group;
		content.group_size = set->group_size;
	}
	if (set->flags & ZS_SET_KEEP_TTL && present(c))
		content.deadline = c->found.deadline;
	return has_passed(c->thread, content.deadline) ? erase(c) : store(c, &content);
}

static int set_begun(struct change *c, const struct zs_set *set, struct zs_previous *previous)
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
	struct change c;
	int error = check_set(set);

	if (error)
		return error;
	begin(&c, thread, set->key, set->key_size);
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
		struct change c;

		if (check_set(&sets[i]))
			return i;
		begin_hashed(&c, thread, sets[i].key, sets[i].key_size, list[i].hash);
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
	struct change c;

	begin(&c, thread, key, key_size);
	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		look(&c);
		fill_previous(&c, previous);
		if (!present(&c))
			return ZS_ENOTFOUND;
		if (erase(&c) == ZS_OK) {
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
static int increment_in_place(struct change *c, int64_t delta, int64_t *result)
{
	struct zs_locked locked;
	struct zs_found found;
	int error = 1;

	zs_index_lock(c->thread, c->part, c->hash, &locked);
	if (zs_index_find_locked(&locked, c->key, c->key_size, &found) && is_counter(&found) &&
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
	struct change c;

	if (key_size + 8 > ZS_OBJECT_MAX)
		return ZS_ETOOBIG;
	begin(&c, thread, key, key_size);
	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		struct content content = { .counter = true, .keep_group = true };
		int64_t old = 0;
		int error = increment_in_place(&c, delta, result);

		if (error <= 0) {
			if (error == ZS_OK)
				zs_count(thread, sets, 1);
			return error;
		}
		look(&c);
		if (present(&c)) {
			const uint8_t *text = (const uint8_t *)c.found.slab + c.found.extent.value;

			if (is_counter(&c.found))
				continue;
			if (!parse_canonical(text, c.found.extent.value_size, &old))
				return ZS_ENOTINT;
			content.deadline = c.found.deadline;
		}
		if (__builtin_add_overflow(old, delta, &content.number))
			return ZS_EOVERFLOW;
		error = store(&c, &content);
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

static bool expire_condition(const struct change *c, uint64_t deadline, unsigned flags)
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
static bool refresh_in_place(struct change *c, uint64_t deadline)
{
	uint32_t unit = zs_lifetime_unit(c->found.lifetime);
	struct zs_locked locked;
	uint8_t byte;
	bool done = false;

	if (!unit || !deadline || unit > zs_unit_for(zs_left(c->thread, deadline)) ||
	    !zs_deadline_byte(c->found.lifetime, deadline, &byte))
		return false;
	zs_index_lock(c->thread, c->part, c->hash, &locked);
	if (unchanged(c, &locked)) {
		uint8_t *frame = (uint8_t *)c->found.slab;
		uint32_t at = zs_deadline_offset(zs_lifetime_kind(c->found.lifetime),
						 zs_identity_slots(c->found.identity), c->found.slot);

		zs_store(&frame[at], byte);
		done = true;
	}
	zs_index_unlock(&locked);
	return done;
}

static int expire_once(struct change *c, uint64_t deadline)
{
	struct content content = { .deadline = deadline, .keep_group = true };
	struct zs_view view;

	if (has_passed(c->thread, deadline))
		return erase(c);
	if (!deadline && !c->found.deadline)
		return ZS_OK;
	if (refresh_in_place(c, deadline))
		return ZS_OK;
	zs_view_fill(&c->found, &view);
	content.counter = view.type == ZS_NUMBER;
	content.number = c->number;
	content.value = view.data;
	content.size = view.size;
	return store(c, &content);
}

int zs_expire(struct zs_thread *thread, const void *key, size_t key_size, uint64_t deadline, unsigned flags,
	      struct zs_previous *previous)
{
	struct change c;

	begin(&c, thread, key, key_size);
	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		int error;

		look(&c);
		fill_previous(&c, previous);
		if (!present(&c))
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
	struct change c;

	begin(&c, thread, key, key_size);
	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		struct zs_update update = { .value = thread->scratch };
		struct content content = { .keep_group = true };
		struct zs_previous previous = { .existed = false };
		int error;

		look(&c);
		fill_previous(&c, &previous);
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
		error = has_passed(thread, content.deadline) ? erase(&c) : store(&c, &content);
		if (error == ZS_OK)
			zs_count(thread, sets, 1);
		if (error != ZS_EEXIST)
			return error;
	}
	return ZS_EAGAIN;
}
