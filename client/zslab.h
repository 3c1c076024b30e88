/*
 * libzslab: a client of ZNS-Slab, a cache for small objects.
 *
 * A `struct zslab` is a handle to one or more nodes. Every key belongs to one of them; the library finds out which.
 * Operations go over TCP or Unix sockets. Reads of a node on the same host are answered from its memory, without a
 * system call and without the node's help, if it allows that (addresses "unix:/path"). Where both hosts have RDMA
 * devices, operations go over RDMA and reads are READs of the node's memory; the socket is there for when that breaks.
 *
 * Two forms, on the same core:
 *
 *   synchronous   zslab_get(), zslab_set(), ...: return when the outcome is known or the deadline has passed
 *   asynchronous  fill a struct zslab_op, zslab_submit() it, fetch what is complete with zslab_poll(); zslab_fd() is
 *                 a descriptor to wait on
 *
 * THREADS. A handle belongs to one thread at a time: calls with the same handle must not overlap. It may be handed from
 * one thread to another. Different handles are independent of each other; a program with several threads opens one
 * handle for each. No function uses signals or starts threads.
 *
 * FORK. A handle belongs to the process that opened it. In a child every call but zslab_close() returns ZSLAB_EFORK;
 * zslab_close() frees the child's copy and does not disturb the parent. Children should close handles they do not need:
 * a connection ends only when all its descriptors are closed.
 *
 * TIMES. Timeouts are in milliseconds. An operation that has not ended by then ends with an error; if it changes
 * something and had been sent, with ZSLAB_EUNKNOWN.
 *
 * REPETITION. When a connection breaks, what had been sent is repeated over a new one only if that is harmless: reads,
 * deletes, and writes without condition and without reading the old value. Everything else ends with ZSLAB_EUNKNOWN: it
 * was done or it was not. A repeated delete may say ZSLAB_ENOTFOUND although its first attempt found the key. Before
 * anything is sent over the new connection the node is told to end the old one (ZS.FENCE), so nothing that it had got
 * over that one is done later. A node that does not know the command: writes are not repeated but end with
 * ZSLAB_EUNKNOWN.
 *
 * ORDER. Operations of one handle on one key are done in the order in which they were submitted, with one exception: a
 * read from a node's memory may come before or after the writes of the same key that are under way with it.
 */
#ifndef ZSLAB_H
#define ZSLAB_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/* Key and value of an object together have at most so many bytes. */
#define ZSLAB_OBJECT_MAX 4032

/* Bytes of a sentence about an error, its final 0 included. */
#define ZSLAB_ERROR_MAX 320

/* X(name, value, text) */
#define ZSLAB_ERRORS(X)                                                                            \
	X(ZSLAB_ENOMEM, -1, "not enough memory")                                                   \
	X(ZSLAB_EINVAL, -2, "an argument is wrong")                                                \
	X(ZSLAB_EAGAIN, -3, "too many operations are in flight; fetch some with zslab_poll first") \
	X(ZSLAB_ENOTFOUND, -4, "no such key")                                                      \
	X(ZSLAB_ECONDITION, -5, "the condition of the write did not hold")                         \
	X(ZSLAB_ETOOBIG, -6, "the object is too big for a slab")                                   \
	X(ZSLAB_ESMALL, -7, "the buffer is too small for the value")                               \
	X(ZSLAB_ETIMEDOUT, -8, "the deadline has passed; nothing was changed")                     \
	X(ZSLAB_EUNREACHABLE, -9, "the node cannot be reached; nothing was changed")               \
	X(ZSLAB_EUNKNOWN, -10, "the outcome is unknown: the operation was sent, and not answered") \
	X(ZSLAB_EAUTH, -11, "the node refuses our password or rights")                             \
	X(ZSLAB_EPROTO, -12, "the peer broke the protocol")                                        \
	X(ZSLAB_ENODE, -13, "the node answered with an error")                                     \
	X(ZSLAB_EFULL, -14, "the node is full and its policy is noeviction")                       \
	X(ZSLAB_ENOTINT, -15, "the value is not an integer")                                       \
	X(ZSLAB_EOVERFLOW, -16, "the increment would overflow")                                    \
	X(ZSLAB_ETRANSPORT, -17, "the transport that was asked for cannot be had")                 \
	X(ZSLAB_EBUSY, -18, "another call with this handle is under way")                          \
	X(ZSLAB_EFORK, -19, "the handle belongs to the parent process")                            \
	X(ZSLAB_ESYS, -20, "a system call failed")

enum zslab_status {
	ZSLAB_OK = 0,
#define ZSLAB_ERROR_ENUM(name, value, text) name = (value),
	ZSLAB_ERRORS(ZSLAB_ERROR_ENUM)
#undef ZSLAB_ERROR_ENUM
};

