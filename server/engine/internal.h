/*
 * The engine's own structures. Only files of server/engine include this.
 *
 * Who writes what:
 *   arena       slots and columns by whoever placed the object, index entries under their buckets' lock
 *   partition   below `lock`, which is never held while a bucket is locked or an object is copied
 *   thread      by its own thread; counters are read by others
 * Order of locks: bucket of the previous table, buckets of the main table by address, overflow lock; the
 * partition's lock and a group's lock may be taken inside of these, never the other way round.
 */
#ifndef ZS_SERVER_ENGINE_INTERNAL_H
#define ZS_SERVER_ENGINE_INTERNAL_H

#include <pthread.h>

#include "common/hash.h"
#include "common/layout.h"
#include "server/engine/engine.h"
#include "server/engine/epoch.h"
#include "server/engine/warm.h"

/* Private bits of a slab's lifetime word, changed by atomic or/and. */
#define ZS_SLAB_MAIN (1ull << 51)    /* of the main queue (S3-FIFO) */
#define ZS_SLAB_LISTED (1ull << 52)  /* stands in some thread's list of partly filled slabs */
#define ZS_SLAB_OPEN (1ull << 53)    /* some thread fills it */
#define ZS_SLAB_CLAIMED (1ull << 54) /* some thread empties or visits it */
#define ZS_SLAB_DROPPED (1ull << 55) /* its live bits are cleared, its index entries not yet */
#define ZS_SLAB_SPARSE (1ull << 56)  /* stands in the partition's ring of sparse slabs */

/* Where a slab is; the `state` of its links word. */
enum zs_place {
	ZS_AT_NOWHERE, /* never used, part of an index table, or being filled for the first time */
	ZS_AT_SMALL,
	ZS_AT_MAIN,
	ZS_AT_QUARANTINE,
	ZS_AT_FREE,
	ZS_AT_OUTGOING, /* claimed, to be written to the warm tier */
	ZS_AT_WRITING,	/* taken by it */
};

/* Whether a slab that is at this place may hold living objects; one at no place does if it is open. */
static inline bool zs_place_holds_objects(enum zs_place place)
{
	return place == ZS_AT_SMALL || place == ZS_AT_MAIN || place == ZS_AT_OUTGOING || place == ZS_AT_WRITING;
}

/* A doubly linked list of slabs, through their links words. */
struct zs_slab_list {
	uint32_t head; /* oldest */
	uint32_t tail;
	uint32_t count;
	enum zs_place place;
};

struct zs_table {
	struct zs_bucket *buckets;
	uint32_t count;
};

/* What a reader needs of the index; replaced as a whole, old ones live until every thread has quiesced. */
struct zs_index_view {
	struct zs_table main;
	struct zs_table previous; /* count 0 unless the index is being resized */
	uint64_t stamp;		  /* once replaced */
	uint64_t since_ns;
	struct zs_index_view *next_retired;
};

/* Entries that found no room in their two buckets. Rare and short: a list behind a lock. */
struct zs_overflow {
	pthread_mutex_t lock;
	uint32_t count; /* read without the lock as a hint */
	uint32_t drain; /* where draining goes on */
	struct zs_overflow_entry {
		uint64_t hash;
		uint32_t id;
		uint32_t slot;
	} entries[1024];
};

#define ZS_QUARANTINE_BATCHES 64

/* Slabs that were unlinked together and may be used again together. */
struct zs_quarantine_batch {
	uint64_t stamp;
	uint64_t since_ns;
	uint32_t count;
};

struct zs_quarantine {
	struct zs_slab_list slabs; /* oldest batch first */
	struct zs_quarantine_batch batches[ZS_QUARANTINE_BATCHES];
	uint32_t first;
	uint32_t used;
	uint32_t open_count; /* slabs retired since the last batch was closed */
};

#define ZS_SPARSE_RING 1024

/* What a slab in hand was taken for; see hand.h. What has expired ends in any case. */
enum zs_errand {
	ZS_ERRAND_NONE,	  /* the hand is empty */
	ZS_ERRAND_EXPIRE, /* the rest stays */
	ZS_ERRAND_RENEW,  /* the rest is copied to where it has a future */
	ZS_ERRAND_MERGE,  /* the rest is copied to where there is room */
	ZS_ERRAND_EVICT,  /* the policy decides about the rest */
};

#define ZS_RESIDENTS_AHEAD 8

/* The objects of a slab, one after the other; see move.h. */
struct zs_residents {
	bool all;	/* also those whose live bit was cleared by a drop */
	uint32_t next;	/* slot to look at next */
	uint32_t first; /* of those listed, a ring */
	uint32_t count;
	uint8_t slots[ZS_RESIDENTS_AHEAD];
	uint64_t hashes[ZS_RESIDENTS_AHEAD];
};

struct zs_hand {
	uint32_t id;
	enum zs_errand errand;
	bool due;	  /* its time had come, and has to be set again */
	uint32_t expired; /* objects so far */
	struct zs_residents residents;
};

