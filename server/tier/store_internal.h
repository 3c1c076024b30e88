/*
 * The parts of the warm store. Only files of server/tier include this.
 *
 *   store.c    the thread, its loop, hooks for the engine
 *   demote.c   from slabs to images, batches and appends
 *   zones.c    which zone is written to, which one is given up
 *   blocks.c   blocks in memory: what operations have asked for
 *   review.c   second chances, before a zone is given up
 *   rebuild.c  the index, from the zones, after a restart
 *
 * Everything belongs to the store's thread but what is said to be shared.
 */
#ifndef ZS_SERVER_TIER_STORE_INTERNAL_H
#define ZS_SERVER_TIER_STORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/tier/image.h"
#include "server/tier/store.h"
#include "server/tier/zone_scan.h"

struct zs_store_zone {
	enum zs_store_zone_state state;
	enum zs_stream stream;	  /* unless it is empty */
	uint32_t written;	  /* blocks */
	bool appending;		  /* one append at a time: a block's number is part of its checksum */
	uint64_t filled;	  /* when, counted in zones filled */
	uint64_t deadline_ms;	  /* when its last object ends; 0: some never do */
	_Atomic uint32_t objects; /* shared; about: dead ones are taken off */
};

/* Up to 64 images that are written together. */
#define ZS_BATCH_IMAGES ZS_ZONE_APPEND_BLOCKS_MAX

struct zs_batch {
	struct zs_zone_request request; /* the first member */
	uint8_t *data;			/* ZS_BATCH_IMAGES blocks */
	uint32_t count;
	uint64_t deadlines[ZS_BATCH_IMAGES]; /* as zs_image.last_deadline */
	uint64_t groups[ZS_BATCH_IMAGES];    /* as zs_image.group */
	uint32_t first[ZS_BATCH_IMAGES + 1]; /* each image's origins */
	struct zs_warm_origin *origins;	     /* room for ZS_BATCH_IMAGES x ZS_SLOTS_MAX, used as needed */
	uint64_t epoch;			     /* of the zone, when it was sealed */
	uint32_t part;
	enum zs_stream stream;
	bool under_way;
};

#define ZS_BUILDERS 16u

struct zs_stream_state {
	uint32_t zone; /* UINT32_MAX: none */
	struct zs_batch *batch;
	struct zs_batch *spare; /* the other one, while one is being written */
};

struct zs_store_part {
	struct zs_image builders[ZS_BUILDERS];
	bool building[ZS_BUILDERS];
	uint64_t touches;
	uint16_t *pending; /* for each frame: objects of its slab that are in images not yet published, and 1 while it
			      is being copied */
	struct zs_stream_state streams[ZS_STREAMS];
	uint32_t empty;	   /* zones */
	uint32_t evicting; /* the zone; UINT32_MAX: none */
	bool reviewing;	   /* it is being looked through for what gets a second chance */
	bool shut_by_index;
};

/* A block in memory. Shared, under the lock, but `state`. */
enum zs_block_state { ZS_BLOCK_READING, ZS_BLOCK_READY, ZS_BLOCK_BAD };

struct zs_block {
	struct zs_zone_request request; /* the first member */
	_Atomic int state;
	uint32_t part;
	uint32_t id;
	uint32_t pins;
	bool stale; /* its zone is being given up: not to be found any more */
	bool hashed;
	uint64_t waiters[ZS_STORE_WAITERS_MAX / 64];
	struct zs_block *chain;
	struct zs_block *newer; /* in the order of use, if nobody has it pinned */
	struct zs_block *older;
	struct zs_block *next; /* to be read */
	uint8_t *bytes;
};

#define ZS_BLOCK_CHAINS 4096u

struct zs_blocks_cache {
	pthread_mutex_t lock;
	struct zs_block *chains[ZS_BLOCK_CHAINS];
	struct zs_block *newest;
	struct zs_block *oldest;
	struct zs_block *to_read;
	struct zs_block **to_read_end;
	uint32_t count; /* blocks there are */
	uint32_t most;
	uint64_t hits;
};

/* The end of the giving up of a zone. */
struct zs_store_reset {
	struct zs_zone_request request; /* the first member */
	bool under_way;
};

struct zs_rebuild;
struct zs_review;

/* What a request to the device is of; its context. */
enum zs_store_kind {
	ZS_STORE_READS,
	ZS_STORE_APPENDS,
	ZS_STORE_RESETS,
	ZS_STORE_REBUILDS,
	ZS_STORE_REVIEWS,
	ZS_STORE_FLUSHES,
};

static inline void *zs_store_kind(enum zs_store_kind kind)
{
	return (void *)(uintptr_t)kind;
}

struct zs_written_set {
	pthread_mutex_t lock;
	uint64_t *slots;
	size_t count;
	size_t size; /* a power of two */
	bool lost;   /* it could not hold all: everything counts as written */
};

struct zs_store {
	struct zs_store_options options;
	struct zs_zone_device *device;
	struct zs_zone_geometry geometry;
	struct zs_journal *journal;
	struct zs_group_map *groups;
	struct zs_engine *engine;
	struct zs_thread *thread;
	uint32_t part_count;
	uint32_t first_id;
	unsigned streams; /* in use, by the limit of active zones */
	struct zs_store_zone *zones;
	struct zs_store_part *parts;
	struct zs_store_reset *resets; /* one for each partition */
	uint64_t zones_filled;
	unsigned requests; /* with the device */
	struct zs_blocks_cache cache;

	uint64_t started_ns;
	uint64_t bury_after_ns; /* when to look for entries of dropped groups again */
	uint64_t budget;	/* bytes that may be appended now */
	uint64_t budget_ms;
	uint64_t checked_ms; /* when doors and clocks were last looked at */