/* A fixed text for a status. Never NULL. Any thread. */
const char *zslab_error_text(int status);

/* Its name as it stands above ("ZSLAB_EFULL"). Never NULL. Any thread. */
const char *zslab_error_name(int status);

/* ---- the handle ---- */

struct zslab;

enum zslab_via {
	ZSLAB_VIA_AUTO, /* the best that each node offers: its memory if it is on this host, RDMA, else sockets */
	ZSLAB_VIA_SHM,	/* reads over shared memory, or fail to open; all addresses must be "unix:" */
	ZSLAB_VIA_RDMA, /* operations and one-sided reads over RDMA, or fail to open; IPv4 addresses */
	ZSLAB_VIA_TCP,	/* sockets only, TCP or Unix */
};

/* All zero are the defaults. */
struct zslab_options {
	enum zslab_via via;
	const char *user;	     /* NULL: "default" */
	const char *password;	     /* NULL: none */
	const char *client_name;     /* shown in the node's CLIENT LIST; no spaces; NULL: none */
	unsigned timeout_ms;	     /* of operations that do not say; 0: 1000 */
	unsigned connect_timeout_ms; /* of one attempt to connect and log in; 0: 2000 */
	unsigned max_in_flight;	     /* operations submitted and not complete; 0: 1024 */
	int no_wait;		     /* zslab_open() does not wait for connections */
	/*
	 * Called with a sentence when a connection is made or lost, when shared memory or RDMA is attached, refused or
	 * lost; within calls of this library, in their thread. It must not use the handle. NULL: none.
	 */
	void (*log)(void *context, const char *sentence);
	void *log_context;
};

/*
 * Opens a handle to `count` nodes (1 to 1024). Addresses are "host:port", "[ipv6]:port", "host" (port 7379) or
 * "unix:/path/of/socket"; strings and options are copied. A key belongs to the address that holds its slot: CRC16 of
 * the key (or of its {tag}) modulo 16384, in equal contiguous ranges over the addresses in their order. All clients of
 * the same nodes must name them in the same order.
 *
 * Waits up to connect_timeout_ms for the nodes (not with no_wait) and fails if none can be reached, or if one refuses
 * us; nodes that are down are connected later. Host names are looked up here, and again when all addresses found have
 * failed; that may take as long as the resolver does.
 *
 * ZSLAB_OK; ZSLAB_EINVAL, ZSLAB_EUNREACHABLE, ZSLAB_EAUTH, ZSLAB_EPROTO, ZSLAB_ETRANSPORT, ZSLAB_ENOMEM, ZSLAB_ESYS,
 * and a sentence in `why` (ZSLAB_ERROR_MAX bytes are enough; may be NULL if why_size is 0). The caller closes the
 * handle.
 */
int zslab_open(struct zslab **handle, const char *const *addresses, size_t count, const struct zslab_options *options,
	       char *why, size_t why_size);

/* Closes it; NULL is fine. Operations in flight are forgotten: their memory is the caller's again, their outcome
 * unknown. */
void zslab_close(struct zslab *handle);

/*
 * A sentence about the last operation of this handle that failed: which node and transport, what failed, what to do.
 * Valid until the next call with the handle. Empty if none has failed. Never NULL.
 */
const char *zslab_error(const struct zslab *handle);

/* What the handle has done since it was opened. */
struct zslab_counters {
	uint64_t operations;	/* submitted */
	uint64_t shm_hits;	/* reads answered from a node's memory */
	uint64_t shm_misses;	/* not found there; the node was asked */
	uint64_t shm_doubts;	/* could not be told from there; the node was asked */
	uint64_t requests;	/* sent over sockets, repetitions included */
	uint64_t repeated;	/* sent again after a connection broke */
	uint64_t unknown;	/* ended with ZSLAB_EUNKNOWN */
	uint64_t timed_out;	/* ended because of their deadline */
	uint64_t connects;	/* connections for operations, made and logged in */
	uint64_t disconnects;	/* of these, lost */
	uint64_t attaches;	/* mappings of a node's memory */
	uint64_t detaches;	/* of these, lost */
	uint64_t feedback;	/* batches of sampled reads told to nodes */
	uint64_t rdma_hits;	/* keys read from a node's memory over RDMA */
	uint64_t rdma_asks;	/* keys for which the node was asked, after its memory had been read or could not be */
	uint64_t rdma_reads;	/* RDMA READs for these */
	uint64_t rdma_bytes;	/* bytes that these READs asked for */
	uint64_t rdma_attaches; /* sessions over RDMA */
	uint64_t rdma_detaches; /* of these, lost */
};

/* ZSLAB_OK, ZSLAB_EBUSY or ZSLAB_EFORK. */
int zslab_counters(struct zslab *handle, struct zslab_counters *counters);

