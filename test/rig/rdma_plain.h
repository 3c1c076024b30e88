/* A connection that does nothing but one READ at a time: what the device needs for it, at the same time as gets. */
#ifndef ZS_TEST_RIG_RDMA_PLAIN_H
#define ZS_TEST_RIG_RDMA_PLAIN_H

#include "common/rdma.h"
#include "test/rig/rdma_truth.h"

struct plain {
	struct zs_rdma *rdma;
	struct zs_rdma_connection *connection; /* NULL: it broke */
	struct zs_rdma_memory *memory;
	bool over;
	char why[256];
	_Alignas(64) uint8_t bytes[OBJECT_SIZE];
};

/* Connects. 0, or -1 and why. */
int plain_open(struct plain *plain, const struct sockaddr_in *address);

/* Asks the node for the right to read. 0, or -1 and why. */
int plain_ask(struct plain *plain);

/* Reads once. How many nanoseconds it took; 0 if it failed, and why. */
uint64_t plain_read(struct plain *plain);

#endif
