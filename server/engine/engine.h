/*
 * The slab engine: a concurrent hash table of small objects that live in 4 KB slabs.
 *
 * This is a library of its own. It knows nothing of networks or protocols and starts no thread: whoever links it
 * attaches each of its threads once and calls everything below with that thread's handle.
 *
 * THREADS. A `struct zs_thread` belongs to one thread. All functions that take one may run at the same time as
 * any other function on any other handle. zs_engine_open, _close and _attach are for one thread at a time.
 *
 * VIEWS. Reads copy nothing: a `struct zs_view` points into the arena. It stays valid, and its bytes unchanged,
 * until the same thread calls zs_thread_quiesce, zs_thread_offline or zs_thread_detach. (The memory of a replaced
 * object is not used again before every thread has passed such a point: quiescent-state-based reclamation, after
 * McKenney, "Is Parallel Programming Hard", 9.5.)  So every thread has to call zs_thread_quiesce often, a few
 * thousand times a second when busy, and zs_thread_offline before it sleeps; a thread that does neither keeps all
 * others from reusing memory and they will see ZS_EAGAIN.
 *
 * TIME. Deadlines are milliseconds since 1970 on the engine's clock; 0 means none. The time is taken in
 * zs_thread_quiesce and _online, for all threads at once. A stored deadline is never later than asked for, and earlier
 * by at most 1 % of the time to live. An object whose deadline has passed is never returned.
 *
 * KEYS AND VALUES are any bytes; both may be empty. Together they may have ZS_OBJECT_MAX bytes.
 *
 * ERRORS. 0 or a negative number from common/error.h, unless said otherwise.
 */
#ifndef ZS_SERVER_ENGINE_ENGINE_H
#define ZS_SERVER_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/error.h"

struct zs_engine;
struct zs_thread;

/* Bytes of key and value together of the largest object. */
#define ZS_OBJECT_MAX 4032

/* Bytes of the longest name of a group. */
#define ZS_GROUP_NAME_MAX 255

enum zs_policy {
	ZS_POLICY_S3FIFO,     /* small and main queue of slabs, ghost of evicted keys (Yang et al., SOSP '23) */
	ZS_POLICY_LRU,	      /* one queue, second chance for what was read since */
	ZS_POLICY_LFU,	      /* the least used of a sample of old slabs */
	ZS_POLICY_NOEVICTION, /* a full engine refuses writes with ZS_EFULL */
};

struct zs_engine_options {
	uint64_t memory;	      /* bytes of the arena: index and slabs; at least ZS_MEMORY_MIN */
	enum zs_policy policy;	      /* may be changed later, see zs_engine_set_policy */
	unsigned threads;	      /* most threads attached at one time, 1..256 */
	unsigned quarantine_ms;	      /* how long freed memory rests while remote readers exist */
	const struct zs_clock *clock; /* NULL: the system's; must outlive the engine */
	uint64_t seed;		      /* of the key hash; 0: random */
	uint32_t warm_zones;	      /* of the warm tier (warm.h); 0: none */
	uint32_t warm_zone_blocks;    /* blocks of each */
	uint32_t warm_buckets;	      /* what zs_warm_buckets said before the restart; 0: unknown */
	bool huge_pages;	      /* try for huge pages */
	bool prefault;		      /* touch all memory at start, instead of at first use */
};

#define ZS_MEMORY_MIN (4u << 20)

/* Sensible values for everything: 1 GB, S3-FIFO, 64 threads, 20 ms, system clock, random seed, huge pages. */
void zs_engine_options_init(struct zs_engine_options *options);

/*
 * Makes an engine. Errors: ZS_EINVAL (an option is out of range), ZS_ENOMEM (the machine does not have that much),
 * ZS_ESYS. On error *engine is NULL and `why` (of why_size bytes, may be NULL) holds a sentence for the operator.
 */
int zs_engine_open(const struct zs_engine_options *options, struct zs_engine **engine, char *why, size_t why_size);

/* Releases everything. All threads must be detached. */
void zs_engine_close(struct zs_engine *engine);

/* Attaches the calling thread; NULL if options.threads are attached already, or memory is out. */
struct zs_thread *zs_thread_attach(struct zs_engine *engine);
void zs_thread_detach(struct zs_thread *thread);

