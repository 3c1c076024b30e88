#include "server/engine/warm_find.h"

#include <sched.h>

#include "server/engine/slab.h"
#include "server/engine/warm.h"

bool zs_warm_find_in_image(const struct zs_slab *image, const void *key, size_t size, struct zs_found *found)
{
	found->identity = zs_load(&image->identity);
	found->lifetime = zs_load(&image->lifetime);
	for (uint32_t slot = 0; slot < zs_identity_slots(found->identity); slot++) {
		if (!zs_slab_is_live(image, slot) ||
		    !zs_slab_extent(image, found->identity, found->lifetime, slot, &found->extent) ||
		    found->extent.key_size != size ||
		    !zs_key_equal((const uint8_t *)image + found->extent.key, key, size))
			continue;
		found->slab = (struct zs_slab *)(uintptr_t)image;
		found->deadline = zs_slab_deadline(image, found->identity, found->lifetime, slot);
		return true;
	}
	return false;
}

/* Adds the blocks to which entries of this bucket with the key's tag and slot byte lead. */
static void gather(const struct zs_part *part, const struct zs_bucket *bucket, uint64_t hash, struct zs_warm_seen *list)
{
	for (uint32_t mask = zs_bucket_match(bucket, zs_hash_tag(hash)); mask; mask &= mask - 1) {
		uint32_t i = (uint32_t)__builtin_ctz(mask);
		uint32_t id = zs_bucket_slab(bucket, i);

		if (zs_is_warm_id(part, id) && zs_bucket_slot(bucket, i) == zs_warm_slot(hash) &&
		    list->count < ZS_WARM_CANDIDATES)
			list->ids[list->count++] = id;
	}
}

/*
 * Looks in memory, and gathers what may be on flash, as of one moment: an object that moves between the two meanwhile
 * would be missed by looking first here, then there. True: found in memory.
 */
static bool look(struct zs_thread *thread, struct zs_part *part, uint64_t hash, const void *key, size_t size,
		 struct zs_found *found, struct zs_warm_seen *list)
{
	for (unsigned spins = 1;; spins++) {
		const struct zs_index_view *view = zs_load_acquire(&part->view);
		struct zs_pair p = zs_index_pair(&view->main, hash);
		uint16_t sa = zs_load_acquire(&p.a->sequence);
		uint16_t sb = zs_load_acquire(&p.b->sequence);

		list->count = 0;
		if (zs_index_find(part, hash, thread->stride, key, size, found))
			return true;
		/* While the index is being resized nothing is warm. */
		if (view->previous.count)
			return false;
		gather(part, p.a, hash, list);
		if (p.b != p.a)
			gather(part, p.b, hash, list);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (!((sa | sb) & 1) && zs_load(&p.a->sequence) == sa && zs_load(&p.b->sequence) == sb &&
		    zs_load_acquire(&part->view) == view)
			return false;
		if (spins % 128)
			zs_cpu_relax();
		else
			sched_yield();
	}
}

enum zs_warm_answer zs_warm_find(struct zs_thread *thread, struct zs_part *part, uint64_t hash, const void *key,
				 size_t size, struct zs_found *found, struct zs_warm_seen *seen)
{
	const struct zs_warm_hooks *hooks = &thread->engine->warm;
	struct zs_warm_seen list;
	bool waits = false;

	if (seen)
		seen->count = 0;
	if (!part->warm_blocks)
		return zs_index_find(part, hash, thread->stride, key, size, found) ? ZS_WARM_FOUND : ZS_WARM_ABSENT;
	if (look(thread, part, hash, key, size, found, &list))
		return ZS_WARM_FOUND;
	for (uint32_t i = 0; i < list.count; i++) {
		bool unreadable = false;
		const struct zs_slab *image =
		    hooks->image(hooks->context, thread->warm_call, part->number, list.ids[i], &unreadable);

		if (unreadable) {
			zs_warm_forget_one(thread, hash, list.ids[i]);
			continue;
		}
		if (!image) {
			thread->warm_wanted++;
			waits = true;
			continue;
		}
		if (zs_warm_find_in_image(image, key, size, found)) {
			found->warm = true;
			found->id = list.ids[i];
			found->slot = zs_warm_slot(hash);
			return ZS_WARM_FOUND;
		}
		zs_count(thread, warm_vain, 1);
		if (seen)
			seen->ids[seen->count++] = list.ids[i];
	}
	return waits ? ZS_WARM_WAIT : ZS_WARM_ABSENT;
}

bool zs_warm_all_seen(const struct zs_locked *locked, const struct zs_warm_seen *seen)
{
	struct zs_warm_seen now = { .count = 0 };

	gather(locked->part, locked->first, locked->hash, &now);
	if (locked->second != locked->first)
		gather(locked->part, locked->second, locked->hash, &now);
	for (uint32_t i = 0; i < now.count; i++) {
		uint32_t k = 0;

		while (k < seen->count && seen->ids[k] != now.ids[i])
			k++;
		if (k == seen->count)
			return false;
	}
	return true;
}

static void count_warm(struct zs_thread *thread, const struct zs_part *part, int n)
{
	struct zs_figures *f = &thread->parts[part->number]->figures;

	zs_store(&f->warm, f->warm + n);
}

static void tell_dead(struct zs_thread *thread, struct zs_locked *locked, uint32_t id)
{
	const struct zs_warm_hooks *hooks = &thread->engine->warm;

	hooks->dead(hooks->context, locked->part->number, id, locked->hash);
	count_warm(thread, locked->part, -1);
}

void zs_warm_remove(struct zs_thread *thread, struct zs_locked *locked, const struct zs_found *found)
{
	tell_dead(thread, locked, found->id);
	zs_index_remove(thread, locked, found);
}

void zs_warm_replace(struct zs_thread *thread, struct zs_locked *locked, const struct zs_found *found, uint32_t id,
		     uint32_t slot)
{
	tell_dead(thread, locked, found->id);
	zs_index_replace(locked, found, id, slot);
}
