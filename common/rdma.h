/*
 * An RDMA endpoint: reliable connections over which clients READ a node's arena, made with librdmacm and libibverbs.
 *
 * THREADS. An endpoint and all that belongs to it are for one thread. A process has one endpoint: the adapter's
 * asynchronous events come once for each process. A process forks before it opens one, if at all.
 *
 * NOTHING BLOCKS. Whatever happens is taken note of in zs_rdma_pump, which calls the connections' handlers. Between two
 * pumps the owner may wait for zs_rdma_fd to become readable, if zs_rdma_arm said so.
 *
 * LIFE OF A CONNECTION. Each change comes from an event of the connection manager, of the adapter, a completion, or a
 * deadline, and all of them end in the same few functions of rdma_connection.c:
 *
 *   connect --> RESOLVING --> CONNECTING --> READY --+
 *                   |             |                  | disconnected, failed read, deadline, adapter gone
 *   (request) ----------> ACCEPTING --> READY        v
 *                   |             |       |  +--> BROKEN --> zs_rdma_close
 *                   +-------------+-------+--+
 *                                         +-- zs_rdma_revoke
 *
 * INVARIANTS
 *   1. A queue pair is made without any right for its peer. It is given that to read when the session is authenticated,
 *      and none other ever: who knows a key of the region but has no session reads nothing.
 *   2. The arena is one region; the adapter may read it and not write to it.
 *   3. No memory of a read is touched by the adapter after the end of the read was reported: a broken connection's
 *      queue pair is destroyed before its reads are reported as failed.
 *   4. Every connection ends, within its deadline, whatever the peer does or does not do.
 */
#ifndef ZS_COMMON_RDMA_H
#define ZS_COMMON_RDMA_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/rdma_message.h"
#include "common/reader_steps.h"

struct zs_rdma;
struct zs_rdma_connection;
struct zs_rdma_memory;

struct zs_rdma_options {
	unsigned connections;	      /* the most at one time, 1..4096 */
	unsigned reads;		      /* READs under way on one connection, 1..1024 */
	unsigned depth;		      /* of these, with the peer; the devices of both ends may have less; 1..128 */
	unsigned connect_timeout_ms;  /* for the whole of making a connection */
	unsigned read_timeout_ms;     /* a connection whose read takes longer is broken */
	unsigned retry_count;	      /* of the adapter, 0..6; 7 would mean for ever */
	unsigned ack_timeout;	      /* of the adapter, 4.096 us * 2 to this power, 1..31 */
	const struct zs_clock *clock; /* NULL: the system's */
};

/* 64 connections, 64 reads, depth 16, 3 s, 1 s, 3 retries, 16 (0.27 s). */
void zs_rdma_options_init(struct zs_rdma_options *options);

/* A connection's owner. Called from within zs_rdma_pump; only `done` also from zs_rdma_close. */
struct zs_rdma_handler {
	/* It is ready. A listener's owner learns of the connection here. */
	void (*opened)(void *context, struct zs_rdma_connection *connection);
	/* It is broken, for this reason; may have been so before it was ready. To be closed, here or later. */
	void (*ended)(void *context, struct zs_rdma_connection *connection, const char *why);
	/* All READs of a zs_rdma_read have ended: with success, or the connection is broken. */
	void (*done)(void *context, void *read, bool ok);
	void *context;
};

/*
 * Makes an endpoint. ZS_OK, ZS_EINVAL (an option is out of range), ZS_ENOMEM, or ZS_ESYS: this machine has no RDMA
 * device. On error `why` holds a sentence.
 */
int zs_rdma_open(struct zs_rdma **rdma, const struct zs_rdma_options *options, char *why, size_t why_size);

/* Closes all connections, without calling their handlers' `ended`, and everything else. NULL is allowed. */
void zs_rdma_free(struct zs_rdma *rdma);

/* The clock that it goes by. */
const struct zs_clock *zs_rdma_clock(const struct zs_rdma *rdma);

