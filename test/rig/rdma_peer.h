/* A peer of zslabd over RDMA that speaks RESP by hand, so that it can do what libzslab never does. */
#ifndef ZS_TEST_RIG_RDMA_PEER_H
#define ZS_TEST_RIG_RDMA_PEER_H

#include "common/rdma.h"

struct peer {
	struct zs_rdma *rdma;
	struct zs_rdma_connection *connection; /* NULL: not connected, or broken: see why */
	struct zs_rdma_target target;	       /* after peer_attach */
	bool opened;
	bool read_over;
	bool read_ok;
	size_t used;
	char text[4096]; /* what came and was not asked for yet, then the last reply */
	char why[256];
};

/* Connects, within the endpoint's timeout. 0, or -1 and why. */
int peer_open(struct peer *peer, struct zs_rdma *rdma, const struct sockaddr_in *address);
void peer_close(struct peer *peer);

/* Sends bytes, whatever they are, as far as the stream takes them at once. How many. */
size_t peer_send(struct peer *peer, const void *data, size_t size);

/* Sends an inline command, and waits for a reply of so many lines in `text`. 0, or -1: it broke, or five seconds are
 * over. */
int peer_ask(struct peer *peer, const char *command, unsigned lines);

/* ZS.ATTACH. 0, or -1 and the reply in `text`. */
int peer_attach(struct peer *peer);

/* Reads the first bytes of the target. 0, or -1: the read failed, and with it the connection. */
int peer_read(struct peer *peer, const struct zs_rdma_memory *memory, void *bytes, uint32_t size);

/* Waits until the connection is broken. 0, or -1: it is not after so many seconds. */
int peer_await_end(struct peer *peer, unsigned seconds);

#endif
