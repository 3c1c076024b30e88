/*
 * Where a remote reader found keys: a cache of bounded size that may forget anything at any time.
 *
 * Open addressing in sets of eight; a full set gives up an entry that was not used since it was last passed over
 * (clock). The key's 64-bit hash stands for the key: whoever follows a location compares the key itself. A `struct
 * zs_locations` belongs to one thread.
 */
#ifndef ZS_COMMON_LOCATIONS_H
#define ZS_COMMON_LOCATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zs_locations;

struct zs_location {
	uint64_t identity; /* the slab's first word, generation included; it must be found unchanged */
	uint32_t id;	   /* of the slab, within the partition that the hash names */
	uint8_t slot;
	uint8_t kind;	/* enum zs_slab_kind */
	uint8_t unit;	/* of the slab's deadlines */
	uint16_t start; /* offset of the object's first byte in the slab */
	uint16_t size;	/* bytes of the object: of key and value, 1..4095 */
};

/* Takes about `memory` bytes, at least room for one set. NULL: not enough memory. */
struct zs_locations *zs_locations_new(size_t memory);
void zs_locations_free(struct zs_locations *locations);

/* Where the key with this hash was found last; false if that is not known (any more). */
bool zs_locations_find(struct zs_locations *locations, uint64_t hash, struct zs_location *location);

/* Remembers a location, in place of an earlier one of the same key or of some other key. */
void zs_locations_store(struct zs_locations *locations, uint64_t hash, const struct zs_location *location);

/* Forgets one key, or all of them. */
void zs_locations_drop(struct zs_locations *locations, uint64_t hash);
void zs_locations_clear(struct zs_locations *locations);

/* How many keys fit. */
size_t zs_locations_capacity(const struct zs_locations *locations);

#endif
