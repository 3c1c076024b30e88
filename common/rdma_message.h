/*
 * What the two ends of an RDMA connection tell each other while it is made: the private data of the connection
 * manager's messages. Nothing of it is believed before it was checked here.
 *
 *   client -> node  hello     which layout it can read, and how many messages it takes
 *   node -> client  welcome   how many messages the node takes
 *   node -> client  refusal   why there is no welcome
 *
 * Who the client is, and what it may do, is told over the connection.
 *
 * Integers are little-endian. The connection manager pads what it sends with zeros up to a fixed size, so a message
 * carries its own size, and only zeros may follow it.
 */
#ifndef ZS_COMMON_RDMA_MESSAGE_H
#define ZS_COMMON_RDMA_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#define ZS_RDMA_PROTOCOL 2u

struct zs_rdma_prefix {
	uint64_t magic; /* another one for each kind of message */
	uint16_t protocol;
	uint16_t size; /* of the whole message */
	uint32_t layout;
};

/* Hello and welcome are one shape with two magic numbers. */
struct zs_rdma_hello {
	struct zs_rdma_prefix prefix;
	uint32_t window; /* messages that its sender takes before it has said so, ZS_RDMA_WINDOW_MIN to _MAX */
	uint32_t zero;
};

#define ZS_RDMA_WINDOW_MIN 2u
#define ZS_RDMA_WINDOW_MAX 64u

/* X(name, text) */
#define ZS_RDMA_REFUSALS(X)                                                      \
	X(MESSAGE, "the node cannot read what this client sent when connecting") \
	X(LAYOUT, "the node's memory has another layout version")                \
	X(FULL, "the node has as many connections as it may have")               \
	X(FAILED, "the node could not set up the connection; see its log")

enum zs_rdma_refused {
#define ZS_RDMA_REFUSED_ENUM(name, text) ZS_RDMA_REFUSED_##name,
	ZS_RDMA_REFUSALS(ZS_RDMA_REFUSED_ENUM)
#undef ZS_RDMA_REFUSED_ENUM
	    ZS_RDMA_REFUSED_COUNT,
};

struct zs_rdma_refusal {
	struct zs_rdma_prefix prefix;
	uint32_t reason; /* enum zs_rdma_refused */
	uint32_t zero;
};

/* InfiniBand's connection manager leaves this much of a request to its users; answers may be longer. */
#define ZS_RDMA_REQUEST_MAX 56u
_Static_assert(sizeof(struct zs_rdma_hello) <= ZS_RDMA_REQUEST_MAX, "a hello fits a connection request");

enum zs_rdma_greeting {
	ZS_RDMA_HELLO,
	ZS_RDMA_WELCOME,
};

void zs_rdma_hello_make(struct zs_rdma_hello *hello, enum zs_rdma_greeting kind, uint32_t window);
void zs_rdma_refusal_make(struct zs_rdma_refusal *refusal, enum zs_rdma_refused reason);

/*
 * Copies a message out of the `size` bytes that came, which may be any bytes. ZS_OK; else ZS_EPROTO, and in `why` what
 * is wrong with it, and nothing is copied. But a hello that is right but for its layout version is ZS_EPROTO and
 * copied.
 */
int zs_rdma_hello_check(struct zs_rdma_hello *hello, enum zs_rdma_greeting kind, const void *data, size_t size,
			char *why, size_t why_size);
int zs_rdma_refusal_check(struct zs_rdma_refusal *refusal, const void *data, size_t size, char *why, size_t why_size);

/* For people. Never NULL. */
const char *zs_rdma_refused_text(enum zs_rdma_refused reason);

#endif
