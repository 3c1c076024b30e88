#include "server/engine/change.h"

#include <sched.h>
#include <string.h>

#include "server/engine/evict.h"
#include "server/engine/ghost.h"
#include "server/engine/group.h"
#include "server/engine/lifetime.h"
#include "server/engine/migrate.h"
#include "server/engine/place.h"
#include "server/engine/resize.h"
#include "server/engine/slab.h"
#include "server/engine/upkeep.h"
#include "server/engine/view.h"

bool zs_change_look(struct zs_change *c)
{
	/* What we see during a flush may be about to end; what we make of it would survive. */
	while ((c->flushes = __atomic_load_n(&c->thread->engine->flushes, __ATOMIC_SEQ_CST)) & 1)
		sched_yield();
	if (!c->part->warm_blocks) {
		c->exists = zs_index_find(c->part, c->hash, c->thread->stride, c->key, c->key_size, &c->found);
	} else {
		enum zs_warm_answer answer =
		    zs_warm_find(c->thread, c->part, c->hash, c->key, c->key_size, &c->found, &c->seen);

		if (answer == ZS_WARM_WAIT)
			return false;
		c->exists = answer == ZS_WARM_FOUND;
	}
	c->expired = c->exists && zs_is_expired(c->thread, &c->found);
	c->number = c->exists && zs_found_is_counter(&c->found) ? zs_found_number(&c->found) : 0;
	return true;
}

void zs_change_previous(const struct zs_change *c, struct zs_previous *previous)
{
	if (!previous)
		return;
	previous->existed = zs_change_has_present(c);
	if (previous->existed) {
		zs_view_fill(&c->found, &previous->old);
		if (zs_found_is_counter(&c->found))
			previous->old.number = c->number;
	}
}

bool zs_change_holds(struct zs_change *c, struct zs_locked *locked)
{
	struct zs_found *found = &c->found;
	struct zs_found now;

	if (!c->exists)
		return !zs_index_find_locked(locked, c->key, c->key_size, &now) &&
		       (!c->part->warm_blocks || zs_warm_all_seen(locked, &c->seen));
	/* The image never changes, so while the entry leads to it, it is the object that we saw. */
	if (found->warm)
		return zs_index_find_slot(locked, found->id, found->slot, found);
	return zs_index_find_slot(locked, found->id, found->slot, found) && zs_slab_is_live(found->slab, found->slot) &&
	       zs_slab_deadline(found->slab, found->identity, found->lifetime, found->slot) == found->deadline &&
	       (!zs_found_is_counter(found) || zs_found_number(found) == c->number);
}

void zs_change_end_present(struct zs_change *c, struct zs_locked *locked)
{
	if (c->found.warm) {
		zs_warm_remove(c->thread, locked, &c->found);
		return;
	}
	zs_slab_end_object(c->thread, c->part, c->found.slab, c->found.slot);
	zs_index_remove(c->thread, locked, &c->found);
}

/* The group of what was seen. */
static uint32_t present_group(const struct zs_change *c)
{
	const struct zs_warm_hooks *hooks = &c->thread->engine->warm;

	if (c->found.warm)
		return hooks->group(hooks->context, c->part->number, c->found.id);
	return zs_links_group(zs_load(&c->found.slab->links));
}

static int find_group(struct zs_change *c, const struct zs_content *content, struct zs_group **group)
{
	int error = ZS_OK;

	*group = NULL;
	if (content->group) {
		*group = zs_group_find(c->thread, content->group, content->group_size, true, &error);
		return *group ? ZS_OK : error;
	}
	if (content->keep_group && zs_change_has_present(c))
		*group = zs_group_by_number(c->thread->engine, present_group(c));
	return ZS_OK;
}

/* Takes a slot and writes the object into it. */
static int place(struct zs_change *c, const struct zs_content *content, struct zs_spot *spot)
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
	if (zs_change_has_present(c) && content->deadline == c->found.deadline)
		wanted.unit = zs_lifetime_unit(c->found.lifetime);
	if (c->exists) {
		wanted.main = c->found.warm || c->found.lifetime & ZS_SLAB_MAIN;
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
	if (zs_change_has_present(c) && !c->found.warm) {
		uint32_t recency = zs_slab_recency(c->found.slab, zs_identity_slots(c->found.identity), c->found.slot);

		zs_slab_set_recency(spot->slab, zs_identity_slots(zs_load(&spot->slab->identity)), spot->slot,
				    recency < 3 ? recency + 1 : 3);
	}
	return ZS_OK;
}

enum outcome { PUBLISHED, INTERFERED, NO_PLACE };