/* Says that this thread holds no view any more, and takes the time. Costs a few nanoseconds. */
void zs_thread_quiesce(struct zs_thread *thread);

/* Around sleeping: an offline thread holds nobody up. No other call is allowed between the two. */
void zs_thread_offline(struct zs_thread *thread);
void zs_thread_online(struct zs_thread *thread);

/* The time as of the last quiesce or online of any thread, in milliseconds since 1970. */
uint64_t zs_thread_now(const struct zs_thread *thread);

/*
 * Does background work (expiry, merging of sparse slabs, freeing, index growth) for about budget_us microseconds.
 * True if there is more to do now. Every busy thread calls it between batches; an idle node some ten times a second.
 * Implies zs_thread_quiesce.
 */
bool zs_thread_upkeep(struct zs_thread *thread, unsigned budget_us);

/* ---- reading ---- */

struct zs_key {
	const void *data;
	size_t size;
};

enum zs_type {
	ZS_BYTES,
	ZS_NUMBER, /* an integer that is incremented in place: `number` has it, data is NULL, size 0 */
};

struct zs_view {
	enum zs_type type;
	uint32_t size;
	const uint8_t *data;
	int64_t number;
	uint64_t deadline; /* as stored, 0 for none */
};

enum zs_read_flags {
	ZS_READ_PEEK = 1, /* does not count as a use of the object, nor as a hit or miss */
};

/*
 * Finds a key. ZS_OK and *view, or ZS_ENOTFOUND. With a warm tier every operation on a key may also return ZS_EWARM:
 * nothing has changed, and it is to be repeated when what was asked for is there (warm.h).
 */
int zs_get(struct zs_thread *thread, const void *key, size_t key_size, unsigned flags, struct zs_view *view);

/*
 * Finds many keys with their memory accesses overlapped. found[i] says whether views[i] was filled.
 * Returns how many were found. Any count; 16 to 32 at a time are best.
 */
size_t zs_get_batch(struct zs_thread *thread, const struct zs_key *keys, size_t count, struct zs_view *views,
		    bool *found);

/*
 * Fetches what operations on these keys will need, with their memory accesses overlapped. For callers that see several
 * operations ahead, which have no batch of their own. Any count; 8 to 32 at a time are best.
 */
void zs_prefetch_batch(struct zs_thread *thread, const struct zs_key *keys, size_t count);

/* ---- writing ---- */

enum zs_set_flags {
	ZS_SET_ABSENT = 1,  /* NX: only if the key does not exist */
	ZS_SET_PRESENT = 2, /* XX: only if it does */
	ZS_SET_EQUAL = 4,   /* only if it exists with exactly the value `expected` (a number compares as its decimal) */
	ZS_SET_KEEP_TTL = 8, /* keep the deadline of the object that is replaced; `deadline` is for new ones */
	ZS_SET_GROUP = 16,   /* put it into the group named `group`; without it the object is in none */
};

struct zs_set {
	const void *key;
	size_t key_size;
	const void *value;
	size_t value_size;
	uint64_t deadline;
	unsigned flags;
	const void *expected;
	size_t expected_size;
	const void *group;
	size_t group_size;
};

/* What was there before. `old` is a view like any other. */
struct zs_previous {
	bool existed;
	struct zs_view old;
};

/*
 * Stores an object. A deadline that has passed already: the key is deleted and the call succeeds.
 * `previous` may be NULL; it is filled also with ZS_EEXIST.
 * Errors: ZS_EEXIST (NX, XX or EQUAL did not hold), ZS_ETOOBIG, ZS_EFULL, ZS_EGROUPS, ZS_EINVAL (group name),
 * ZS_EAGAIN (all free memory is in quarantine: quiesce or upkeep, then try again).
 */
int zs_set(struct zs_thread *thread, const struct zs_set *set, struct zs_previous *previous);

/*
 * Stores objects one after the other, with their memory accesses overlapped, up to the first that cannot be stored.
 * Returns how many were; zs_set for the next one tells why. Any count; 16 to 32 at a time are best.
 */
size_t zs_set_batch(struct zs_thread *thread, const struct zs_set *sets, size_t count);

/* Deletes a key. ZS_OK, or ZS_ENOTFOUND. `previous` may be NULL. */
int zs_delete(struct zs_thread *thread, const void *key, size_t key_size, struct zs_previous *previous);

