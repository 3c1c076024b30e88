/*
 * Fences: connections that broke and over which a node may still get writes of ours.
 *
 * What was sent over such a connection may lie in the node unread, and be done later than its repetition over the next
 * one, or than a newer write. So before anything else is sent over the next one, the node is told to end the old one
 * for good (ZS.FENCE) and its answer is awaited. A node that refuses, or more broken connections than are kept in mind:
 * what would have been repeated ends as unknown.
 */
#ifndef ZS_CLIENT_FENCE_H
#define ZS_CLIENT_FENCE_H

#include <stdbool.h>
#include <stdint.h>

#define ZS_FENCES_MAX 8u

struct zs_lane;
struct zs_node;

struct zs_fences {
	uint64_t ids[ZS_FENCES_MAX]; /* of connections, oldest first */
	unsigned count;
	unsigned asked; /* the first so many have been asked for, and not been answered */
};

/* The lane broke with writes that were sent and not answered. False: its connection cannot be fenced. */
bool zs_fence_note(struct zs_node *node, const struct zs_lane *lane);

/* Asks for those that are still to be asked for, over the node's present lane, which is ready. True: there are none. */
bool zs_fence_all(struct zs_node *node);

/* The lane over which they were asked for broke. */
void zs_fence_ask_again(struct zs_node *node);

#endif
