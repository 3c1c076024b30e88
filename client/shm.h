/*
 * Reading a node's memory on the same host.
 *
 * A second connection, of its own, is the session: after ZS.ATTACH the node passes the descriptor of its arena and a
 * lease. The session ends with that connection. Once the lease is over, revoked or the connection lost, the memory is
 * unmapped, operations go over sockets, and from time to time a new session is asked for.
 */
#ifndef ZS_CLIENT_SHM_H
#define ZS_CLIENT_SHM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/attach.h"
#include "client/channel.h"
#include "client/conn_tcp.h"
#include "common/reader_plain.h"

struct zs_node;

struct zs_shm {
	bool wanted;
	bool attached;
	bool settled; /* attached, or known that it cannot be for now */
	struct zs_channel channel;
	struct zs_socket wire;
	struct zs_plain plain;
	void *base;
	uint64_t size;
	uint64_t retry_ns;
	unsigned failures;
	struct zs_attach answer;
	char why[ZSLAB_ERROR_MAX]; /* why it is not attached */
};

void zs_shm_init(struct zs_node *node);
void zs_shm_free(struct zs_node *node);

/* Attaches if it is time. Only while the node can be reached by operations. */
void zs_shm_tick(struct zs_node *node, uint64_t now_ns);
uint64_t zs_shm_next(const struct zs_node *node);

/*
 * Looks a key up. True: it is there, and *status is ZSLAB_OK or ZSLAB_ESMALL. False: ask the node; the memory may have
 * been detached. Only while attached.
 */
bool zs_shm_get(struct zs_node *node, const void *key, size_t key_size, void *buffer, size_t buffer_size, size_t *size,
		int *status);

/* The same for items of a multi-get, chained from *item on, `count` of them. Leaves those to be asked for in the chain.
 */
void zs_shm_mget(struct zs_node *node, struct zslab_item *items, uint32_t *item, uint32_t *count);

#endif