struct zslab_node_state {
	const char *address;	/* as given to zslab_open */
	int connected;		/* operations can be sent */
	int attached;		/* reads are answered from its memory */
	const char *reads;	/* how reads go now: "shm", "rdma", "tcp", "unix" or "none" */
	const char *problem;	/* why it is not connected or not attached; empty if there is nothing to say */
	const char *operations; /* how everything else goes now: "rdma", "tcp", "unix" or "none" */
};

/* How many nodes the handle has. */
size_t zslab_node_count(const struct zslab *handle);

/* The number of the node to which a key belongs. */
size_t zslab_node_of(const struct zslab *handle, const void *key, size_t key_size);

/* The state of a node; texts are valid until the next call with the handle. ZSLAB_OK, ZSLAB_EINVAL, ZSLAB_EBUSY,
 * ZSLAB_EFORK. */
int zslab_node_state(struct zslab *handle, size_t node, struct zslab_node_state *state);

/* ---- operations ---- */

enum zslab_kind {
	ZSLAB_GET = 1,	 /* key; buffer (optional) -> size. ZSLAB_ENOTFOUND, ZSLAB_ESMALL (size says what is needed) */
	ZSLAB_MGET,	 /* items, item_count */
	ZSLAB_SET,	 /* key, value, flags, expiry, time, compare, group; with ZSLAB_GET_OLD: buffer -> size */
	ZSLAB_DELETE,	 /* key. ZSLAB_ENOTFOUND */
	ZSLAB_INCREMENT, /* key, delta -> number; the key is made if it is not there */
	ZSLAB_EXPIRE, /* key, expiry, time, flags; no expiry: the object lives until it is evicted. ZSLAB_ENOTFOUND */
	ZSLAB_TOUCH,  /* key: counts as a use of the object. ZSLAB_ENOTFOUND */
	ZSLAB_DROP,   /* group: ends its objects on all nodes -> number of objects */
	ZSLAB_STATS,  /* node, key (a section of INFO, or empty); buffer -> size, text without final 0 */
	ZSLAB_PING,   /* node */
};

enum zslab_flags {
	ZSLAB_IF_ABSENT = 1 << 0,  /* SET: only if there is no such key */
	ZSLAB_IF_PRESENT = 1 << 1, /* SET: only if there is one */
	ZSLAB_IF_EQUAL = 1 << 2,   /* SET: only if its value is `compare` */
	ZSLAB_KEEP_TTL = 1 << 3,   /* SET: the deadline stays as it is */
	ZSLAB_GET_OLD = 1 << 4, /* SET: the value that was there goes to buffer; `found` says whether there was one */
	ZSLAB_TTL_ABSENT = 1 << 5,  /* EXPIRE: only if it has no deadline */
	ZSLAB_TTL_PRESENT = 1 << 6, /* EXPIRE: only if it has one */
	ZSLAB_TTL_GREATER = 1 << 7, /* EXPIRE: only if the new one is later */
	ZSLAB_TTL_LESS = 1 << 8,    /* EXPIRE: only if the new one is earlier */
};

/* What `time` means. */
enum zslab_expiry {
	ZSLAB_NO_EXPIRY,
	ZSLAB_EX,   /* seconds from now */
	ZSLAB_PX,   /* milliseconds from now */
	ZSLAB_EXAT, /* seconds since 1970 */
	ZSLAB_PXAT, /* milliseconds since 1970 */
};

/* One key of a multi-get. Unused fields are 0. */
struct zslab_item {
	const void *key;
	size_t key_size;
	void *buffer; /* for the value; may be NULL if buffer_size is 0 */
	size_t buffer_size;
	/* out: */
	size_t size;   /* of the value */
	int status;    /* ZSLAB_OK, ZSLAB_ENOTFOUND, ZSLAB_ESMALL, or why this key could not be read */
	uint32_t next; /* the library's */
};

/*
 * An operation. Unused fields are 0; initialise all of it before its first use. It and everything it points to belong
 * to the library from zslab_submit() until it is complete, and may not be changed or freed; then it can be used again.
 */
struct zslab_op {
	enum zslab_kind kind;
	unsigned flags; /* enum zslab_flags */
	const void *key;
	size_t key_size;
	const void *value;
	size_t value_size;
	const void *compare;
	size_t compare_size;
	const void *group;
	size_t group_size;
	enum zslab_expiry expiry;
	unsigned timeout_ms; /* from zslab_submit on; 0: the handle's */
	int64_t time;
	int64_t delta;
	struct zslab_item *items;
	size_t item_count;
	void *buffer;
	size_t buffer_size;
	size_t node;
	void *user; /* not touched */
	/* out: */
	int status; /* of MGET: ZSLAB_OK if every key is known to be there or not */
	int found;
	size_t size;
	int64_t number;
	char
	    error[ZSLAB_ERROR_MAX]; /* a sentence if status is an error other than NOTFOUND and CONDITION, else empty */
	/* the library's: */
	struct {
		struct zslab_op *next;
		struct zslab_op *previous;
		uint64_t deadline_ns;
		unsigned parts;
		unsigned state;
	} own;
};

