/*
 * One connection to a node: connecting, logging in, sending, and replies token by token.
 *
 *   CLOSED --open--> CONNECTING --connected--> GREETING --HELLO answered--> READY
 *      ^                  |                       |                           |
 *      +------ break: refused, lost, too slow, or the peer broke the protocol +
 *
 * Never waits. What happens is told to its owner through a table of callbacks, from within these functions; they may
 * append to the channel, but not open or close it.
 */
#ifndef ZS_CLIENT_CHANNEL_H
#define ZS_CLIENT_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "client/address.h"
#include "client/buffer.h"
#include "client/reply.h"
#include "client/transport.h"
#include "client/zslab.h"

struct zs_channel_events {
	/* Logged in. */
	void (*ready)(struct zs_channel *channel);
	/* The next token of a reply. 0; or a status, with a sentence in `why`: the channel breaks. */
	int (*token)(struct zs_channel *channel, const struct zs_token *token, char *why, size_t why_size);
	/* It is closed: by the peer, or because it could not be made. */
	void (*broken)(struct zs_channel *channel, int status, const char *why);
};

enum zs_channel_state {
	ZS_CHANNEL_CLOSED,
	ZS_CHANNEL_CONNECTING,
	ZS_CHANNEL_GREETING,
	ZS_CHANNEL_READY,
};

struct zs_channel {
	/* set by the owner before the first use: */
	const struct zs_channel_events *events;
	struct zs_link *link;
	const struct zs_buffer *greeting; /* the HELLO command */
	void *owner;
	/* kept here: */
	enum zs_channel_state state;
	bool was_ready;	      /* since it was opened */
	size_t greeting_left; /* tokens of the reply to HELLO still to come */
	bool id_is_next;      /* of them */
	uint64_t id;	      /* of this connection, as the node's reply says; 0: not known */
	uint64_t deadline_ns; /* of being READY */
	uint64_t sent;	      /* bytes that the transport took since it was opened */
	struct zs_buffer in;
	struct zs_buffer out;
};

/* Begins to connect; to be READY by deadline_ns. May call `broken`. */
void zs_channel_open(struct zs_channel *channel, const struct zs_endpoint *endpoint, uint64_t deadline_ns);

/* Closes it without a callback. */
void zs_channel_close(struct zs_channel *channel);

/* Closes it and frees what it holds. */
void zs_channel_free(struct zs_channel *channel);

/* Closes it for this reason, with the callback. */
void zs_channel_break(struct zs_channel *channel, int status, const char *why);

/* Sends what is in `out`, as far as the transport takes it. */
void zs_channel_flush(struct zs_channel *channel);

/* Receives what is there, without having been told that there is something. */
void zs_channel_receive(struct zs_channel *channel);

/* Breaks it if it is not READY in time. */
void zs_channel_expire(struct zs_channel *channel, uint64_t now_ns);

/* Stream offset of the end of `out`: what will have been sent when all of it is. */
static inline uint64_t zs_channel_end(const struct zs_channel *channel)
{
	return channel->sent + zs_buffer_size(&channel->out);
}

/* ---- for transports ---- */

/* The connection is there. */
void zs_channel_connected(struct zs_channel *channel);

/* Room for `size` bytes that come. NULL: the channel is broken, memory ran out. */
uint8_t *zs_channel_room(struct zs_channel *channel, size_t size);

/* So many bytes were put there. False: the channel is closed by now. */
bool zs_channel_received(struct zs_channel *channel, size_t size);

/* The peer will send no more. */
void zs_channel_ended(struct zs_channel *channel);

#endif
