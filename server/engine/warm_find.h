/*
 * Finding objects that may be warm: what zs_index_find is for those in memory.
 */
#ifndef ZS_SERVER_ENGINE_WARM_FIND_H
#define ZS_SERVER_ENGINE_WARM_FIND_H

#include "common/hash.h"
#include "server/engine/index.h"

/* Entries of a key that lead to flash: hardly ever more than one. */
#define ZS_WARM_CANDIDATES 8

/* The blocks to which a key's entries led, and in which it is not. */
struct zs_warm_seen {
	uint32_t ids[ZS_WARM_CANDIDATES];
	uint32_t count;
};

enum zs_warm_answer {
	ZS_WARM_ABSENT,
	ZS_WARM_FOUND,
	ZS_WARM_WAIT, /* an image has been asked for */
};

/* The slot byte of a warm entry. */
static inline uint32_t zs_warm_slot(uint64_t hash)
{
	return zs_hash_slot_byte(hash);
}

static inline bool zs_is_warm_id(const struct zs_part *part, uint32_t id)
{
	return id >= part->frame_count && id - part->frame_count < part->warm_blocks;
}

/*
 * Finds a key in memory or on flash, expired or not. Of one on flash `found` has the image for a slab, the block for an
 * id, the slot byte of the entry for a slot, and `warm` set. `seen` may be NULL.
 */
enum zs_warm_answer zs_warm_find(struct zs_thread *thread, struct zs_part *part, uint64_t hash, const void *key,
				 size_t size, struct zs_found *found, struct zs_warm_seen *seen);

/* Whether an image is of a group, living or dropped: where a slab in memory has its generation it says of which. */
static inline bool zs_image_has_group(const struct zs_slab *image)
{
	return zs_identity_generation(zs_load(&image->identity)) != 0;
}

/* Whether a living object of the image has this key; then `found` has slab, words, extent and deadline of it. */
bool zs_warm_find_in_image(const struct zs_slab *image, const void *key, size_t size, struct zs_found *found);

/* Under the lock: whether all warm entries that could be the key's lead to blocks that were seen. */
bool zs_warm_all_seen(const struct zs_locked *locked, const struct zs_warm_seen *seen);

/* Under the lock: ends a warm entry that was found under it, or changes where it leads to. Tells the tier. */
void zs_warm_remove(struct zs_thread *thread, struct zs_locked *locked, const struct zs_found *found);
void zs_warm_replace(struct zs_thread *thread, struct zs_locked *locked, const struct zs_found *found, uint32_t id,
		     uint32_t slot);

/* Tells the tier of a write, while it is being read after a crash; false: it is not. */
static inline bool zs_warm_note_write(const struct zs_thread *thread, uint64_t hash)
{
	const struct zs_engine *engine = thread->engine;

	if (__builtin_expect(!zs_load(&engine->warm_rebuilding), 1))
		return false;
	engine->warm.written(engine->warm.context, hash);
	return true;
}

#endif
