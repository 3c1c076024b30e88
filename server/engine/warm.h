/*
 * What a warm tier needs of the engine: slabs whose turn it is to leave memory, and entries of the index that lead to
 * blocks on flash.
 *
 * NAMES. A warm block is 4096 bytes on flash that hold a slab as it stood in memory. Its number, of 22 bits, counts on
 * where the numbers of the partition's frames end; so an entry of the index leads to either, without a table between.
 * The slot byte of a warm entry is eight more bits of the key's hash, so few reads of flash are in vain.
 *
 * FLOW. Eviction sends slabs out instead of ending what is in them. The tier takes them (zs_warm_take), copies objects
 * into images, writes these, and publishes each object (zs_warm_publish): its entry then leads to the block. Until then
 * the copy in memory serves. When all objects of a slab have been published the tier gives it back (zs_warm_release).
 * Entries that lead to a part of the tier that is to be emptied are forgotten (zs_warm_forget).
 *
 * READING. An operation that needs a warm object asks for the block's image by a hook. If it is not in memory yet, the
 * operation returns ZS_EWARM, nothing has changed, and it is to be called again when the image is there.
 *
 * RULES.
 *   1. An object is published only if its entry still leads to the very slot that was copied, and neither its deadline
 *      nor its counter has changed; compared under the lock of its buckets.
 *   2. Whoever replaces or removes a warm entry tells the tier so (`dead`) while the buckets are locked: before anybody
 *      can learn of it, the copy on flash is known to be dead.
 *   3. Two entries of one key never exist at a time; but an entry may have the tag and the slot byte of a key that is
 *      not its own. So a write looks at all images that could have its key, and publishes only if there are no others.
 *   4. Once warm entries exist the index keeps its size: without keys it cannot be rebuilt.
 *
 * THREADS. As in engine.h. Hooks are called by any attached thread, `dead` and `written` with buckets locked.
 */
#ifndef ZS_SERVER_ENGINE_WARM_H
#define ZS_SERVER_ENGINE_WARM_H

#include "common/layout.h"
#include "server/engine/engine.h"

struct zs_warm_hooks {
	void *context;
	/*
	 * The image of a block, valid until the calling thread quiesces or `call` ends. NULL: with *unreadable set it
	 * cannot be had, else it has been asked for. `call` is what zs_thread_set_warm_call set.
	 */
	const struct zs_slab *(*image)(void *context, void *call, uint32_t part, uint32_t id, bool *unreadable);
	/* The copy of the key with this hash in this block is not to be found again, also not after a crash. */
	void (*dead)(void *context, uint32_t part, uint32_t id, uint64_t hash);
	/* While the tier is being read after a crash: this key was written or deleted, older copies of it are dead. */
	void (*written)(void *context, uint64_t hash);
	/* Slabs wait to be taken. */
	void (*outgoing)(void *context);
	/* Everything is flushed: nothing on flash is to be found again. All entries are forgotten afterwards. */
	void (*flush)(void *context);
	/* The group to which a block belongs; 0: to none, or it has been dropped. */
	uint32_t (*group)(void *context, uint32_t part, uint32_t id);
	/* A group is dropped: from now on its blocks are as if they could not be read, also after a crash. */
	void (*drop)(void *context, uint32_t group);
};

/* ---- setting up; before other threads attach ---- */

void zs_engine_set_warm(struct zs_engine *engine, const struct zs_warm_hooks *hooks);

uint32_t zs_engine_partitions(const struct zs_engine *engine);

/* The number of the first warm block, the same in all partitions. */
uint32_t zs_warm_first_id(const struct zs_engine *engine);

/* Buckets of a partition's index; to be remembered for zs_engine_options.warm_buckets. */
uint32_t zs_warm_buckets(const struct zs_engine *engine, uint32_t part);

/* ---- demotion; one thread at a time for a partition ---- */

/* Slabs that wait to be taken. */
uint32_t zs_warm_waiting(const struct zs_engine *engine, uint32_t part);

/* Takes the slab that waits longest. False if none does, or the index has not got its last size yet. */
bool zs_warm_take(struct zs_thread *thread, uint32_t part, uint32_t *id);

struct zs_warm_object {
	uint64_t hash;
	uint64_t identity; /* of its slab: sizes and slots */
	uint64_t lifetime; /* of its slab: unit and kind */
	uint64_t deadline; /* 0: none */
	uint32_t group;	   /* 0: none */
	const uint8_t *key;
	const uint8_t *value;
	uint32_t key_size;
	uint32_t value_size; /* 8 of a counter */
	uint32_t id;
	uint32_t slot;
};

