/*
 * Fetching ahead: brings the cache lines that several operations will need into the cache, all at the same time.
 *
 * The lines are loaded, not prefetched: a processor may drop a prefetch whose page is not in its TLB, and with millions
 * of objects hardly any page is. So that loads overlap, each round over the operations is a short loop of its own.
 */
#ifndef ZS_SERVER_ENGINE_FETCH_H
#define ZS_SERVER_ENGINE_FETCH_H

#include "server/engine/internal.h"

/* Operations that are fetched for at one time. */
#define ZS_FETCH_MAX 32

/* One operation. */
struct zs_fetch {
	uint64_t hash;
	uint32_t stride; /* a guess of the object's size in its slab */
	/* of zs_fetch_all */
	const struct zs_slab *slab; /* NULL: the key seems to be absent */
	const uint8_t *slot;
};

/* Fetches buckets, slab headers and the beginnings of slots. count: up to ZS_FETCH_MAX. Writes nothing, promises
 * nothing. */
void zs_fetch_all(const struct zs_thread *thread, struct zs_fetch *list, size_t count);

#endif
