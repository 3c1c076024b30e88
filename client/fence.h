/*
 * A fence: for a connection that broke, over which the node may still get writes of ours.
 *
 * What was sent over it may lie in the node unread, and be done later than its repetition over the next connection, or
 * than a newer write. So before anything else is sent over the next one, the node is told to end the old one for good
 * (ZS.FENCE) and its answer is awaited. A node that refuses: what would have been repeated ends as unknown.
 */
#ifndef ZS_CLIENT_FENCE_H
#define ZS_CLIENT_FENCE_H

#include <stdbool.h>
#include <stdint.h>

struct zs_lane;
struct zs_node;

/* Of a node. One is enough: while it is not answered no write is sent that could be in doubt. */
struct zs_fence {
	uint64_t id; /* of the connection; 0: there is none */
	bool asked;  /* and not answered */
};

/* The lane broke with writes that were sent and not answered. False: its connection cannot be fenced. */
bool zs_fence_note(struct zs_node *node, const struct zs_lane *lane);

/* Asks for what is still to be asked for, over the node's present lane, which is ready. True: there is nothing. */
bool zs_fence_is_up(struct zs_node *node);

#endif