/* Shows the living objects of a slab that was taken. */
void zs_warm_objects(struct zs_thread *thread, uint32_t part, uint32_t id,
		     void (*each)(void *context, const struct zs_warm_object *object), void *context);

/* Where an object of an image came from. */
struct zs_warm_origin {
	uint64_t hash;
	uint32_t id;
	uint8_t slot;
	uint8_t image_slot;
};

/*
 * Makes the entries of an image's objects lead to block `id`. Those that have changed meanwhile are told to be dead and
 * stay in memory. Returns how many were published.
 */
uint32_t zs_warm_publish(struct zs_thread *thread, uint32_t part, uint32_t id, const struct zs_slab *image,
			 const struct zs_warm_origin *origins, uint32_t count);

/* Gives back a slab that was taken. What still lives in it stays in memory, elsewhere. */
void zs_warm_release(struct zs_thread *thread, uint32_t part, uint32_t id);

/* Whether new slabs are sent out; if not, what is evicted is lost. Thread-safe. */
void zs_warm_admit(struct zs_engine *engine, uint32_t part, bool admit);

/* Whether memory runs out while slabs wait to be written. */
bool zs_warm_is_short(const struct zs_engine *engine, uint32_t part);

/* How full the index is, 0..1. */
double zs_warm_index_load(const struct zs_engine *engine, uint32_t part);

/* ---- the rest ---- */

/*
 * Removes the entries that lead to those of the blocks first..end-1 of which `gone` says so; NULL: to all. It is asked
 * with a bucket locked. Returns how many. May take tens of milliseconds.
 */
uint64_t zs_warm_forget(struct zs_thread *thread, uint32_t part, uint32_t first, uint32_t end,
			bool (*gone)(void *context, uint32_t part, uint32_t id), void *context);

/* Removes an entry that leads to a block that cannot be read. */
void zs_warm_forget_one(struct zs_thread *thread, uint64_t hash, uint32_t id);

/* While rebuilding, writes are told of by the hook `written`. */
void zs_warm_set_rebuilding(struct zs_engine *engine, bool rebuilding);

/*
 * Adds an entry for an object found on flash. `may` is asked with the buckets locked. False if there is one in memory,
 * `may` says no, or the index is full.
 */
bool zs_warm_restore(struct zs_thread *thread, uint64_t hash, uint32_t id, const void *key, size_t key_size,
		     bool (*may)(void *context, uint64_t hash), void *context);

/*
 * The block is about to be forgotten: its objects that were read lately go back to memory. The image is whole. Returns
 * how many did.
 */
uint32_t zs_warm_second_chance(struct zs_thread *thread, uint32_t part, uint32_t id, const struct zs_slab *image);

/* ---- groups; numbers are those of zs_warm_object ---- */

/* The name of a group in use, valid until the thread quiesces. False: it has ended. */
bool zs_warm_group_name(const struct zs_engine *engine, uint32_t number, const char **name, size_t *size);

/* Finds or makes a group, which does not end before it is released. 0: there is no room. */
uint32_t zs_warm_hold_group(struct zs_thread *thread, const char *name, size_t size);
void zs_warm_release_group(struct zs_engine *engine, uint32_t number);

/* So many objects of a group, or with a minus fewer, are on flash. Any thread; the group is held or was just now. */
void zs_warm_count_group(struct zs_engine *engine, uint32_t number, int64_t objects);

/* ---- */

/* Starts to fetch the buckets of a key. */
void zs_warm_prefetch(const struct zs_engine *engine, uint64_t hash);

/* What belongs to the operation that follows; handed to the hook `image`. */
void zs_thread_set_warm_call(struct zs_thread *thread, void *call);

/* For an operation that may have to be repeated: what its reads add to hits and misses can be taken back. */
void zs_thread_begin_reads(struct zs_thread *thread);
void zs_thread_undo_reads(struct zs_thread *thread);

/* Images asked for and not there since this was last called. */
uint32_t zs_thread_warm_wanted(struct zs_thread *thread);

/* Waits until every other thread has passed a quiescent point, or for about `ms`. False if time was up. */
bool zs_thread_wait_for_others(struct zs_thread *thread, unsigned ms);

#endif
