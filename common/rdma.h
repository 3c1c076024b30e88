/*
 * An RDMA endpoint: reliable connections that carry a stream of bytes both ways by SEND, and over which a client READs
 * a node's arena. Made with librdmacm and libibverbs, which are loaded when an endpoint is opened (rdma_verbs.h).
 *
 * THREADS. An endpoint and all that belongs to it are for one thread. A process has one endpoint for each device: the
 * adapter's asynchronous events come once for each process. A process forks before it opens one, if at all.
 *
 * NOTHING BLOCKS. Whatever happens is taken note of in zs_rdma_pump, which calls the connections' handlers. Between two
 * pumps the owner may wait for zs_rdma_fd to become readable, if zs_rdma_arm said so.
 *
 * LIFE OF A CONNECTION. Each change comes from an event of the connection manager, of the adapter, a completion, or a
 * deadline, and all of them end in the same few functions of rdma_connection.c:
 *
 *   connect --> RESOLVING --> CONNECTING --> READY --+
 *                   |             |                  | disconnected, failed request, deadline, adapter gone
 *   (request) ----------> ACCEPTING --> READY        v
 *                   |             |       |  +--> BROKEN --> zs_rdma_close
 *                   +-------------+-------+--+
 *                                         +-- zs_rdma_revoke
 *
 * BYTES. A message carries up to ZS_RDMA_MESSAGE_SIZE bytes of the stream, and as immediate data how many messages its
 * sender has taken since the last one. Receive buffers are one shared receive queue. Each side tells the other when
 * connecting how many messages it takes before it has said so (the window), so that a peer which does not read costs a
 * bounded number of buffers.
 *
 * INVARIANTS
 *   1. A queue pair is made without any right for its peer. It is given that to read by zs_rdma_grant, when its owner
 *      has authenticated the session, and none other ever: who knows a key of the region but has no session reads
 *      nothing. Where the device has memory windows that work, the session's key is one of a window of its own.
 *   2. The arena is one region; the adapter may read it and not write to it.
 *   3. No memory of a read is touched by the adapter after the end of the read was reported: a broken connection's
 *      queue pair is destroyed before its reads are reported as failed.
 *   4. Every connection ends, within its deadline, whatever the peer does or does not do. But a connection that is
 * ready and over which nothing is sent or read ends only when the peer or its owner ends it: owners send heartbeats.
 *   5. A buffer belongs to the shared receive queue, to one request under way, or to the list of free ones.
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

/* Bytes of the stream in one message; a buffer has this size. */
#define ZS_RDMA_MESSAGE_SIZE 4096u

struct zs_rdma;
struct zs_rdma_connection;
struct zs_rdma_memory;

struct zs_rdma_options {
	unsigned connections;	      /* the most at one time, 1..4096 */
	unsigned reads;		      /* READs under way on one connection, 1..1024 */
	unsigned depth;		      /* of these, with the peer; the devices of both ends may have less; 1..128 */
	unsigned window;	      /* messages of the peer's, of one connection, that are not taken yet; 2..64 */
	unsigned receives;	      /* receive buffers, for all connections; 4..65536 */
	unsigned sends;		      /* send buffers, for all connections; 1..65536 */
	unsigned connect_timeout_ms;  /* for the whole of making a connection */
	unsigned read_timeout_ms;     /* a connection whose read or message takes longer is broken */
	unsigned retry_count;	      /* of the adapter, 0..6; 7 would mean for ever */
	unsigned ack_timeout;	      /* of the adapter, 4.096 us * 2 to this power, 1..31 */
	const struct zs_clock *clock; /* NULL: the system's */
};

/* For one client of one node: 1 connection, 128 reads, depth 16, window 8, 10 and 8 buffers, 3 s, 1 s, 3 retries, 16
 * (0.27 s). */
void zs_rdma_options_init(struct zs_rdma_options *options);

/* A connection's owner. Called from within zs_rdma_pump; only `done` also from zs_rdma_close. */
struct zs_rdma_handler {
	/* It is ready. A listener's owner learns of the connection here. */
	void (*opened)(void *context, struct zs_rdma_connection *connection);
	/* It is broken, for this reason; may have been so before it was ready. To be closed, here or later. */
	void (*ended)(void *context, struct zs_rdma_connection *connection, const char *why);
	/* The next bytes of the stream, valid during the call. */
	void (*received)(void *context, struct zs_rdma_connection *connection, const uint8_t *data, size_t size);
	/* After zs_rdma_send took less than it was given: try again. */
	void (*writable)(void *context, struct zs_rdma_connection *connection);
	/* All READs of a zs_rdma_read have ended: with success, or the connection is broken. */
	void (*done)(void *context, void *read, bool ok);
	void *context; /* of a listener's connections until zs_rdma_connection_set_context */
};

/*
 * Makes an endpoint. ZS_OK, ZS_EINVAL (an option is out of range), ZS_ENOMEM, or ZS_ESYS: this machine has no RDMA
 * libraries or no RDMA device. On error `why` holds a sentence.
 */
int zs_rdma_open(struct zs_rdma **rdma, const struct zs_rdma_options *options, char *why, size_t why_size);

