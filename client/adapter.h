/*
 * A handle's RDMA endpoint: opened when it is needed first, and the way in which the handle waits for it. Looking at it
 * costs no system call, so it is looked at for a while before anybody sleeps.
 */
#ifndef ZS_CLIENT_ADAPTER_H
#define ZS_CLIENT_ADAPTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/watch.h"

struct zs_rdma;
struct zs_rdma_get;
struct zslab;

/* All zero is one that is not open. */
struct zs_adapter {
	struct zs_rdma *rdma; /* NULL: not open */
	struct zs_watch watch;
	bool pumping;
};

/* Opens it, if it is not open. ZSLAB_OK, or ZSLAB_ETRANSPORT or ZSLAB_ENOMEM and what is missing. */
int zs_adapter_open(struct zslab *client, char *why, size_t why_size);

void zs_adapter_close(struct zslab *client);

/* Takes note of what has happened. False: nothing. From within what that calls, it does nothing. */
bool zs_adapter_pump(struct zs_adapter *adapter);

/* While something is under way over RDMA: looks for a short time, at most until `until_ns`, whether an operation ends.
 */
void zs_adapter_spin(struct zslab *client, uint64_t until_ns);

/* Looks for a short time whether a get is over. */
void zs_adapter_await(struct zs_adapter *adapter, const struct zs_rdma_get *get);

/* To be called before waiting for the epoll set. False: something has happened, do not wait. */
bool zs_adapter_arm(struct zs_adapter *adapter);

#endif