static enum outcome publish_over_warm(struct zs_change *c, struct zs_locked *locked, const struct zs_spot *spot)
{
	/*
	 * A flush that began since we looked forgets warm entries, and has perhaps passed the new slab. A drop that
	 * begins after this has not: the new slot is live.
	 */
	if (__atomic_load_n(&c->thread->engine->flushes, __ATOMIC_SEQ_CST) != c->flushes ||
	    (zs_image_has_group(c->found.slab) && !present_group(c))) {
		zs_slab_end_object(c->thread, c->part, spot->slab, spot->slot);
		return INTERFERED;
	}
	zs_warm_replace(c->thread, locked, &c->found, spot->id, spot->slot);
	if (c->expired)
		zs_count(c->thread, expired_objects, 1);
	return PUBLISHED;
}

/* Publishes the spot in place of what we looked at. */
static enum outcome publish(struct zs_change *c, struct zs_locked *locked, const struct zs_spot *spot, bool force)
{
	if (!zs_change_holds(c, locked))
		return INTERFERED;
	if (!zs_place_commit(c->thread, c->part, spot))
		return INTERFERED;
	zs_warm_note_write(c->thread, c->hash);
	if (c->exists && c->found.warm)
		return publish_over_warm(c, locked, spot);
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

/* The key's buckets in this table are full: make a place, or evict. The spot has been given back if this fails. */
static int make_place(struct zs_change *c, const struct zs_table *table, unsigned round)
{
	const struct zs_index_view *view = zs_load_acquire(&c->part->view);

	if (zs_index_make_room(c->thread, table, c->hash))
		return ZS_OK;
	if (view->previous.count && table->buckets == view->previous.buckets) {
		/* It is being replaced: to the next one with this key, then. */
		zs_migrate_pair(c->thread, c->part, view, c->hash);
		return ZS_OK;
	}
	/* A larger table, then; and a resize that is going on is finished first. */
	zs_resize_check(c->thread, c->part);
	while (round > 4 && zs_resize_step(c->thread, c->part))
		;
	return round < 64 ? ZS_OK : ZS_EAGAIN;
}

int zs_change_store(struct zs_change *c, const struct zs_content *content)
{
	struct zs_spot spot;
	struct zs_locked locked;
	enum outcome outcome;
	int error = place(c, content, &spot);

	if (error)
		return error;
	for (unsigned round = 0;; round++) {
		zs_index_lock(c->part, c->hash, &locked);
		outcome = publish(c, &locked, &spot, round > 4);
		zs_index_unlock(&locked);
		if (outcome != NO_PLACE)
			break;
		error = make_place(c, &locked.table, round);
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
	if (c->exists && !c->found.warm)
		zs_place_freed(c->thread, c->part, c->found.id);
	/* Who adds an entry to an index that grows moves others; who replaces one helps now and then. */
	if (!c->exists || c->thread->operation % 8 == 0)
		zs_resize_step(c->thread, c->part);
	zs_upkeep_assist(c->thread, c->part);
	return ZS_OK;
}

int zs_change_erase(struct zs_change *c)
{
	struct zs_locked locked;
	bool done;

	zs_index_lock(c->part, c->hash, &locked);
	done = zs_change_holds(c, &locked);
	if (done)
		zs_warm_note_write(c->thread, c->hash);
	if (done && c->exists)
		zs_change_end_present(c, &locked);
	zs_index_unlock(&locked);
	if (!done)
		return ZS_EEXIST;
	if (c->exists && !c->found.warm)
		zs_place_freed(c->thread, c->part, c->found.id);
	return ZS_OK;
}

bool zs_promote(struct zs_thread *thread, struct zs_part *part, uint64_t hash, const struct zs_found *found)
{
	const uint8_t *image = (const uint8_t *)found->slab;
	struct zs_content content = { .deadline = found->deadline, .keep_group = true };
	struct zs_change c = {
		.thread = thread,
		.part = part,
		.hash = hash,
		.key = image + found->extent.key,
		.key_size = found->extent.key_size,
		.flushes = __atomic_load_n(&thread->engine->flushes, __ATOMIC_SEQ_CST),
		.exists = true,
		.found = *found,
	};

	if (c.flushes & 1)
		return false;
	content.counter = zs_found_is_counter(found);
	content.number = content.counter ? zs_found_number(found) : 0;
	content.value = image + found->extent.value;
	content.size = found->extent.value_size;
	c.number = content.number;
	if (zs_change_store(&c, &content) != ZS_OK)
		return false;
	zs_count(thread, promoted_objects, 1);
	return true;
}
