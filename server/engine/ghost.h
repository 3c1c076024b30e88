/*
 * The ghost of S3-FIFO: which keys were evicted lately, as 16-bit fingerprints.
 *
 * Lines of 64 bytes hold 31 fingerprints and a cursor; a new one overwrites the oldest of its line. So it takes about
 * two bytes for each key it remembers, forgets in the order of eviction to within a line's length, and is wrong about a
 * key it never saw once in 2,000 times. Races between threads lose an entry at worst.
 */
#ifndef ZS_SERVER_ENGINE_GHOST_H
#define ZS_SERVER_ENGINE_GHOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zs_ghost;

/* For the objects of so many frames; the memory is taken from the system only as it is used. NULL if there is none. */
struct zs_ghost *zs_ghost_new(uint32_t frames);
void zs_ghost_free(struct zs_ghost *ghost);

/* Makes it remember more keys, if the frames hold so many small objects; to be called before anything is evicted. */
void zs_ghost_fit(struct zs_ghost *ghost, uint64_t objects);

void zs_ghost_add(struct zs_ghost *ghost, uint64_t hash);

/* Whether the key is remembered. */
bool zs_ghost_has(const struct zs_ghost *ghost, uint64_t hash);

/* Whether the key is remembered; forgets it then. */
bool zs_ghost_take(struct zs_ghost *ghost, uint64_t hash);

#endif
