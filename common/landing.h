/*
 * A pool of memory for READs to land in: a bounded number of units, given out in runs that lie together.
 *
 * It knows nothing of adapters: its owner registers the memory. For one thread.
 */
#ifndef ZS_COMMON_LANDING_H
#define ZS_COMMON_LANDING_H

#include <stddef.h>
#include <stdint.h>

#define ZS_LANDING_UNIT 256u
#define ZS_LANDING_WORDS 3u /* of 64 units; a run lies in one of them */
#define ZS_LANDING_UNITS (64u * ZS_LANDING_WORDS)
#define ZS_LANDING_SIZE (ZS_LANDING_UNIT * ZS_LANDING_UNITS) /* 48 KB */
#define ZS_LANDING_MAX (64u * ZS_LANDING_UNIT)

struct zs_landing {
	uint8_t *memory; /* ZS_LANDING_SIZE bytes, aligned to a unit */
	uint64_t used[ZS_LANDING_WORDS];
};

/* Begins with nothing given out. */
void zs_landing_init(struct zs_landing *landing, void *memory);

/* Memory of `size` bytes (1..ZS_LANDING_MAX), aligned to a unit. NULL: there is no room for it now. */
void *zs_landing_take(struct zs_landing *landing, size_t size);

/* Gives it back, by the size that was asked for. */
void zs_landing_give(struct zs_landing *landing, const void *memory, size_t size);

#endif