	pthread_t pthread;
	bool running;
	bool flushed; /* at the end: the device has answered */
	bool clean;   /* at the end: everything is where it belongs */
	int wake_fd;
	_Atomic bool asleep;
	_Atomic bool stop;

	struct zs_written_set written;
	struct zs_review *review;   /* NULL: nothing gets a second chance */
	struct zs_rebuild *rebuild; /* NULL: nothing is left to be read */
	pthread_mutex_t figures_lock;
	struct zs_store_figures figures; /* under the lock */
};

#define zs_store_count(store, name, n)                        \
	do {                                                  \
		pthread_mutex_lock(&(store)->figures_lock);   \
		(store)->figures.name += (uint64_t)(n);       \
		pthread_mutex_unlock(&(store)->figures_lock); \
	} while (0)

/* ---- numbers ---- */

/* Zones are dealt out to the partitions in turn. */
static inline uint32_t zs_store_zone_of(const struct zs_store *store, uint32_t part, uint32_t id)
{
	return (id - store->first_id) / store->geometry.capacity * store->part_count + part;
}

static inline uint32_t zs_store_block_of(const struct zs_store *store, uint32_t id)
{
	return (id - store->first_id) % store->geometry.capacity;
}

static inline uint32_t zs_store_part_of(const struct zs_store *store, uint32_t zone)
{
	return zone % store->part_count;
}

static inline uint32_t zs_store_id_of(const struct zs_store *store, uint32_t zone, uint32_t block)
{
	return store->first_id + zone / store->part_count * store->geometry.capacity + block;
}

static inline struct zs_image_place zs_store_place(const struct zs_store *store, uint32_t zone, uint32_t block)
{
	return (struct zs_image_place){ zs_journal_tier(store->journal), zs_journal_epoch(store->journal, zone), zone,
					block };
}

/* ---- store.c ---- */

uint64_t zs_store_now_ms(const struct zs_store *store);

/* Notes an error of the device, in the log and for INFO. */
void zs_store_note_error(struct zs_store *store, const char *what, uint32_t zone, enum zs_zone_status status);

/* The journal could not be written to the disk. Any thread. */
void zs_store_journal_failed(struct zs_store *store);

/* Submits a request; it fits, by the limits of each part. */
void zs_store_submit(struct zs_store *store, struct zs_zone_request *request);

void zs_store_wake(struct zs_store *store);

/* ---- demote.c ---- */

int zs_demote_init(struct zs_store *store);
void zs_demote_free(struct zs_store *store);

/* Takes slabs that wait, and writes batches that are full. True if there is more to do at once. */
bool zs_demote_some(struct zs_store *store);
void zs_demote_appended(struct zs_store *store, struct zs_batch *batch);

/* Writes what there is. For the end. True while something is left. */
bool zs_demote_rest(struct zs_store *store);

/* ---- zones.c ---- */

/* Finds out what the device's zones are. ZS_OK or an error. */
int zs_zones_init(struct zs_store *store, char *why, size_t why_size);

/* The zone that a stream is written to; UINT32_MAX if there is none now. */
uint32_t zs_zones_for(struct zs_store *store, uint32_t part, enum zs_stream stream);

/* Whether there is a zone to write to, or one is coming. */
bool zs_zones_can_write(const struct zs_store *store, uint32_t part);

/* An append has ended: the zone has got `blocks` more, or failed. */
void zs_zones_appended(struct zs_store *store, uint32_t zone, uint32_t blocks, enum zs_zone_status status);

/* Gives up a zone of each partition that has too few empty ones. */
void zs_zones_evict(struct zs_store *store);
void zs_zones_reset_done(struct zs_store *store, struct zs_store_reset *reset);

/* An object less lives in the zone. Any thread. */
void zs_zones_count_dead(struct zs_store *store, uint32_t zone);

/* Fills in the figures about zones. */
void zs_zones_count(struct zs_store *store, struct zs_store_figures *figures);

/* ---- blocks.c ---- */

int zs_blocks_init(struct zs_store *store);
void zs_blocks_free(struct zs_store *store);

/* The hook `image` of the engine. Any thread. */
const struct zs_slab *zs_blocks_image(struct zs_store *store, struct zs_store_call *call, uint32_t part, uint32_t id,
				      bool *unreadable);

/* Submits what has been asked for. */
void zs_blocks_submit(struct zs_store *store);
void zs_blocks_read(struct zs_store *store, struct zs_block *block);

/* Nobody is to find blocks of this zone in memory any more. */
void zs_blocks_forget(struct zs_store *store, uint32_t zone);
void zs_blocks_forget_all(struct zs_store *store);

/* ---- review.c ---- */

/* If the options say so. ZS_OK or ZS_ENOMEM. */
int zs_review_init(struct zs_store *store);
void zs_review_free(struct zs_store *store);

/* Goes on to look through a zone that is to be given up. True when it has been looked through. */
bool zs_review_is_done(struct zs_store *store, uint32_t zone);
void zs_review_took(struct zs_store *store, struct zs_zone_request *request);

/* ---- rebuild.c ---- */

/* Looks whether there is something to be read; if so, writes have to be told of from now on. ZS_OK or ZS_ENOMEM. */
int zs_rebuild_begin(struct zs_store *store);

/* Reads on. True if there is more to do at once. */
bool zs_rebuild_step(struct zs_store *store);
void zs_rebuild_took(struct zs_store *store, struct zs_zone_request *request);

/* The hook `written`. Any thread. */
void zs_rebuild_written(struct zs_store *store, uint64_t hash);
void zs_rebuild_free(struct zs_store *store);

#endif
