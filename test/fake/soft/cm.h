/*
 * The connection manager, between cm.c (event channels, identifiers), cm_wait.c (calls that wait) and cm_connect.c
 * (making and ending connections).
 *
 * There is one host that answers, 127.0.0.1, and whoever listens at any address listens there, so that only ports tell
 * listeners apart: a listener is an abstract Unix socket with the port in its name. A connection begins with a socket
 * to that, over which the two ends then send each other the records below; the end of the socket is the end of the
 * connection.
 */
#ifndef ZS_TEST_FAKE_SOFT_CM_H
#define ZS_TEST_FAKE_SOFT_CM_H

#include "test/fake/soft/soft.h"

enum soft_kind {
	SOFT_CONNECT, /* with the socket for messages, memory and table */
	SOFT_ACCEPT,  /* with memory and table */
	SOFT_REJECT,
	SOFT_ESTABLISH,
	SOFT_DISCONNECT,
};

/* What InfiniBand leaves to the users of each message; all of it is sent, the rest as zeros. */
enum {
	SOFT_PRIVATE_CONNECT = 56,
	SOFT_PRIVATE_ACCEPT = 196,
	SOFT_PRIVATE_REJECT = 148,
	SOFT_PRIVATE_MAX = 196,
};

struct soft_record {
	uint64_t sent_ns;
	uint32_t kind;
	uint32_t number; /* of the sender's queue pair */
	struct sockaddr_in from;
	struct sockaddr_in to;
	uint8_t reads_out; /* that the sender wants to have under way */
	uint8_t reads_in;  /* that it answers at a time */
	uint8_t private_size;
	uint8_t private_data[SOFT_PRIVATE_MAX];
};

enum soft_id_state {
	SOFT_ID_IDLE,
	SOFT_ID_LISTENING,
	SOFT_ID_EMBRYO,	   /* accepted by its listener, and has not said what it wants: nobody knows of it */
	SOFT_ID_REQUESTED, /* by the peer */
	SOFT_ID_CONNECTING,
	SOFT_ID_CONNECTED,
	SOFT_ID_ENDED,
};

struct soft_id {
	struct rdma_cm_id id;
	enum soft_id_state state;
	int socket; /* -1: none */
	bool is_heard;
	bool waits;	 /* it was made without a channel: calls return when they are over */
	bool is_unknown; /* its user was never told of it */
	struct soft_wire *wire;
	struct soft_record own;	 /* the request for a connection */
	struct soft_record peer; /* what the other end said */
	uint8_t ack_timeout;
	uint8_t retry_count;
	struct soft_id *listener;
	struct soft_id *next; /* of the channel */
};

struct soft_event {
	struct rdma_cm_event event;
	struct soft_event *next;
	uint8_t private_data[SOFT_PRIVATE_MAX];
};

struct soft_events {
	struct rdma_event_channel channel; /* fd: an epoll, of `waiting` and of the sockets */
	int waiting;			   /* readable while there are events */
	int timer;			   /* runs while the channel is deaf */
	bool is_deaf;			   /* some socket is not watched for a while */
	struct soft_event *first;
	struct soft_event **last;
	struct soft_id *ids;
};

/* ---- cm.c ---- */

/* What cannot go on now, because the path is cut or slow, is tried again a little later. */
void soft_events_deafen(struct soft_events *events);

/* Watches the socket of an identifier, or stops. 0 or -1. */
int soft_id_watch(struct soft_id *id, bool watch);

/* A new identifier of the channel, without a socket. NULL: no memory. */
struct soft_id *soft_id_new(struct soft_events *events, void *context, enum rdma_port_space space);

/* Moves it to another channel. */
void soft_id_move(struct soft_id *id, struct soft_events *events);

/* Tells the channel. `record` NULL: without private data. */
void soft_tell(struct soft_id *id, enum rdma_cm_event_type type, int status, const struct soft_record *record);

/* ---- cm_wait.c ---- */

/* Waits for what this identifier's call brings, if its calls do. 0, or -1: it is another event than `wanted`. */
int soft_await(struct soft_id *id, enum rdma_cm_event_type wanted);

/* ---- cm_connect.c ---- */

/* Something has come for this identifier. */
void soft_id_ready(struct soft_id *id);

/* The path has been healed: a request for a connection that is not answered yet is sent again. */
void soft_id_repeat(struct soft_id *id);

/* Opens a socket that listens at a port. -1 (errno). */
int soft_listen_at(const struct sockaddr_in *address);

#endif
