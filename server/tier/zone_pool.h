/*
 * Threads that do what would block, for devices whose driver has no other way, and a queue of what they have done with
 * a descriptor to wait on.
 *
 * THREADS. zs_zone_pool_take is for one thread; the others may be called by any.
 */
#ifndef ZS_SERVER_TIER_ZONE_POOL_H
#define ZS_SERVER_TIER_ZONE_POOL_H

#include <pthread.h>
#include <stdbool.h>

#include "server/tier/zone_device.h"

#define ZS_ZONE_POOL_THREADS 16u

struct zs_zone_queue {
	struct zs_zone_request *first;
	struct zs_zone_request **last;
};

struct zs_zone_pool {
	/* Does a request and sets its status. Called by several threads at once. */
	void (*perform)(void *context, struct zs_zone_request *request);
	void *context;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct zs_zone_queue todo;
	struct zs_zone_queue done;
	bool ending;
	int fd; /* readable while `done` has something */
	unsigned threads;
	pthread_t thread[ZS_ZONE_POOL_THREADS];
};

/* ZS_OK, ZS_ENOMEM or ZS_ESYS. The pool must not be moved. */
int zs_zone_pool_open(struct zs_zone_pool *pool, void (*perform)(void *, struct zs_zone_request *), void *context);

/* Does all that was put, and ends. */
void zs_zone_pool_close(struct zs_zone_pool *pool);

/* Has a request performed. */
void zs_zone_pool_put(struct zs_zone_pool *pool, struct zs_zone_request *request);

/* Has a request taken that needs nothing done. */
void zs_zone_pool_done(struct zs_zone_pool *pool, struct zs_zone_request *request);

/* Takes up to `max` that are done. */
unsigned zs_zone_pool_take(struct zs_zone_pool *pool, struct zs_zone_request **done, unsigned max);

#endif