/*
 * Adds to an integer, which from then on is a ZS_NUMBER. An absent key counts as 0 without deadline. The deadline
 * stays. Errors: ZS_ENOTINT (not a canonical decimal of 64 bits), ZS_EOVERFLOW, and those of zs_set.
 */
int zs_increment(struct zs_thread *thread, const void *key, size_t key_size, int64_t delta, int64_t *result);

enum zs_expire_flags {
	ZS_EXPIRE_NX = 1, /* only if it has no deadline */
	ZS_EXPIRE_XX = 2, /* only if it has one */
	ZS_EXPIRE_GT = 4, /* only if the new one is later (none counts as infinitely late) */
	ZS_EXPIRE_LT = 8, /* only if the new one is earlier */
};

/*
 * Gives a key another deadline, 0: none. One that has passed deletes the key.
 * ZS_OK; ZS_ENOTFOUND; ZS_EEXIST if the condition did not hold; errors of zs_set (the object may have to move).
 * `previous` may be NULL.
 */
int zs_expire(struct zs_thread *thread, const void *key, size_t key_size, uint64_t deadline, unsigned flags,
	      struct zs_previous *previous);

/* What an update function gets and gives. */
struct zs_update {
	const struct zs_view *old; /* NULL: the key does not exist */
	uint8_t *value;		   /* room for ZS_OBJECT_MAX bytes, to be filled with the new value */
	size_t value_size;	   /* out */
	uint64_t deadline;	   /* in: the old one (0 if absent); out: the new one */
	bool unchanged;		   /* out: true leaves the object as it is; zs_update then returns ZS_OK */
};

/*
 * Replaces a value by one computed from it, atomically for this key. `function` may be called more than once, when
 * others write to the key at the same time; it returns 0, or an error that zs_update hands through. A group is kept.
 * Errors: those of the function and of zs_set.
 */
typedef int (*zs_update_function)(void *context, struct zs_update *update);
int zs_update(struct zs_thread *thread, const void *key, size_t key_size, zs_update_function function, void *context);

/* ---- many objects ---- */

/*
 * Ends a group: none of its objects can be read by anybody once this returns. *dropped (may be NULL) counts them.
 * Cost: some tens of nanoseconds for each slab of the group. ZS_OK, or ZS_ENOTFOUND.
 */
int zs_drop(struct zs_thread *thread, const void *group, size_t group_size, uint64_t *dropped);

struct zs_group_info {
	const char *name; /* valid during the call */
	size_t name_size;
	uint64_t objects;
	uint64_t slabs;
};

/* Calls `each` for every group that has objects. Groups that come or go meanwhile may be missed or seen. */
void zs_groups(struct zs_thread *thread, void (*each)(void *context, const struct zs_group_info *group), void *context);

/* Removes everything. */
void zs_flush(struct zs_thread *thread);

typedef void (*zs_scan_function)(void *context, const void *key, size_t key_size, const struct zs_view *view);

/*
 * Calls `each` for some objects and returns where to go on; start with 0; 0 means the end. `count` is a wish: a dozen
 * or two more may come, or fewer or none where the index is nearly empty. A key that is present during the whole scan
 * is seen at least once, whatever is written, moved or grown meanwhile; it may be seen twice. The views live as those
 * of zs_get.
 */
uint64_t zs_scan(struct zs_thread *thread, uint64_t cursor, size_t count, zs_scan_function each, void *context);

/* A key drawn at random, copied to `key` of ZS_OBJECT_MAX bytes. ZS_OK, or ZS_ENOTFOUND when there is none. */
int zs_random_key(struct zs_thread *thread, void *key, size_t *key_size);

/* ---- figures ---- */

struct zs_stats {
	/* objects and what they take; objects whose deadline passed count until their slab is visited */
	uint64_t objects;
	uint64_t objects_with_deadline;
	uint64_t warm_objects;	/* of `objects`, on the warm tier; `payload_bytes` is without them */
	uint64_t payload_bytes; /* keys and values */

