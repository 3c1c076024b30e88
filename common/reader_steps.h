/*
 * Reading one key of a remote arena: a machine without I/O, clock or memory of its own.
 *
 *              start                      all fetched                     all fetched
 *   (location known) ----> HOT  --------------------------------------------------------> hit
 *                           | another generation, ended, another key
 *                           v
 *   (not known) -------> BUCKETS ------> OBJECT ---------------------------------------> hit
 *                         ^  | tables   ^  |  ^ shape guessed wrong, or the next candidate
 *                         |  v changed  |  +--+
 *                        PLACE          |  | no candidate was it
 *                                       |  v
 *                                   SECOND_BUCKET
 *
 * A hot read is one round trip (header and slot in one post), a cold one two (the key's first bucket; header and slot),
 * and one more for keys that are in their second bucket, which are few. While a table is replaced all four buckets are
 * fetched at once. A wrong guess of the slab's shape, a second candidate, or a look at the superblock after the tables
 * changed cost one more.
 * Everything else ends with "ask the node": a miss, a failed or slow read, a lease or deadline that may be over, a
 * resize in the way. The number of steps is bounded; nothing is ever read twice in hope of a change.
 *
 * The caller gives memory for a post, as much as it needs; performs all fetches in the order of the array, which is
 * posted at once (RDMA READs of one connection); and reports each one's end. Nothing is kept in that memory from one
 * post to the next. Two kinds of memory to be read are allowed for:
 *   - cache lines are read whole, but in any order among the lines of one post (a network card);
 *   - 8-byte words are read in ascending order, with anything happening between any two (a processor that copies).
 *
 * Why a hit that took less than half the quarantine is right, under either: the generation goes up before the
 * quarantine of a slot begins, and is not filled again before it ends. So the read cannot have seen an object before
 * its end and its slot after it was filled again. An entry seen in a bucket was put there after its slot was filled; a
 * location was remembered from a slot that was filled, and its generation is the same. So the read did not see the slot
 * while it was filled either.
 */
#ifndef ZS_COMMON_READER_STEPS_H
#define ZS_COMMON_READER_STEPS_H

#include "common/remote.h"

/* Bytes to be read: from byte `address` of the arena on. */
struct zs_fetch {
	uint64_t address;
	uint32_t length;
	void *destination; /* in the memory that was given to zs_steps_land */
};

enum zs_steps_status {
	ZS_STEPS_FETCH, /* zs_steps_land, then perform steps->fetches[0 .. fetch_count - 1] */
	ZS_STEPS_WAIT,	/* not all of them have been reported yet */
	ZS_STEPS_HIT,	/* the value is there, and believed */
	ZS_STEPS_ASK,	/* send the node an operation; `reason` says why */
};

/* X(name): why the node has to be asked */
#define ZS_ASK_REASONS(X)                                                                         \
	X(LEASE)     /* there is none, or it ended */                                             \
	X(NOT_FOUND) /* no candidate was it */                                                    \
	X(FAILED)    /* a fetch failed */                                                         \
	X(SLOW)	     /* the read took more than half the quarantine */                            \
	X(EXPIRED)   /* the deadline may have passed */                                           \
	X(CHANGING)  /* the index tables are being replaced, or have places that make no sense */ \
	X(RESTARTED) /* another incarnation answers */

enum zs_ask_reason {
#define ZS_ASK_ENUM(name) ZS_ASK_##name,
	ZS_ASK_REASONS(ZS_ASK_ENUM)
#undef ZS_ASK_ENUM
	    ZS_ASK_COUNT,
};

#define ZS_STEPS_FETCHES 5
#define ZS_STEPS_CANDIDATES 6

/* Of the memory that fetches go to, and the most that one post needs. */
#define ZS_STEPS_ALIGNMENT 64u
#define ZS_STEPS_LANDING_MAX ZS_FRAME_SIZE

struct zs_steps_candidate {
	uint32_t id;
	uint8_t slot;
};

struct zs_steps {
	/* of interest to the caller */
	struct zs_fetch fetches[ZS_STEPS_FETCHES];
	uint32_t fetch_count;
	uint32_t landing_size; /* bytes of memory that they need together */
	uint32_t round_trips;  /* posts so far */
	enum zs_ask_reason reason;
	struct zs_read_value value; /* of a hit */
	const uint8_t *data;	    /* its bytes, in the memory given for the last post */

	/* the machine's own; what a state does not set is not looked at in it, so a read begins without clearing all */
	struct zs_remote *remote;
	const void *key;
	uint32_t key_size;
	uint32_t part;
	uint64_t hash;
	uint64_t started_ns;
	uint32_t state;
	uint32_t pending;
	bool failed;
	bool refreshed; /* the tables' places were read anew for this key */
	bool checks_head;
	bool has_second;	      /* the second bucket was not looked into yet */
	uint32_t attempts;	      /* posts for the present candidate */
	struct zs_remote_shape guess; /* of its slab */
	uint32_t sequence;	      /* of the places by which the buckets are read */
	uint32_t candidate_count;
	uint32_t candidate_next;
	struct zs_steps_candidate candidates[ZS_STEPS_CANDIDATES];
	struct zs_location location; /* that is being followed */
	uint32_t header_bytes;	     /* what has been fetched of a slab: [0, header_bytes) ... */
	uint32_t slot_start;	     /* ... and [slot_start, slot_end) */
	uint32_t slot_end;
	uint32_t slot_at;		    /* where in `landing` the latter is */
	uint32_t offsets[ZS_STEPS_FETCHES]; /* of the fetches in `landing` */
	uint8_t *landing;
};

/*
 * Begins to read a key. `now_ns` is the time of the reader's monotonic clock, taken before anything is posted. The key
 * stays the caller's and in place until the end. Several machines may share a remote, all in one thread.
 * Returns ZS_STEPS_FETCH or ZS_STEPS_ASK.
 */
enum zs_steps_status zs_steps_start(struct zs_steps *steps, struct zs_remote *remote, const void *key, size_t key_size,
				    uint64_t now_ns);

/*
 * Gives memory to the fetches of a post: landing_size bytes, aligned to ZS_STEPS_ALIGNMENT. It may be used for
 * something else once the last of them was reported, but for a hit's: that holds the value.
 */
void zs_steps_land(struct zs_steps *steps, void *memory);

/*
 * Reports the end of one fetch; which one does not matter. `now_ns` was taken after it. Not to be called without a
 * fetch that is under way.
 */
enum zs_steps_status zs_steps_done(struct zs_steps *steps, bool ok, uint64_t now_ns);

/* Ends a read whose fetches cannot be performed, or not all of them; none is under way. ZS_STEPS_ASK: ZS_ASK_FAILED. */
enum zs_steps_status zs_steps_cancel(struct zs_steps *steps);

/* The name of a reason, for people. Never NULL. */
const char *zs_ask_reason_text(enum zs_ask_reason reason);

#endif
