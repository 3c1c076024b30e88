/*
 * The warm store: slabs that leave memory are written to zones, read back by block, and given up zone by zone.
 *
 * The store has a thread of its own, which owns the device. Workers meet it in three places: slabs that the engine
 * sends out (server/engine/warm.h), blocks that an operation needs (struct zs_store_call), and copies on flash that a
 * write made dead (the journal).
 *
 * READING. An operation runs with a call. A block that it needs and that is not in the store's cache is asked for, and
 * the operation ends with ZS_EWARM. When zs_store_call_is_ready says so it is run again, with the same call: what it
 * asked for stays in memory until zs_store_call_clear. The waiter's `wake` is called when a block has come.
 *
 * THREADS. zs_store_open and zs_store_close belong to one thread, with no worker attached to the engine. A call belongs
 * to one thread at a time. zs_store_figures may be called by any.
 */
#ifndef ZS_SERVER_TIER_STORE_H
#define ZS_SERVER_TIER_STORE_H

#include "server/tier/group_map.h"
#include "server/tier/journal.h"
#include "server/tier/zone_device.h"

struct zs_engine;
struct zs_store;
struct zs_store_call;

/* Workers that can be woken. */
#define ZS_STORE_WAITERS_MAX 128u

struct zs_store_options {
	struct zs_zone_device *device; /* closed by the store, also when it cannot be opened */
	struct zs_journal *journal;    /* the same */
	struct zs_group_map *groups;   /* the same */
	struct zs_engine *engine;      /* opened with the device's zones, the journal's seed and buckets */
	uint64_t daily_bytes;	       /* most bytes appended in a day, on average; 0: any number */
	bool second_chance;	       /* read zones before they are given up, and keep what was read lately */
	uint32_t cache_blocks;	       /* of 4 KB, for what is being read */
	void (*wake)(void *context, unsigned waiter);
	void *context;
};

/* No budget, no second chance, 1,024 blocks. */
void zs_store_options_init(struct zs_store_options *options);

/* ZS_OK, ZS_EINVAL, ZS_ENOMEM or ZS_ESYS; then `why` holds a sentence for the operator. */
int zs_store_open(const struct zs_store_options *options, struct zs_store **store, char *why, size_t why_size);

/* Ends what is under way. `clean`: the next start finds all that was written. */
void zs_store_close(struct zs_store *store, bool clean);

/*
 * To be called before replies to what was done are sent: where the journal is durable, what they say outlives the host.
 * Any thread. May take a millisecond or more then.
 */
void zs_store_settle(struct zs_store *store);

/* ---- calls ---- */

/* Of worker `waiter`, below ZS_STORE_WAITERS_MAX. NULL if memory is out. */
struct zs_store_call *zs_store_call_new(struct zs_store *store, unsigned waiter);
void zs_store_call_free(struct zs_store_call *call);

/* Whether everything asked for has come. */
bool zs_store_call_is_ready(const struct zs_store_call *call);

/* Whether it holds as much as a call may: what was asked for beyond that will not come. */
bool zs_store_call_is_full(const struct zs_store_call *call);

/* Lets go of what was asked for. No view into it may be used any more. */
void zs_store_call_clear(struct zs_store_call *call);

/* ---- figures ---- */

/* Streams: objects that end at about the same time share zones. */
enum zs_stream {
	ZS_STREAM_SHORT, /* within minutes */
	ZS_STREAM_DAY,	 /* within a day */
	ZS_STREAM_LONG,
	ZS_STREAMS,
};

enum zs_store_zone_state {
	ZS_STORE_EMPTY,
	ZS_STORE_OPEN,
	ZS_STORE_FULL,
	ZS_STORE_EVICTING,
	ZS_STORE_READ_ONLY, /* or it could not be reset or written to */
	ZS_STORE_OFFLINE,
	ZS_STORE_ZONE_STATES,
};

struct zs_store_figures {
	uint64_t zones;
	uint64_t zones_by_state[ZS_STORE_ZONE_STATES];
	uint64_t zones_by_stream[ZS_STREAMS]; /* empty ones not counted */
	uint64_t zone_bytes;

	uint64_t objects;	/* in zones, dead ones not counted; about */
	uint64_t written_bytes; /* in zones that have something */

	/* since the start */
	uint64_t appended_bytes;
	uint64_t admitted_objects;
	uint64_t admitted_bytes; /* objects with their slots: keys and values, and a byte for a deadline */
	uint64_t dead_bytes;	 /* of objects that were dead before they had been written; about */
	uint64_t budget_bytes;	 /* that may be appended now; UINT64_MAX: any number */
	uint64_t seconds;	 /* since the start */
	uint64_t images;
	uint64_t reads;
	uint64_t reads_bad; /* failed, or not what was written there */
	uint64_t cache_hits;
	uint64_t resets;
	uint64_t given_up_objects;
	uint64_t append_errors;
	uint64_t read_errors;
	uint64_t reset_errors;
	uint64_t journal_errors;
	uint64_t marks_used; /* chunks of the journal */
	uint64_t marks_room;
	uint64_t budget_refusals; /* times at which the budget shut the door */

	/* restart */
	const char *start; /* "new", "clean", "crashed" or "cold" */
	bool rebuilding;
	uint64_t rebuilt_zones;
	uint64_t rebuilt_bytes;
	uint64_t rebuilt_objects;
	uint64_t rebuild_ms;
	char last_error[96]; /* the last error of the device, empty if there was none */
};

void zs_store_figures(struct zs_store *store, struct zs_store_figures *figures);

#endif