	/* memory of the arena, in bytes; the five parts add up to arena_bytes */
	uint64_t arena_bytes;
	uint64_t superblock_bytes;
	uint64_t index_bytes;	   /* tables in use, an old one during growth included */
	uint64_t slab_bytes;	   /* slabs that hold or held objects: headers, payload, dead and open room */
	uint64_t quarantine_bytes; /* slabs that wait to be reused */
	uint64_t free_bytes;	   /* never used or free again */
	uint64_t outside_bytes;	   /* what the engine took from malloc and mmap besides the arena */
	const char *page_kind;	   /* "hugetlb", "transparent huge pages", "4 KB pages" */

	uint64_t slabs;	     /* in use */
	uint64_t open_slabs; /* of these, being filled */
	uint64_t groups;

	/* index */
	uint64_t index_entries; /* capacity */
	uint64_t index_used;
	uint64_t index_overflow; /* entries that found no place in their two buckets */
	uint64_t index_resizes;
	bool index_growing;

	/* events since the start */
	uint64_t hits;
	uint64_t misses;
	uint64_t sets;
	uint64_t deletes;
	uint64_t expired_objects;
	uint64_t expired_slabs; /* slabs that were reset whole because everything in them had expired */
	uint64_t evicted_objects;
	uint64_t evicted_slabs;
	uint64_t moved_evict;	 /* objects copied forward by eviction */
	uint64_t moved_merge;	 /* ... by merging of sparse slabs */
	uint64_t moved_lifetime; /* ... because their slab's time was over and theirs was not */
	uint64_t dropped_objects;
	uint64_t displaced; /* index entries moved to their other bucket */
	uint64_t ghost_hits;
	uint64_t demoted_objects;   /* written to the warm tier */
	uint64_t promoted_objects;  /* brought back from there, because they were used again */
	uint64_t second_chances;    /* of these, when their zone was about to be given up */
	uint64_t warm_hits;	    /* of `hits`, on the warm tier */
	uint64_t warm_vain;	    /* blocks of the warm tier in which a key was not, though its entry said so */
	uint64_t warm_refused;	    /* evicted and not written, because the tier or the index had no room */
	uint64_t upkeep_slow;	    /* steps of background work that took more than 10 ms */
	uint64_t upkeep_longest_us; /* the longest one */
};

void zs_engine_stats(struct zs_engine *engine, struct zs_stats *stats);

/* Objects right now; the same as zs_stats.objects, cheaper. */
uint64_t zs_engine_count(struct zs_engine *engine);

/* Sets the counters of events back to 0. */
void zs_engine_reset_stats(struct zs_engine *engine);

/* Another policy, from now on. Thread-safe. */
void zs_engine_set_policy(struct zs_engine *engine, enum zs_policy policy);
enum zs_policy zs_engine_policy(const struct zs_engine *engine);

/* ---- readers outside of the process ---- */

/* What a process of this host needs for reading the arena through a mapping of its own; see common/reader_plain.h. */
struct zs_share {
	int fd;	    /* of the engine, which closes it; map it with PROT_READ and MAP_SHARED */
	void *base; /* of the engine's own mapping, for an adapter that reads it */
	uint64_t size;
	uint64_t incarnation;
	uint64_t lease_offset; /* of the lease word of session 0; session i's is 8 i bytes further */
};

/*
 * Gives the arena's descriptor, sealed against writing and resizing. Whoever gets it can read all objects for as long
 * as it likes. ZS_OK, or ZS_ESYS if this kernel cannot seal it. Thread-safe.
 */
int zs_engine_share(const struct zs_engine *engine, struct zs_share *share);

/*
 * Whether such readers may exist: then freed memory rests for the quarantine time before it is used again. To be true
 * before the first lease is granted, and until the last one has been over for the quarantine time. Thread-safe.
 */
void zs_engine_expect_readers(struct zs_engine *engine, bool expected);

/* Writes the lease word (common/lease.h) of session `index` (below ZS_SESSIONS_MAX). Thread-safe. */
void zs_engine_set_lease(struct zs_engine *engine, unsigned index, uint64_t word);

/* Counts a use of the object whose key has this hash (common/hash.h). False if there is none. */
bool zs_touch_hash(struct zs_thread *thread, uint64_t hash);

/* Bytes that one object of these sizes takes on average, slab header and index entry included (MEMORY USAGE). */
size_t zs_object_cost(size_t key_size, size_t value_size, bool has_deadline);

#endif
