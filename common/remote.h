/*
 * What a remote reader knows of one node's memory: where its tables are, what its slabs look like, how long its own
 * lease lasts, and what time it is there.
 *
 * A `struct zs_remote` belongs to one thread at a time. All times are in nanoseconds of the reader's own monotonic
 * clock; none is compared with a clock of the node but by way of durations, and clocks may differ in rate by
 * ZS_CLOCK_RATE_PERCENT.
 */
#ifndef ZS_COMMON_REMOTE_H
#define ZS_COMMON_REMOTE_H

#include "common/locations.h"
#include "common/reader.h"

#define ZS_CLOCK_RATE_PERCENT 15u

#define ZS_REMOTE_SHAPES 256

/* How a slab was laid out when it was last seen. */
struct zs_remote_shape {
	uint64_t slab; /* partition and id, plus 1; 0: nothing known */
	uint64_t identity;
	uint64_t lifetime;
};

struct zs_remote_part {
	struct zs_partition_place place; /* sound: everything it leads to lies in the arena */
	uint32_t sequence;		 /* of the superblock, as of which it was read */
	bool verified;			 /* the sequence was seen to be the same after it was read */
};

struct zs_remote {
	uint64_t incarnation;
	uint64_t seed;
	uint64_t arena_size;
	uint64_t quarantine_ns;
	uint32_t partitions;
	uint32_t sequence;     /* of the superblock, as seen last */
	uint64_t confirmed_ns; /* a read that saw it was posted then; 0: none yet */
	bool restarted;	       /* another incarnation was seen: nothing is believed any more */
	uint64_t lease_until_ns;
	uint64_t node_ms; /* the node's time when it granted the lease ... */
	uint64_t sent_ns; /* ... which was asked for at this time of ours */
	struct zs_locations *locations;
	uint32_t span;	     /* header and slot are fetched as one where both lie within so many bytes; 0: where near */
	uint32_t misguesses; /* rises when a slab's shape was guessed wrong, falls when it was guessed right */
	struct zs_remote_shape latest;
	struct zs_remote_shape shapes[ZS_REMOTE_SHAPES];
	struct zs_remote_part parts[ZS_PARTITIONS_MAX];
};

/*
 * Begins with what the superblock says: a copy of the first ZS_FRAME_SIZE bytes of an arena that has `size` bytes.
 * `locations` is a cache of the caller's, emptied here; it outlives the remote; NULL for none. There is no lease yet,
 * so nothing is believed before zs_remote_lease. ZS_OK; ZS_EPROTO if this is no arena or its tables lie outside of it;
 * ZS_EAGAIN if the tables were just changing. On error `why` holds a sentence. The node's quarantine of 0 is ZS_EPROTO:
 * it expects no remote readers.
 */
int zs_remote_init(struct zs_remote *remote, const void *superblock, uint64_t size, struct zs_locations *locations,
		   char *why, size_t why_size);

/*
 * A lease of `duration_ns` was granted, at the node's time `node_ms`; it was asked for at our time `sent_ns`. Replaces
 * an earlier one.
 */
void zs_remote_lease(struct zs_remote *remote, uint64_t sent_ns, uint64_t duration_ns, uint64_t node_ms);

/* Believes nothing from now on, until another lease comes. For when the connection is in doubt. */
void zs_remote_revoke(struct zs_remote *remote);

/* The latest that the node's clock can show at our time `now_ns`, in milliseconds since 1970. */
uint64_t zs_remote_node_ms(const struct zs_remote *remote, uint64_t now_ns);

/* Whether a read that was begun before the first of these times and ended before the second is to be believed. */
bool zs_remote_is_timely(const struct zs_remote *remote, uint64_t started_ns, uint64_t now_ns);

/* Whether the tables of this partition are known to be in force until a read begun at `now_ns` is over. */
bool zs_remote_is_confirmed(const struct zs_remote *remote, const struct zs_remote_part *part, uint64_t now_ns);

/* The layout of a slab as it was last seen, else that of the slab seen last; `slab` is 0 if there was none. */
const struct zs_remote_shape *zs_remote_guess(const struct zs_remote *remote, uint32_t partition, uint32_t id);

/* Whether guesses were right lately. If not, whole slabs are better fetched at once than parts of them twice. */
bool zs_remote_trusts_guesses(const struct zs_remote *remote);
void zs_remote_note_guess(struct zs_remote *remote, bool right);

void zs_remote_note_shape(struct zs_remote *remote, uint32_t partition, uint32_t id, uint64_t identity,
			  uint64_t lifetime);

#endif