/* Closes all connections, without calling their handlers' `ended`, and everything else. NULL is allowed. */
void zs_rdma_free(struct zs_rdma *rdma);

/* The clock that it goes by. */
const struct zs_clock *zs_rdma_clock(const struct zs_rdma *rdma);

/* Takes note of what has happened and of deadlines. How many things that were: 0 if none. No system call most times. */
unsigned zs_rdma_pump(struct zs_rdma *rdma);

/* Readable when there is something to pump, after zs_rdma_arm. */
int zs_rdma_fd(const struct zs_rdma *rdma);

/* To be called before waiting for the descriptor. False: do not wait, pump. It pumps itself, so handlers are called. */
bool zs_rdma_arm(struct zs_rdma *rdma);

/* Bytes that are pinned for buffers and registered memory, the arena not included; 0 before a device is in use. */
uint64_t zs_rdma_pinned(const struct zs_rdma *rdma);

/* How many connections there are, in whatever state. */
unsigned zs_rdma_connections(const struct zs_rdma *rdma);

/* The name of the device, empty before one is in use. */
const char *zs_rdma_device_name(const struct zs_rdma *rdma);

/* ---- the node's side ---- */

struct zs_rdma_offer {
	void *arena; /* stays mapped while the endpoint lives; writable, or kernels before 6.2 cannot pin it */
	uint64_t arena_size;
	struct zs_rdma_handler handler;
};

/* Where a connection's READs go: bytes of the node's memory, as the adapter names them. */
struct zs_rdma_target {
	uint64_t address;
	uint64_t size;
	uint32_t rkey;
};

/*
 * Listens at an address of an RDMA device (127.0.0.1 is none), or at all of one device with 0.0.0.0. Once for an
 * endpoint. Tries at once whether the device's memory windows work, by a real read, unless the address belongs to no
 * device; then with the first request. ZS_OK, ZS_EINVAL, ZS_ESYS or ZS_ENOMEM, and `why`.
 */
int zs_rdma_listen(struct zs_rdma *rdma, const struct sockaddr_in *address, const struct zs_rdma_offer *offer,
		   char *why, size_t why_size);

/* How many requests for a connection were refused. */
uint64_t zs_rdma_refused(const struct zs_rdma *rdma);

/* Whether sessions get memory windows; means something once a device is in use. */
bool zs_rdma_has_windows(const struct zs_rdma *rdma);

/*
 * Lets the peer read the arena, and says where it is. Whatever is sent after this reaches the peer when it can. For
 * sessions that are authenticated; again for the same connection is fine. ZS_OK; ZS_EPROTO if the connection is not
 * ready (any more); ZS_ESYS if the device refuses.
 */
int zs_rdma_grant(struct zs_rdma_connection *connection, struct zs_rdma_target *target);

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
int zs_rdma_connect(struct zs_rdma *rdma, const struct sockaddr_in *address, const struct zs_rdma_handler *handler,
		    struct zs_rdma_connection **connection, char *why, size_t why_size);

/* Where READs go, as the node said. ZS_OK; ZS_EINVAL if that is no arena. */
int zs_rdma_aim(struct zs_rdma_connection *connection, const struct zs_rdma_target *target);

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
 * Posts READs of the target into the memory, in this order and at once; addresses count from the target's first byte.
 * `read` names them to the handler's `done`, which comes once for all. The time that they may take counts from `now_ns`
 * of the endpoint's clock, which the caller has read lately. ZS_OK; ZS_EAGAIN if that many are not free; ZS_EINVAL if
 * one leaves the target or the memory; ZS_EPROTO if the connection is not ready (any more). Only after ZS_OK will
 * `done` be called.
 */
int zs_rdma_read(struct zs_rdma_connection *connection, const struct zs_rdma_memory *memory,
		 const struct zs_fetch *reads, unsigned count, void *read, uint64_t now_ns);

/* ---- both ---- */

/*
 * Sends the next bytes of the stream, which are copied. Returns how many were taken: less than `size` if the peer's
 * window or the send buffers are used up, and then `writable` will be called; 0 if the connection is not ready.
 */
size_t zs_rdma_send(struct zs_rdma_connection *connection, const void *data, size_t size);

/*
 * Stops to tell the peer that its messages were taken, so that no more than its window still come. Resume undoes it.
 * May be called from within `received`.
 */
void zs_rdma_pause(struct zs_rdma_connection *connection);
void zs_rdma_resume(struct zs_rdma_connection *connection);

/* Ends a connection in whatever state; its reads fail. Frees it at the end of the next pump. */
void zs_rdma_close(struct zs_rdma_connection *connection);

bool zs_rdma_connection_is_ready(const struct zs_rdma_connection *connection);

/* What its handler's functions get from now on. */
void zs_rdma_connection_set_context(struct zs_rdma_connection *connection, void *context);

/* The addresses of both ends; of a connection that was ready. */
void zs_rdma_connection_peer(const struct zs_rdma_connection *connection, struct sockaddr_in *address);
void zs_rdma_connection_local(const struct zs_rdma_connection *connection, struct sockaddr_in *address);

#endif
