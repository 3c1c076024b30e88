/*
 * Reads a node's objects by RDMA READ, without the node's processor: the machine of reader_steps.h, whose fetches this
 * driver posts, over one connection of an endpoint.
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
	ZS_RDMA_READER_DOWN, /* not connected; zs_rdma_reader_why tells why */
	ZS_RDMA_READER_CONNECTING,
	ZS_RDMA_READER_READY,
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

/* Ends the connection too. NULL is allowed. Not from within the pump. */
void zs_rdma_reader_free(struct zs_rdma_reader *reader);

/*
 * Begins to connect, and to read what has to be known of the node. An earlier connection is ended: what is under way
 * on it ends with ZS_ASK_FAILED. ZS_OK, or an error of zs_rdma_connect and `why`. Not from within the pump.
 */
int zs_rdma_reader_connect(struct zs_rdma_reader *reader, const struct sockaddr_in *address, const uint8_t *token,
			   char *why, size_t why_size);

/* Ends the connection: from now on every get asks the node. Not from within the pump. */
void zs_rdma_reader_disconnect(struct zs_rdma_reader *reader);

enum zs_rdma_reader_state zs_rdma_reader_state(const struct zs_rdma_reader *reader);

/* Why it is down; empty if it never was connected. */
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