/* Takes note of what has happened and of deadlines. How many things that were: 0 if none. */
unsigned zs_rdma_pump(struct zs_rdma *rdma);

/* Readable when there is something to pump, after zs_rdma_arm. */
int zs_rdma_fd(const struct zs_rdma *rdma);

/* To be called before waiting for the descriptor. False: do not wait, pump. */
bool zs_rdma_arm(struct zs_rdma *rdma);

/* ---- the node's side ---- */

struct zs_rdma_offer {
	void *arena; /* stays mapped while the endpoint lives; writable, or kernels before 6.2 cannot pin it */
	uint64_t arena_size;
	uint64_t incarnation;
	uint32_t quarantine_ms;
	uint32_t lease_ms; /* of each new connection */
	uint8_t token[ZS_RDMA_TOKEN_SIZE];
	struct zs_rdma_handler handler;
};

/*
 * Listens at an address of an RDMA device (127.0.0.1 is none), or at all of one device with 0.0.0.0. Who connects with
 * the offer's token can read the arena. Once for an endpoint. ZS_OK, ZS_EINVAL, ZS_ESYS or ZS_ENOMEM, and `why`.
 */
int zs_rdma_listen(struct zs_rdma *rdma, const struct sockaddr_in *address, const struct zs_rdma_offer *offer,
		   char *why, size_t why_size);

/* How many requests for a connection were refused. */
uint64_t zs_rdma_refused(const struct zs_rdma *rdma);

/*
 * From the return on, nothing is read over this connection any more. The peer is not told: it sees silence until
 * zs_rdma_close. The handler's `ended` is not called.
 */
void zs_rdma_revoke(struct zs_rdma_connection *connection);

/* ---- the client's side ---- */

/*
 * Begins to connect. Ends with the handler's `opened` or `ended`. ZS_OK and *connection; else ZS_EAGAIN (as many as
 * allowed exist), ZS_ENOMEM or ZS_ESYS, and `why`.
 */
int zs_rdma_connect(struct zs_rdma *rdma, const struct sockaddr_in *address, const uint8_t *token,
		    const struct zs_rdma_handler *handler, struct zs_rdma_connection **connection, char *why,
		    size_t why_size);

/* What the node said; of a connection that was ready. */
const struct zs_rdma_welcome *zs_rdma_connection_welcome(const struct zs_rdma_connection *connection);

/* The time of the endpoint's clock before the connection was asked for: a lease of the welcome counts from it. */
uint64_t zs_rdma_connection_begun_ns(const struct zs_rdma_connection *connection);

/* How many READs may be under way with the peer, as negotiated; of a connection that was ready. */
unsigned zs_rdma_connection_depth(const struct zs_rdma_connection *connection);

/*
 * Registers memory for READs to go to. After a connection of the endpoint was ready; before that ZS_EAGAIN.
 * ZS_ENOMEM: it cannot be pinned (see ulimit -l). To be given back before the endpoint is freed, and after all reads
 * to it have ended.
 */
int zs_rdma_memory_add(struct zs_rdma *rdma, void *base, size_t size, struct zs_rdma_memory **memory);
void zs_rdma_memory_remove(struct zs_rdma_memory *memory);

/*
 * Posts READs of the peer's arena into the memory, in this order and at once. `read` names them to the handler's
 * `done`, which comes once for all. ZS_OK; ZS_EAGAIN if that many are not free; ZS_EINVAL if one leaves the arena or
 * the memory; ZS_EPROTO if the connection is not ready (any more). Only after ZS_OK will `done` be called.
 */
int zs_rdma_read(struct zs_rdma_connection *connection, const struct zs_rdma_memory *memory,
		 const struct zs_fetch *reads, unsigned count, void *read);

/* ---- both ---- */

/* Ends a connection in whatever state; its reads fail. Frees it at the end of the next pump. */
void zs_rdma_close(struct zs_rdma_connection *connection);

bool zs_rdma_connection_is_ready(const struct zs_rdma_connection *connection);

#endif