struct zs_part {
	struct zs_engine *engine;
	uint8_t *frames;
	uint32_t frame_count;
	uint32_t number;

	_Alignas(64) struct zs_index_view *view;
	uint32_t migrate_next; /* first bucket of the previous table that nobody has taken to move */
	uint32_t migrated;     /* buckets that have been moved */
	uint32_t resize_busy;  /* one thread at a time decides about resizing */
	struct zs_overflow *overflow;
	uint16_t *due; /* for each frame when to visit its slab, see lifetime.h; 0: no need to */

	_Alignas(64) pthread_mutex_t lock;
	uint32_t virgin;     /* frames from here to virgin_end were never used */
	uint32_t virgin_end; /* index tables lie from here on, or what was one */
	uint32_t free_head;
	uint32_t free_count;
	uint32_t index_frames;
	uint32_t generation_top; /* no slab has had a generation above this */
	uint32_t slabs_used;	 /* open or sealed */
	struct zs_slab_list small;
	struct zs_slab_list main;
	struct zs_quarantine quarantine;
	uint32_t sparse[ZS_SPARSE_RING];
	uint32_t sparse_first;
	uint32_t sparse_count;
	uint32_t sparse_left; /* 1: the ring had no room for some, so the sweep is to find them */
	struct zs_index_view *retired;
	uint32_t resizes;
	bool exact_fit_done;
	struct zs_slab_list outgoing; /* to be written to the warm tier */
	struct zs_slab_list writing;  /* being written */
	uint32_t warm_blocks;	      /* of the warm tier, numbered on from frame_count; 0: there is none */
	uint32_t warm_open;	      /* 1: entries may lead there, and the index keeps its size; atomic */
	struct zs_ghost *warm_used;   /* which warm objects were read lately */
	uint32_t warm_shut;	      /* 1: what is evicted is lost; atomic */
	uint32_t dropped;	      /* hint that slabs with ZS_SLAB_DROPPED wait to be cleaned; atomic */

	/* upkeep, one thread at a time (upkeep_busy, atomic) */
	uint32_t upkeep_busy;
	uint32_t sweep_next;
	uint64_t sweep_started_ms;
	bool sweep_all; /* in this round: the time jumped so far that ticks are ambiguous */
	uint32_t turn;	/* which kind of work is next */
	struct zs_hand hand;
	struct zs_ghost *ghost;
};

/* A slab that a thread fills. Uniform and counter slabs: `room` has a bit for each slot that may be taken. */
struct zs_lane {
	struct zs_slab *slab; /* NULL: none */
	uint32_t id;
	uint32_t window;
	uint64_t room[4];
	uint32_t used;	/* mixed: next slot */
	uint32_t start; /* mixed: where the last object begins */
	uint64_t touched;
};

#define ZS_LANES 4
#define ZS_PARTIAL_RING 64

/* A sealed slab with slots that may be filled again once `stamp` has passed, and for remote readers the quarantine. */
struct zs_partial {
	uint32_t id;
	uint32_t generation;
	uint64_t stamp;
	uint64_t since_ns; /* 0: no remote reader could have known the slots */
	uint64_t room[4];
};

struct zs_partial_ring {
	uint32_t first;
	uint32_t count;
	struct zs_partial entries[ZS_PARTIAL_RING];
};

/* Where a thread puts objects of one class: kind, sizes, unit, queue, group. */
struct zs_open {
	uint64_t class; /* 0: unused; see place.c */
	uint64_t used_at;
	struct zs_lane lanes[ZS_LANES];
	struct zs_partial_ring *partial; /* NULL until the first */
};

#define ZS_OPEN_SETS 8
#define ZS_OPEN_WAYS 8

/* What a thread has added less what it has removed; only the sum over all threads means something. */
struct zs_figures {
	int64_t objects;
	int64_t objects_with_deadline;
	int64_t payload;
	int64_t entries; /* of the index */
	int64_t warm;	 /* of these, that lead to the warm tier */
};

/* A bucket of the previous table that a thread is about to move, and what it does next with it; see migrate.c. */
struct zs_migration {
	uint32_t bucket;
	enum zs_migration_stage {
		ZS_MIGRATION_TAKE, /* none: take one, and fetch its keys */
		ZS_MIGRATION_LOOK, /* look where its entries go, and fetch those buckets */
		ZS_MIGRATION_MOVE,
	} stage;
};

struct zs_thread_part {
	struct zs_open open[ZS_OPEN_SETS][ZS_OPEN_WAYS];
	struct zs_figures figures;
	uint32_t open_count; /* lanes with a slab */
	uint32_t mixed_size; /* running mean of mixed objects' sizes, times 16 */
	uint8_t shapes[256]; /* how often a shape was seen lately */
	uint32_t shapes_seen;
	struct zs_migration migration;
};

