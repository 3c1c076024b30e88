/*
 * What carries the bytes of operations: a stream that is connected without waiting. One instance for each way there is;
 * what happens, it tells its channel (channel.h).
 */
#ifndef ZS_CLIENT_TRANSPORT_H
#define ZS_CLIENT_TRANSPORT_H

#include <stddef.h>
#include <sys/types.h>

#include "client/address.h"

struct zs_channel;
struct zs_link;

struct zs_transport {
	/*
	 * Begins to connect. ZSLAB_OK: zs_channel_connected or zs_channel_break is called, perhaps from within. Else
	 * nothing is, and a sentence is in `why`.
	 */
	int (*start)(struct zs_link *link, const struct zs_endpoint *endpoint, char *why, size_t why_size);
	/*
	 * Takes bytes. How many; if not all, it calls zs_channel_flush when there is room for more. Or a negative
	 * errno: the connection broke.
	 */
	ssize_t (*send)(struct zs_link *link, const void *data, size_t size);
	/* Looks whether something has come, and hands it on by zs_channel_received. May break the channel. */
	void (*receive)(struct zs_link *link);
	/* Ends the connection, in whatever state it is. Calls nothing from then on. */
	void (*stop)(struct zs_link *link);
};

/* A connection: the first part of what a transport keeps of it. */
struct zs_link {
	const struct zs_transport *transport;
	struct zs_channel *channel;
};

#endif
