/*
 * A way for operations to a node: a channel, and the requests that were sent over it and are not answered. Answers come
 * in the order of the requests.
 */
#ifndef ZS_CLIENT_LANE_H
#define ZS_CLIENT_LANE_H

#include "client/channel.h"
#include "client/queue.h"

struct zs_node;

struct zs_lane {
	struct zs_node *node;
	const char *name; /* of the transport, for people */
	struct zs_channel channel;
	struct zs_queue sent;
};

/* `events` are the channel's; their `token` is zs_lane_token. Its link is set by the transport's own function. */
void zs_lane_init(struct zs_lane *lane, struct zs_node *node, const char *name, const struct zs_channel_events *events);

/* Closes it; its requests are forgotten. */
void zs_lane_free(struct zs_lane *lane);

static inline bool zs_lane_is_ready(const struct zs_lane *lane)
{
	return lane->channel.state == ZS_CHANNEL_READY;
}

/* Moves requests of the node that wait to the channel's buffer, as far as there is room. */
void zs_lane_fill(struct zs_lane *lane);

/* Sends what is in the buffer; unless it is `eager`, only if there is nothing under way or much to send. */
void zs_lane_flush(struct zs_lane *lane, bool eager);

/* Sends a command that belongs to no operation. ZSLAB_OK or ZSLAB_ENOMEM. */
int zs_lane_send(struct zs_lane *lane, const char *command, size_t size, zs_answer_function *answer);

int zs_lane_token(struct zs_channel *channel, const struct zs_token *token, char *why, size_t why_size);

/*
 * Its channel broke. Requests that were sent and not answered go back to those that wait if repeating them is harmless;
 * else they end, their outcome unknown.
 */
void zs_lane_lose(struct zs_lane *lane, int status, const char *why);

/* Ends operations whose deadline has passed. Their requests stay, for the answers may still come. */
void zs_lane_expire(struct zs_lane *lane, uint64_t now_ns);

/* Ends a request, and its operation's part in it. */
void zs_request_end(struct zs_node *node, struct zs_request *request, int status);

/* Ends a write that was sent over the lane, whose connection broke, and may have been done; `why` it did. */
void zs_request_end_unknown(const struct zs_lane *lane, struct zs_request *request, const char *why);

#endif
