#include "server/commands/key_set.h"

#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "common/hash.h"

#define FIRST_CAPACITY 256

struct zs_key_place {
	uint64_t end;  /* of the key in the reply; 0: nothing here */
	uint32_t hash; /* low half */
	uint32_t size;
};

void zs_key_set_init(struct zs_key_set *set, uint64_t seed)
{
	*set = (struct zs_key_set){ .seed = seed };
}

void zs_key_set_free(struct zs_key_set *set)
{
	free(set->places);
	zs_key_set_init(set, set->seed);
}

/* All places have to be on different keys. */
static void put(struct zs_key_place *places, size_t capacity, struct zs_key_place place)
{
	size_t i = place.hash & (capacity - 1);

	while (places[i].end)
		i = (i + 1) & (capacity - 1);
	places[i] = place;
}

static int grow(struct zs_key_set *set)
{
	size_t capacity = set->capacity ? set->capacity * 2 : FIRST_CAPACITY;
	struct zs_key_place *places = calloc(capacity, sizeof(*places));

	if (!places)
		return ZS_ENOMEM;
	for (size_t i = 0; i < set->capacity; i++) {
		if (set->places[i].end)
			put(places, capacity, set->places[i]);
	}
	free(set->places);
	set->places = places;
	set->capacity = capacity;
	return ZS_OK;
}

static bool has(const struct zs_key_set *set, const struct zs_reply *reply, const void *key, struct zs_key_place wanted)
{
	size_t i = wanted.hash & (set->capacity - 1);

	for (; set->places[i].end; i = (i + 1) & (set->capacity - 1)) {
		const struct zs_key_place *place = &set->places[i];

		if (place->hash == wanted.hash && place->size == wanted.size &&
		    memcmp(reply->data + place->end - place->size, key, place->size) == 0)
			return true;
	}
	return false;
}

int zs_key_set_add(struct zs_key_set *set, struct zs_reply *reply, const void *key, size_t size, bool *added)
{
	struct zs_key_place place = { 0, (uint32_t)zs_hash(key, size, set->seed), (uint32_t)size };

	*added = false;
	if (set->used * 4 >= set->capacity * 3 && grow(set) != ZS_OK)
		return ZS_ENOMEM;
	if (has(set, reply, key, place))
		return ZS_OK;
	zs_reply_bulk(reply, key, size);
	if (reply->overflow)
		return ZS_ENOMEM;
	place.end = reply->used - 2;
	put(set->places, set->capacity, place);
	set->used++;
	*added = true;
	return ZS_OK;
}
