#include "common/locations.h"

#include <stdlib.h>
#include <string.h>

#define WAYS 8

/*
 * place: slab 22 | slot 8 | start 12 | size 12 | kind 2 | unit 7 | used 1. A size of 0 marks an entry that is free:
 * objects of no bytes are not remembered.
 */
struct entry {
	uint64_t hash;
	uint64_t identity;
	uint64_t place;
};

#define USED (1ull << 63)
#define SIZE_SHIFT 42
#define FIELD 0xfffull

struct zs_locations {
	size_t sets;
	uint32_t hand; /* where the next search for something to give up begins */
	struct entry entries[];
};

static uint64_t pack(const struct zs_location *l)
{
	return (uint64_t)l->id | (uint64_t)l->slot << 22 | (uint64_t)l->start << 30 | (uint64_t)l->size << SIZE_SHIFT |
	       (uint64_t)l->kind << 54 | (uint64_t)l->unit << 56;
}

static void unpack(const struct entry *entry, struct zs_location *l)
{
	*l = (struct zs_location){
		.identity = entry->identity,
		.id = (uint32_t)(entry->place & 0x3fffff),
		.slot = (uint8_t)(entry->place >> 22),
		.start = (uint16_t)(entry->place >> 30 & FIELD),
		.size = (uint16_t)(entry->place >> SIZE_SHIFT & FIELD),
		.kind = (uint8_t)(entry->place >> 54 & 3),
		.unit = (uint8_t)(entry->place >> 56 & 0x7f),
	};
}

static bool is_free(const struct entry *entry)
{
	return !(entry->place >> SIZE_SHIFT & FIELD);
}

/* The set of a hash. All bits take part: its upper ones are the same for all keys of a partition. */
static struct entry *set_of(struct zs_locations *locations, uint64_t hash)
{
	uint64_t mixed = (hash * 0x9e3779b97f4a7c15ull) >> 32;

	return &locations->entries[(size_t)(mixed * locations->sets >> 32) * WAYS];
}

static struct entry *entry_of(struct zs_locations *locations, uint64_t hash)
{
	struct entry *set = set_of(locations, hash);

	for (unsigned i = 0; i < WAYS; i++) {
		if (set[i].hash == hash && !is_free(&set[i]))
			return &set[i];
	}
	return NULL;
}

struct zs_locations *zs_locations_new(size_t memory)
{
	size_t set_size = WAYS * sizeof(struct entry);
	size_t sets = memory / set_size;
	struct zs_locations *locations;

	if (sets < 1)
		sets = 1;
	if (sets > UINT32_MAX)
		sets = UINT32_MAX;
	locations = calloc(1, sizeof(*locations) + sets * set_size);
	if (locations)
		locations->sets = sets;
	return locations;
}

void zs_locations_free(struct zs_locations *locations)
{
	free(locations);
}

bool zs_locations_find(struct zs_locations *locations, uint64_t hash, struct zs_location *location)
{
	struct entry *entry = entry_of(locations, hash);

	if (!entry)
		return false;
	entry->place |= USED;
	unpack(entry, location);
	return true;
}

/* A free entry of the set, else one that was not used lately; the others lose their mark on the way. */
static struct entry *make_room(struct zs_locations *locations, struct entry *set)
{
	for (unsigned i = 0; i < WAYS; i++) {
		if (is_free(&set[i]))
			return &set[i];
	}
	for (;;) {
		struct entry *entry = &set[locations->hand++ % WAYS];

		if (!(entry->place & USED))
			return entry;
		entry->place &= ~USED;
	}
}

void zs_locations_store(struct zs_locations *locations, uint64_t hash, const struct zs_location *location)
{
	struct entry *entry = entry_of(locations, hash);

	if (location->size == 0 || location->size > FIELD || location->start > FIELD)
		return;
	if (!entry)
		entry = make_room(locations, set_of(locations, hash));
	*entry = (struct entry){ hash, location->identity, pack(location) };
}

void zs_locations_drop(struct zs_locations *locations, uint64_t hash)
{
	struct entry *entry = entry_of(locations, hash);

	if (entry)
		memset(entry, 0, sizeof(*entry));
}

void zs_locations_clear(struct zs_locations *locations)
{
	memset(locations->entries, 0, locations->sets * WAYS * sizeof(struct entry));
}

size_t zs_locations_capacity(const struct zs_locations *locations)
{
	return locations->sets * WAYS;
}
