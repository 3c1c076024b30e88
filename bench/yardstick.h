/*
 * Replacement policies at the level of single objects, exactly as published: what a cache of so many objects
 * could reach if bookkeeping per object cost nothing. The engine, which evicts whole slabs, is measured
 * against them.
 *
 *   LRU
 *   SIEVE    Zhang et al., NSDI '24: one FIFO queue, a visited bit, and a hand that moves from tail to head
 *   S3-FIFO  Yang et al., SOSP '23: a small queue of 10 %, a main queue, and a ghost queue of as many keys as
 * main holds
 *
 * An object whose deadline has passed is a miss, and gone, when it is next looked up; until then it takes its
 * place.
 */
#ifndef ZS_BENCH_YARDSTICK_H
#define ZS_BENCH_YARDSTICK_H

#include <stdbool.h>
#include <stdint.h>

enum zs_yardstick_policy { ZS_YARDSTICK_LRU, ZS_YARDSTICK_SIEVE, ZS_YARDSTICK_S3FIFO, ZS_YARDSTICK_POLICIES };

struct zs_yardstick;

/* Makes a cache of `capacity` objects, 1 to 2^30. NULL when out of memory. Not thread-safe. */
struct zs_yardstick *zs_yardstick_open(enum zs_yardstick_policy policy, uint64_t capacity);
void zs_yardstick_close(struct zs_yardstick *cache);

/* Looks an object up; a hit counts as a use. Deadlines and `now` are in the same unit; 0 means none. */
bool zs_yardstick_get(struct zs_yardstick *cache, uint64_t key, uint64_t now);

/* Inserts an object, evicting others as needed; if it is there, that is a use of it, and its deadline is
 * replaced. */
void zs_yardstick_set(struct zs_yardstick *cache, uint64_t key, uint64_t deadline);

/* Removes an object, if it is there. */
void zs_yardstick_delete(struct zs_yardstick *cache, uint64_t key);

/* Objects it holds. */
uint64_t zs_yardstick_count(const struct zs_yardstick *cache);

/* "lru", "sieve", "s3fifo". */
const char *zs_yardstick_name(enum zs_yardstick_policy policy);

#endif
