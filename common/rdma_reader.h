/*
 * Reads a node's objects by RDMA READ, without the node's processor: the machine of reader_steps.h, whose fetches this
 * driver posts over one connection of an endpoint. The connection is its owner's, who has asked the node for a session
 * over it (ZS.ATTACH), passes the ends of READs on, and renews the lease.
 *
 * A reader holds some gets, each for one key at a time, so that many can be under way at once. It changes while the
 * endpoint is pumped and belongs to the endpoint's thread.
 */
#ifndef ZS_COMMON_RDMA_READER_H
#define ZS_COMMON_RDMA_READER_H

#include "common/rdma.h"
#include "common/reader_steps.h"

struct zs_rdma_reader;

enum zs_rdma_reader_state {
	ZS_RDMA_READER_DOWN, /* no session; zs_rdma_reader_why tells why */
	ZS_RDMA_READER_BEGINNING,
	ZS_RDMA_READER_READY,
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

struct zs_rdma_get {
	enum zs_steps_status status; /* ZS_STEPS_FETCH: under way; ZS_STEPS_HIT or ZS_STEPS_ASK: over */
	struct zs_steps *steps;	     /* its result; see there */
	struct zs_rdma_reader *reader;
};

/*
 * Makes a reader with `gets` gets (1 to 1024) that remembers locations in about `location_memory` bytes. The endpoint
 * outlives it. NULL: not enough memory.
 */
struct zs_rdma_reader *zs_rdma_reader_new(struct zs_rdma *rdma, unsigned gets, size_t location_memory);

/* NULL is allowed. No read is under way any more: the connection is closed. */
void zs_rdma_reader_free(struct zs_rdma_reader *reader);

/*
 * Begins to read over a connection that is ready. First it reads what has to be known of the node; the state tells when
 * that is done. An earlier session is over. ZS_OK, ZS_EPROTO (what the node said makes no sense), ZS_ENOMEM, or
 * ZS_EAGAIN (the connection has no room for a READ), and `why`.
 */
int zs_rdma_reader_begin(struct zs_rdma_reader *reader, struct zs_rdma_connection *connection,
			 const struct zs_rdma_session *session, char *why, size_t why_size);

/* The session is over, for this reason: from now on every get asks the node. Those under way end by themselves. */
void zs_rdma_reader_end(struct zs_rdma_reader *reader, const char *why);

/* What the connection's handler is told by `done`. */
void zs_rdma_reader_done(struct zs_rdma_reader *reader, void *read, bool ok);

enum zs_rdma_reader_state zs_rdma_reader_state(const struct zs_rdma_reader *reader);

/* Why it is down; empty if there never was a session. */
const char *zs_rdma_reader_why(const struct zs_rdma_reader *reader);

/* What is known of the node; for leases that are granted later. Means something while the reader is ready. */
struct zs_remote *zs_rdma_reader_remote(struct zs_rdma_reader *reader);

/* Get number i, and how many READs were posted for all of them. */
struct zs_rdma_get *zs_rdma_reader_get(struct zs_rdma_reader *reader, unsigned i);
uint64_t zs_rdma_reader_reads(const struct zs_rdma_reader *reader);

/*
 * Begins to get a key, which stays in place until the get is over; it must not be under way. May be over at once:
 * look at its status. A reader that is not ready gives ZS_STEPS_ASK, for ZS_ASK_LEASE.
 */
void zs_rdma_reader_start(struct zs_rdma_get *get, const void *key, size_t key_size);

#endif
