/*
 * Reads a node's objects by RDMA READ, without the node's processor: the machine of reader_steps.h, whose fetches this
 * driver posts over a connection that belongs to somebody else.
 *
 *   DOWN --begin--> BEGINNING --superblock read--> READY
 *     ^                 |                            |
 *     +----- superblock unfit, or end ---------------+
 *
 * What READs land in is one registered pool (landing.h) that all gets share. A post that finds no room in it, or no
 * READ free on the connection, waits for others to be over. A reader changes while its endpoint is pumped and belongs
 * to the endpoint's thread.
 */
#ifndef ZS_COMMON_RDMA_READER_H
#define ZS_COMMON_RDMA_READER_H

#include "common/rdma.h"
#include "common/reader_steps.h"

struct zs_rdma_reader;

enum zs_rdma_reader_state {
	ZS_RDMA_READER_DOWN,
	ZS_RDMA_READER_BEGINNING,
	ZS_RDMA_READER_READY,
};

/* One key that is being read; the caller's, all zero before its first use, in place while it is under way. */
struct zs_rdma_get {
	enum zs_steps_status status; /* ZS_STEPS_FETCH: under way; ZS_STEPS_HIT or ZS_STEPS_ASK: over */
	struct zs_steps steps;	     /* its result; see there */
	void *owner;		     /* for the caller */
	uint32_t number;	     /* for the caller */
	/* the reader's: */
	struct zs_rdma_reader *reader;
	struct zs_rdma_get *next; /* of those that wait to be posted; the caller's while it is not under way */
	void *landing;
	uint32_t landing_size;
	bool abandoned;
};

/* Called from within zs_rdma_reader_done and zs_rdma_reader_end. Each may be NULL. */
struct zs_rdma_reader_events {
	/* Keys can be read. */
	void (*ready)(void *context);
	/* The memory is not fit to be read, for this reason; the reader is down. */
	void (*unfit)(void *context, const char *why);
	/* A get that was under way when zs_rdma_reader_start returned is over. */
	void (*over)(void *context, struct zs_rdma_get *get);
	void *context;
};

/* What the node said of a session. */
struct zs_rdma_session {
	struct zs_rdma_target target;
	uint64_t incarnation;
	uint64_t sent_ns; /* the time of the endpoint's clock before it was asked */
	uint64_t lease_ms;
	uint64_t node_ms; /* the node's time when it answered */
	uint64_t quarantine_ms;
};

/* Makes a reader that remembers locations in about `location_memory` bytes. The endpoint outlives it. NULL: no memory.
 */
struct zs_rdma_reader *zs_rdma_reader_new(struct zs_rdma *rdma, size_t location_memory,
					  const struct zs_rdma_reader_events *events);

/* No get may be under way. NULL is allowed. Not from within the pump. */
void zs_rdma_reader_free(struct zs_rdma_reader *reader);

/*
 * Begins to read over a connection, whose owner passes `done` on to zs_rdma_reader_done. Only while it is down. ZS_OK:
 * `ready` or `unfit` will come, unless it is ended before. Else it stays down: ZS_EPROTO (what the node said makes no
 * sense), ZS_ENOMEM or ZS_EAGAIN (the connection has no room for a READ), and `why`.
 */
int zs_rdma_reader_begin(struct zs_rdma_reader *reader, struct zs_rdma_connection *connection,
			 const struct zs_rdma_session *session, char *why, size_t why_size);

/*
 * From now on every get asks the node. To be called before the connection is closed; what is under way ends then, with
 * ZS_ASK_FAILED.
 */
void zs_rdma_reader_end(struct zs_rdma_reader *reader);

/* The connection's handler says that READs have ended. */
void zs_rdma_reader_done(struct zs_rdma_reader *reader, void *read, bool ok);

enum zs_rdma_reader_state zs_rdma_reader_state(const struct zs_rdma_reader *reader);

/* What is known of the node; for leases that are granted later. Means something while the reader is ready. */
struct zs_remote *zs_rdma_reader_remote(struct zs_rdma_reader *reader);

/* How many READs were posted, and how many bytes they asked for. */
uint64_t zs_rdma_reader_reads(const struct zs_rdma_reader *reader);
uint64_t zs_rdma_reader_bytes(const struct zs_rdma_reader *reader);

/*
 * Begins to get a key, which stays in place until the get is over; it must not be under way. May be over at once: look
 * at its status. A reader that is not ready gives ZS_STEPS_ASK, for ZS_ASK_LEASE. `now_ns`: of the endpoint's clock,
 * read lately.
 */
void zs_rdma_reader_start(struct zs_rdma_reader *reader, struct zs_rdma_get *get, const void *key, size_t key_size,
			  uint64_t now_ns);

/* Gives back the memory that a hit's value lies in, for which others may wait; so does the get's next start. */
void zs_rdma_reader_release(struct zs_rdma_get *get);

/* The key will go. The get is over later nevertheless, with ZS_STEPS_ASK. Only while it is under way. */
void zs_rdma_reader_abandon(struct zs_rdma_get *get);

#endif
