/*
 * A session over RDMA: one connection that carries operations, and one-sided reads of the node's memory.
 *
 * After logging in it asks for the memory's place and a lease (ZS.ATTACH), and renews the lease every fifth of it
 * (ZS.LEASE). That is the heartbeat too: an answer that takes longer than a lease ends the connection. So does whatever
 * else goes wrong; then operations and reads go over the socket, and from time to time a new session is asked for.
 */
#ifndef ZS_CLIENT_RDMA_H
#define ZS_CLIENT_RDMA_H

#include <stdbool.h>
#include <stdint.h>

#include "client/attach.h"
#include "client/conn_rdma.h"
#include "client/lane.h"
#include "client/readings.h"

struct zs_node;

struct zs_session {
	bool wanted;
	bool attached; /* its memory can be read */
	bool settled;  /* attached, or known that it cannot be for now */
	bool was_attached;
	bool asking; /* an answer to ZS.ATTACH or ZS.LEASE is awaited, since asked_ns */
	uint64_t asked_ns;
	uint64_t patience_ns; /* how long an answer may take: the lease, once it is known */
	uint64_t retry_ns;
	unsigned failures;
	struct zs_lane lane;
	struct zs_rdma_link wire;
	struct zs_attach answer;
	uint64_t lease[2]; /* the answer to ZS.LEASE: its milliseconds, and the node's time */
	unsigned lease_next;
	struct zs_rdma_reader *reader;
	struct zs_readings readings;
	char why[ZSLAB_ERROR_MAX]; /* why it is not attached */
};

void zs_session_init(struct zs_node *node);
void zs_session_free(struct zs_node *node);

/* In a child process: what it has belongs to the parent, and is left alone. */
void zs_session_forget(struct zs_node *node);

/* Connects, renews the lease and gives up, each if it is time. Connects only while the node's socket is connected. */
void zs_session_tick(struct zs_node *node, uint64_t now_ns);
uint64_t zs_session_next(const struct zs_node *node);

/* Whether something is under way over it that will be over soon. */
bool zs_session_is_busy(const struct zs_node *node);

/* Ends reads of operations whose deadline has passed. */
void zs_session_expire(struct zs_node *node, uint64_t now_ns);

#endif
