/*
 * A worker: a thread with an event loop, a handle on the engine, and the connections that were given to it.
 *
 * Everything but the fields marked so is for the worker's own thread. The list of clients is changed by the worker
 * under its lock, so that others can walk it under the lock, and the worker itself without.
 */
#ifndef ZS_SERVER_NET_WORKER_H
#define ZS_SERVER_NET_WORKER_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/resp.h"
#include "server/engine/engine.h"
#include "server/net/loop.h"
#include "server/node/stats.h"

struct zs_client;
struct zs_node;
struct zs_rdma;
struct zs_store_call;

/* Buffers of connections that have something to say; most of the time few need one. */
#define ZS_BLOCK_SIZE 16384u
#define ZS_BLOCKS_KEPT 256u

struct zs_blocks {
	uint8_t *list[ZS_BLOCKS_KEPT];
	unsigned count;
};

/* Connections on their way from the main thread. Under the worker's lock. */
struct zs_inbox {
	int *list;
	size_t used;
	size_t size;
};

struct zs_worker {
	struct zs_node *node;
	unsigned index;
	pthread_t pthread;
	sem_t *started;
	int start_error; /* an errno; set before `started` */
	struct zs_loop *loop;
	struct zs_thread *engine_thread;
	struct zs_store_call *warm_call; /* of commands that do not wait yet; NULL: made when needed */
	struct zs_rdma *rdma;		 /* the node's endpoint, if this worker has it */
	struct zs_resp_arguments arguments;
	struct zs_blocks blocks;
	struct zs_stats_of_worker *stats;
	uint64_t now_ms;       /* as of the last wake-up */
	uint64_t last_ticks;   /* when the last command ended */
	uint64_t upkeep_ticks; /* when upkeep was last done */
	uint64_t next_tick_ms;
	struct zs_client *stalled; /* wait for memory to leave quarantine, or for flash */
	struct zs_client *cursor;  /* where the walk for idle clients goes on */
	bool stopping;
	uint64_t stop_deadline_ms;

	pthread_mutex_t lock; /* of the three below */
	struct zs_client *clients;
	struct zs_inbox inbox;
	bool kills;			/* some client is marked to be closed */
	_Atomic uint64_t clients_count; /* any thread; counts those in the inbox too */
	_Atomic bool stop;		/* any thread */
};

/* Starts a worker's thread, which posts `started` when it serves, or has failed. 0 or an errno. */
int zs_worker_start(struct zs_worker *worker, struct zs_node *node, unsigned index, int cpu, sem_t *started);

/* Gives a connected socket to a worker. Any thread. False if memory is out; the socket is still the caller's. */
bool zs_worker_give(struct zs_worker *worker, int fd);

/*
 * Tells a worker to answer what it has and to end; waits for its end; frees what it had. Workers look at each other
 * (CLIENT LIST), so all must have ended before the first is freed.
 */
void zs_worker_stop(struct zs_worker *worker);
void zs_worker_join(struct zs_worker *worker);
void zs_worker_free(struct zs_worker *worker);

/* A block of ZS_BLOCK_SIZE bytes from malloc, or NULL; and back. */
uint8_t *zs_blocks_take(struct zs_blocks *blocks);
void zs_blocks_return(struct zs_blocks *blocks, uint8_t *block, size_t size);

#endif