/*
 * Begins an operation. 1: it is complete already (a read answered from shared memory) and zslab_poll() will not
 * return it. 0: zslab_poll() will. Less: refused, nothing was done; ZSLAB_EINVAL, ZSLAB_ETOOBIG, ZSLAB_EAGAIN,
 * ZSLAB_ENOMEM, ZSLAB_EBUSY, ZSLAB_EFORK. While answers are awaited, requests are collected and sent together by the
 * next zslab_poll() or when there are 16 KB of them.
 */
int zslab_submit(struct zslab *handle, struct zslab_op *op);

/*
 * Sends, receives, and gives up to `max` complete operations. Waits until there is one, at most timeout_ms (0: not at
 * all; negative: as long as any is in flight). How many were stored in `ops`, or ZSLAB_EBUSY, ZSLAB_EFORK, ZSLAB_ESYS.
 */
int zslab_poll(struct zslab *handle, struct zslab_op **ops, size_t max, int timeout_ms);

/*
 * A descriptor that is readable (poll, epoll) when zslab_poll(handle, ops, max, 0) has something to do; deadlines and
 * reconnecting included. It is the handle's: do not read or close it.
 */
int zslab_fd(struct zslab *handle);

/* ---- the same, one at a time ---- */
/*
 * Each fills an operation, submits it and waits for it with the handle's timeout. They return its status. Other
 * operations in flight go on meanwhile; those that complete are kept for zslab_poll().
 */

/* The value stays valid until the next call with the handle. ZSLAB_ENOTFOUND. */
int zslab_get(struct zslab *handle, const void *key, size_t key_size, const void **value, size_t *size);

/* Copies the value; ZSLAB_ESMALL copies what fits. *size is the size of the whole value either way. */
int zslab_get_into(struct zslab *handle, const void *key, size_t key_size, void *buffer, size_t buffer_size,
		   size_t *size);

/* Reads many keys, of all nodes at the same time. ZSLAB_OK if every item is OK, NOTFOUND or ESMALL. */
int zslab_mget(struct zslab *handle, struct zslab_item *items, size_t count);

/* Writes; it lives ttl_ms milliseconds, or until it is evicted if that is 0. */
int zslab_set(struct zslab *handle, const void *key, size_t key_size, const void *value, size_t value_size,
	      int64_t ttl_ms);

/* As zslab_set, if there is no such key, or if there is one. ZSLAB_ECONDITION. */
int zslab_add(struct zslab *handle, const void *key, size_t key_size, const void *value, size_t value_size,
	      int64_t ttl_ms);
int zslab_replace(struct zslab *handle, const void *key, size_t key_size, const void *value, size_t value_size,
		  int64_t ttl_ms);

/* As zslab_set, if the value is `old`. ZSLAB_ECONDITION. */
int zslab_compare_and_set(struct zslab *handle, const void *key, size_t key_size, const void *old, size_t old_size,
			  const void *value, size_t value_size, int64_t ttl_ms);

/* ZSLAB_ENOTFOUND */
int zslab_delete(struct zslab *handle, const void *key, size_t key_size);

/* Adds `by` and stores the sum in *number (may be NULL). ZSLAB_ENOTINT, ZSLAB_EOVERFLOW. */
int zslab_increment(struct zslab *handle, const void *key, size_t key_size, int64_t by, int64_t *number);

/* It ends in ttl_ms milliseconds; 0: only when it is evicted. ZSLAB_ENOTFOUND. */
int zslab_expire(struct zslab *handle, const void *key, size_t key_size, int64_t ttl_ms);

/* ZSLAB_ENOTFOUND */
int zslab_touch(struct zslab *handle, const void *key, size_t key_size);

/* Ends all objects of a group, on all nodes; *count (may be NULL): how many there were. */
int zslab_drop(struct zslab *handle, const void *group, size_t group_size, int64_t *count);

/* The node's INFO text, ended by 0. `section` may be NULL. ZSLAB_ESMALL: *size (may be NULL) is what is needed. */
int zslab_stats(struct zslab *handle, size_t node, const char *section, char *text, size_t text_size, size_t *size);

int zslab_ping(struct zslab *handle, size_t node);

/* Runs any operation: zslab_submit() and the wait for its end. */
int zslab_run(struct zslab *handle, struct zslab_op *op);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif
