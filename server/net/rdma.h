/*
 * The node's RDMA endpoint, and how connections over it are served.
 *
 * One worker has the endpoint and serves all connections of it: their commands come by SEND and run as those of any
 * client. What clients read by themselves costs no worker anything. The main thread opens and closes the endpoint while
 * no worker runs.
 */
#ifndef ZS_SERVER_NET_RDMA_H
#define ZS_SERVER_NET_RDMA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zs_node;
struct zs_rdma;
struct zs_worker;

struct zs_rdma_service {
	struct zs_rdma *endpoint; /* NULL: the node does not listen by RDMA */
	char address[64];	  /* that it listens at */
	uint64_t heard_ns;	  /* when the last message came; of the worker */
	bool brisk;		  /* and it came soon after the one before */
	/* Any thread. */
	_Atomic uint64_t connections;
	_Atomic uint64_t pinned;
	_Atomic uint64_t refused;
};

/*
 * Opens the endpoint if the settings want it: `rdma` and the addresses of `bind`. That there is no device is an error
 * with 'rdma = yes', and a line of the log else. The engine is open. ZS_OK or an error, and `why`.
 */
int zs_rdma_service_open(struct zs_node *node, char *why, size_t why_size);

/* No worker runs any more. */
void zs_rdma_service_close(struct zs_node *node);

/* Lets the worker's loop wake up for the endpoint. ZS_OK or ZS_ESYS (errno). */
int zs_rdma_service_attach(struct zs_worker *worker);

/* Before a worker waits for `timeout_ms`: does what is to be done, and returns how long it may wait. */
unsigned zs_rdma_service_before_wait(struct zs_worker *worker, unsigned timeout_ms);

/* After it has waited. How many things have happened. */
unsigned zs_rdma_service_pump(struct zs_worker *worker);

#endif
