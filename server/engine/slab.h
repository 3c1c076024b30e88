/*
 * Slabs of a partition: frames to take, lists to stand in, objects to end.
 *
 *            take                 seal                 claim            retire             quarantine over
 *   free ----------> open ----------------> sealed -----------> claimed --------> resting ------------------> free
 *                     ^                        |                    |
 *                     +------ reopen ----------+<---- release ------+
 *
 * Transitions and who makes them:
 *   take     zs_slab_take         the thread that will fill the slab; generation goes up
 *   seal     zs_slab_seal         the thread that filled it; at the first time it joins the small or main list
 *   reopen   zs_slab_reopen       a thread that has it among its partly filled ones; generation went up when it was
 *                                 put there
 *   claim    zs_slab_claim        eviction, expiry, merging: one thread has the slab to itself, but for writers that
 *                                 end single objects in it
 *   release  zs_slab_release      the claimer, if objects stay
 *   retire   zs_slab_retire       the claimer, when no live bit is set and no index entry points here; generation
 *                                 goes up
 *   free     zs_slab_reclaim      anybody, when every thread has quiesced and remote readers are surely gone
 *
 * Invariants:
 *   1. A slab's generation goes up before any of its slots is used again, and before the quarantine of those slots
 *      begins. So a remote read, which takes less than half the quarantine, cannot see the old generation and the new
 *      object, in whatever order it sees their words.
 *   2. A slot is used again only after every thread has quiesced since both its live bit and its index entry went, and
 *      if remote readers exist, not before the quarantine is over.
 *   3. Only the thread that opened a slab places objects in it; only its claimer retires it.
 */
#ifndef ZS_SERVER_ENGINE_SLAB_H
#define ZS_SERVER_ENGINE_SLAB_H

#include "server/engine/internal.h"

/* ---- places and lists; the partition's lock is held ---- */

void zs_slab_list_push(struct zs_part *part, struct zs_slab_list *list, uint32_t id);
void zs_slab_list_remove(struct zs_part *part, struct zs_slab_list *list, uint32_t id);
enum zs_place zs_slab_place(const struct zs_part *part, uint32_t id);
uint32_t zs_slab_next(const struct zs_part *part, uint32_t id);

/* ---- life of a slab ---- */

/*
 * Takes a free frame and formats it as an open slab without objects. ZS_SLAB_NONE if no frame is free.
 * `lifetime` is the whole lifetime word but for ZS_SLAB_OPEN, `shape` an identity word with generation 0.
 */
uint32_t zs_slab_take(struct zs_part *part, uint64_t shape, uint64_t lifetime, uint32_t group);

/* Ends filling. */
void zs_slab_seal(struct zs_thread *thread, struct zs_part *part, uint32_t id);

/* Begins the next generation if the present one is `generation`; false if it is another by now. */
bool zs_slab_renew(struct zs_slab *slab, uint32_t generation);

/* Whether what rests since `since_ns` has rested long enough for readers that show no epoch; 0: there were none. */
bool zs_slab_quarantine_over(const struct zs_engine *engine, uint64_t since_ns);

/* Opens a sealed slab of that generation again; false if it is claimed, dropped or another by now. */
bool zs_slab_reopen(struct zs_part *part, uint32_t id, uint32_t generation);

/* Takes a sealed slab for itself; false if it is open, claimed, or not in use. */
bool zs_slab_claim(struct zs_part *part, uint32_t id);
void zs_slab_release(struct zs_part *part, uint32_t id);
void zs_slab_retire(struct zs_thread *thread, struct zs_part *part, uint32_t id);

/* Gives the slabs retired so far their stamp. Without it they rest until the next call. */
void zs_slab_close_batch(struct zs_thread *thread, struct zs_part *part);

/* Frees what has rested long enough. Returns how many slabs. */
uint32_t zs_slab_reclaim(struct zs_part *part);

/* Makes frames of an index table into free slabs; the partition's lock is held. */
void zs_slab_adopt_frames(struct zs_part *part, struct zs_bucket *table, uint32_t frames);

/* Frames that zs_slab_take can give right now. */
uint32_t zs_slab_available(const struct zs_part *part);

/* ---- objects ---- */

/* Slots with their live bit set. */
uint32_t zs_slab_live_count(const struct zs_slab *slab);

/* Whether at most half of the slab is in use: of its slots or, where they have different sizes, of its bytes. */
bool zs_slab_is_sparse(const struct zs_slab *slab);

/* The latest deadline of a live object; 0 for a slab without deadlines or objects. */
uint64_t zs_slab_last_deadline(const struct zs_slab *slab);

/* Objects of uniform slabs of this shape. 0 if not even one fits. At most ZS_SLOTS_MAX. */
uint32_t zs_slab_slots(enum zs_slab_kind kind, uint32_t key_size, uint32_t value_size, bool deadline);

/*
 * Ends an object: clears its live bit and counts. The caller holds its buckets' lock. False if it was not live.
 */
bool zs_slab_end_object(struct zs_thread *thread, struct zs_part *part, struct zs_slab *slab, uint32_t slot);

/* Sets the live bit of a slot just filled, and counts. */
void zs_slab_begin_object(struct zs_thread *thread, struct zs_part *part, struct zs_slab *slab, uint32_t slot);

/* The two bits that say how often an object was read lately, 0..3. */
static inline uint32_t zs_slab_recency(const struct zs_slab *slab, uint32_t slots, uint32_t slot)
{
	const uint8_t *byte = (const uint8_t *)slab + zs_recency_offset(slots) + slot / 4;

	return zs_load(byte) >> (slot % 4 * 2) & 3;
}

/* Lost updates between threads are harmless: nothing but recency stands in this byte. */
static inline void zs_slab_set_recency(struct zs_slab *slab, uint32_t slots, uint32_t slot, uint32_t recency)
{
	uint8_t *byte = (uint8_t *)slab + zs_recency_offset(slots) + slot / 4;
	uint32_t shift = slot % 4 * 2;

	zs_store(byte, (uint8_t)((zs_load(byte) & ~(3u << shift)) | recency << shift));
}

/* A use of the object, in the slab's column. Writes nothing once the count is saturated. */
static inline void zs_recency_touch(uint8_t *column, uint32_t slot)
{
	uint8_t *byte = column + slot / 4;
	uint32_t shift = slot % 4 * 2;
	uint8_t old = zs_load(byte);

	if ((old >> shift & 3) != 3)
		zs_store(byte, (uint8_t)(old + (1u << shift)));
}

static inline void zs_slab_touch(struct zs_slab *slab, uint32_t slots, uint32_t slot)
{
	zs_recency_touch((uint8_t *)slab + zs_recency_offset(slots), slot);
}

static inline uint32_t zs_links_group(uint64_t links)
{
	return (uint32_t)(links >> 44) & 0xffff;
}

#endif