/* X(name): counters of events, one set for each thread */
#define ZS_COUNTERS(X)      \
	X(hits)             \
	X(misses)           \
	X(sets)             \
	X(deletes)          \
	X(expired_objects)  \
	X(expired_slabs)    \
	X(evicted_objects)  \
	X(evicted_slabs)    \
	X(moved_evict)      \
	X(moved_merge)      \
	X(moved_lifetime)   \
	X(dropped_objects)  \
	X(displaced)        \
	X(ghost_hits)       \
	X(demoted_objects)  \
	X(promoted_objects) \
	X(second_chances)   \
	X(warm_hits)        \
	X(warm_vain)        \
	X(warm_refused)     \
	X(upkeep_slow)

struct zs_counters {
#define ZS_COUNTER_FIELD(name) uint64_t name;
	ZS_COUNTERS(ZS_COUNTER_FIELD)
#undef ZS_COUNTER_FIELD
};

/* What a header says of where things lie in its slab, worked out. Only of uniform slabs. */
struct zs_shape {
	uint32_t identity; /* upper half of the identity word: sizes and slots; 0: of no slab */
	uint32_t lifetime; /* unit and kind, as in the lifetime word from bit ZS_BASE_BITS on */
	uint16_t slots;
	uint16_t key_size;
	uint16_t value_size;
	uint16_t stride;
	uint16_t recency;  /* offset of the column */
	uint16_t deadline; /* offset of the column, if there is a unit */
	uint64_t unit_ms;  /* 0: no deadlines */
};

struct zs_thread {
	_Alignas(64) struct zs_engine *engine;
	struct zs_epoch_slot *slot;
	uint64_t seed;	       /* the engine's */
	bool want_epoch;       /* something unlinked waits for the next epoch */
	bool wrote;	       /* since it last did upkeep */
	uint32_t stride;       /* of the last slab read: a guess where the next object lies */
	struct zs_shape shape; /* of the last slab read through its header */
	uint64_t random;       /* state of a xorshift generator */
	uint64_t operation;    /* counts writes; the clock of the open slabs' replacement */
	uint64_t sealed_ms;    /* when open slabs were last looked through for what is over */
	struct zs_thread_part *parts[ZS_PARTITIONS_MAX];
	struct zs_counters counters;
	void *warm_call; /* handed to the hook that gives images */
	struct {
		uint64_t hits, misses, warm_hits;
	} reads;		     /* counters when the present operation began */
	uint32_t warm_wanted;	     /* images asked for that are not there yet */
	struct zs_group *last_group; /* the group used last, and the version of the table it is from */
	uint64_t last_group_version;
	uint8_t scratch[ZS_FRAME_SIZE];
};

struct zs_engine {
	uint8_t *arena;
	uint64_t arena_size;
	int memfd;
	bool sealed; /* memfd can be handed to readers */
	const char *page_kind;
	struct zs_superblock *superblock;
	uint64_t seed;
	uint32_t part_count;
	struct zs_part *parts;
	const struct zs_clock *clock;
	uint32_t policy; /* enum zs_policy; atomic */
	uint32_t quarantine_ms;
	uint64_t remote_until_ms; /* remote readers may exist until then; atomic */
	struct zs_groups *groups;
	uint64_t flushes; /* begun and ended so far: odd during one; atomic */
	pthread_mutex_t flush_lock;
	struct zs_epoch *epoch;
	pthread_mutex_t threads_lock;
	struct zs_thread *threads[ZS_EPOCH_THREADS_MAX];
	unsigned threads_max;
	struct zs_figures departed[ZS_PARTITIONS_MAX]; /* of detached threads */
	struct zs_counters departed_counters;
	struct zs_counters reset_counters; /* what zs_engine_reset_stats subtracts */
	bool has_warm;
	uint32_t warm_rebuilding; /* atomic */
	struct zs_warm_hooks warm;
	uint32_t warm_zones;
	uint32_t warm_zone_blocks;
	uint32_t warm_buckets; /* that the index of each partition begins with; 0: chosen */
	uint64_t longest_upkeep_ns;
	uint64_t outside_bytes;
	_Alignas(64) uint64_t now_ms; /* the time all threads go by; atomic */
};

static inline struct zs_slab *zs_frame(const struct zs_part *part, uint32_t id)
{
	return (struct zs_slab *)(void *)(part->frames + (size_t)id * ZS_FRAME_SIZE);
}

static inline struct zs_part *zs_part_of(const struct zs_engine *engine, uint64_t hash)
{
	/* One in all but the largest arenas, and that is known sooner than a product. */
	if (__builtin_expect(engine->part_count == 1, 1))
		return engine->parts;
	return &engine->parts[zs_hash_partition(hash, engine->part_count)];
}

/* The time, in milliseconds since 1970, as of the last quiescent point of any thread. */
static inline uint64_t zs_now(const struct zs_thread *thread)
{
	return zs_load_acquire(&thread->engine->now_ms);
}

/* Milliseconds until a deadline, 0 if it has passed. */
static inline uint64_t zs_left(const struct zs_thread *thread, uint64_t deadline)
{
	uint64_t now = zs_now(thread);

	return deadline > now ? deadline - now : 0;
}

/* Counts in the thread's own line; others only read. */
#define zs_count(thread, name, n) zs_store(&(thread)->counters.name, (thread)->counters.name + (uint64_t)(n))

#endif
