#include "server/tier/image.h"

#include <assert.h>
#include <string.h>

#include "common/hash.h"

/* Bits of the lifetime word that mean something to others than the node: base, unit and kind. */
#define LIFETIME_BITS (ZS_BASE_BITS + 9)

/* Objects of this size and smaller are worth to wait for, before a mixed image is closed. */
#define SMALL_OBJECT 48u

/* The number of a group is in the generation, its upper bits where the node has flags in memory. */
#define GROUP_LOW_BITS 32
#define GROUP_HIGH_BITS (64 - LIFETIME_BITS)

static uint64_t shape_of(uint64_t identity)
{
	return identity & ~0xffffffffull; /* without the generation */
}

static uint32_t class_of_lifetime(uint64_t lifetime)
{
	return (uint32_t)(lifetime >> ZS_BASE_BITS) & 0x1ff;
}

/* ---- filling ---- */

void zs_image_begin(struct zs_image *image, uint8_t *bytes, const struct zs_warm_object *first, uint64_t group)
{
	struct zs_slab *slab = (struct zs_slab *)(void *)bytes;

	image->bytes = bytes;
	image->identity = shape_of(first->identity);
	image->lifetime = first->lifetime & ((1ull << LIFETIME_BITS) - 1);
	image->group = group;
	image->used = 0;
	image->start = ZS_FRAME_SIZE;
	image->payload = 0;
	image->last_deadline = 1;
	memset(bytes, 0, ZS_FRAME_SIZE);
	assert(group >> (GROUP_LOW_BITS + GROUP_HIGH_BITS) == 0);
	slab->identity = image->identity | (uint32_t)group;
	slab->lifetime = image->lifetime | group >> GROUP_LOW_BITS << LIFETIME_BITS;
}

uint64_t zs_image_group(const struct zs_slab *image)
{
	return zs_identity_generation(image->identity) | image->lifetime >> LIFETIME_BITS << GROUP_LOW_BITS;
}

uint32_t zs_image_count(const uint8_t *bytes)
{
	const struct zs_slab *slab = (const struct zs_slab *)(const void *)bytes;
	uint32_t objects = 0;

	for (uint32_t w = 0; w < zs_live_words(zs_identity_slots(slab->identity)); w++)
		objects += (uint32_t)__builtin_popcount(slab->live[w]);
	return objects;
}

bool zs_image_is_for(const struct zs_image *image, const struct zs_warm_object *object)
{
	if (class_of_lifetime(image->lifetime) != class_of_lifetime(object->lifetime))
		return false;
	/* Slabs of mixed objects differ in how many slots they have; that is no reason to keep them apart. */
	return zs_lifetime_kind(image->lifetime) == ZS_KIND_MIXED || image->identity == shape_of(object->identity);
}

/* The byte of the deadline's column; false if it does not reach. */
static bool deadline_byte(const struct zs_image *image, uint64_t deadline, uint8_t *byte)
{
	uint32_t unit = zs_lifetime_unit(image->lifetime);
	uint64_t base = zs_lifetime_base(image->lifetime);
	uint64_t units;

	*byte = 0;
	if (!unit)
		return deadline == 0;
	units = deadline / zs_unit_ms(unit);
	if (units < base || units - base > UINT8_MAX)
		return false;
	*byte = (uint8_t)(units - base);
	return true;
}

/* Takes bytes and a record for an object of a mixed image. False if there is no room. */
static bool take_mixed(struct zs_image *image, const struct zs_warm_object *object)
{
	uint32_t slots = zs_identity_slots(image->identity);
	uint32_t record_size = zs_record_size(zs_lifetime_unit(image->lifetime));
	uint32_t size = object->key_size + object->value_size;
	uint32_t records_end = zs_column_offset(slots) + (image->used + 1) * record_size;
	uint32_t record;
	uint8_t *at;

	if (image->start < records_end + size)
		return false;
	image->start -= size;
	record = image->start | object->key_size << 12;
	at = image->bytes + records_end - record_size;
	at[0] = (uint8_t)record;
	at[1] = (uint8_t)(record >> 8);
	at[2] = (uint8_t)(record >> 16);
	return true;
}

/* An older version of the key has died since it was added: in one block a key stands once. */
static void remove_older(struct zs_image *image, uint64_t hash)
{
	struct zs_slab *slab = (struct zs_slab *)(void *)image->bytes;

	for (uint32_t i = 0; i < image->used; i++) {
		if (image->origins[i].hash == hash)
			slab->live[i / 32] &= ~(1u << (i % 32));
	}
}

bool zs_image_add(struct zs_image *image, const struct zs_warm_object *object)
{
	struct zs_slab *slab = (struct zs_slab *)(void *)image->bytes;
	enum zs_slab_kind kind = zs_lifetime_kind(image->lifetime);
	uint32_t slots = zs_identity_slots(image->identity);
	uint32_t slot = image->used;
	struct zs_extent extent;
	uint8_t byte;

	if (slot >= slots || !deadline_byte(image, object->deadline, &byte))
		return false;
	if (kind == ZS_KIND_MIXED && !take_mixed(image, object))
		return false;
	if (!zs_slab_extent(slab, image->identity, image->lifetime, slot, &extent))
		assert(!"an object was added beside its image");
	remove_older(image, object->hash);
	memcpy(image->bytes + extent.key, object->key, object->key_size);
	memcpy(image->bytes + extent.value, object->value, object->value_size);
	if (zs_lifetime_unit(image->lifetime))
		image->bytes[zs_deadline_offset(kind, slots, slot)] = byte;
	slab->live[slot / 32] |= 1u << (slot % 32);
	image->origins[slot] = (struct zs_warm_origin){
		.hash = object->hash, .id = object->id, .slot = (uint8_t)object->slot, .image_slot = (uint8_t)slot
	};
	image->used++;
	image->payload += object->key_size + object->value_size;
	if (!object->deadline)
		image->last_deadline = 0;
	else if (image->last_deadline && object->deadline > image->last_deadline)
		image->last_deadline = object->deadline;
	return true;
}

bool zs_image_is_full(const struct zs_image *image)
{
	uint32_t slots = zs_identity_slots(image->identity);
	uint32_t records_end;

	if (image->used == slots)
		return true;
	if (zs_lifetime_kind(image->lifetime) != ZS_KIND_MIXED)
		return false;
	records_end = zs_column_offset(slots) + (image->used + 1) * zs_record_size(1);
	return image->start < records_end + SMALL_OBJECT;
}

/* ---- what a block has to be ---- */

/* Over everything but the links word. */
static uint32_t checksum(const uint8_t *bytes, const struct zs_image_place *place)
{
	const size_t links = offsetof(struct zs_slab, links);
	uint64_t seed = place->tier ^ XXH3_64bits_withSeed(place, sizeof(*place), place->epoch);
	uint64_t head = XXH3_64bits_withSeed(bytes, links, seed);

	return (uint32_t)XXH3_64bits_withSeed(bytes + links + 8, ZS_FRAME_SIZE - links - 8, head);
}

void zs_image_seal(uint8_t *bytes, const struct zs_image_place *place)
{
	struct zs_slab *slab = (struct zs_slab *)(void *)bytes;

	slab->links = checksum(bytes, place);
}

bool zs_image_check(const uint8_t *bytes, const struct zs_image_place *place)
{
	const struct zs_slab *slab = (const struct zs_slab *)(const void *)bytes;
	enum zs_slab_kind kind = zs_lifetime_kind(slab->lifetime);
	uint32_t slots = zs_identity_slots(slab->identity);

	if (slab->links != checksum(bytes, place))
		return false;
	/* Written by us, so it is sound; but what is read from a device is not followed before it has been looked at.
	 */
	if (kind > ZS_KIND_COUNTER || zs_lifetime_unit(slab->lifetime) > ZS_UNIT_MAX ||
	    zs_header_size(kind, slots, zs_lifetime_unit(slab->lifetime)) > ZS_FRAME_SIZE)
		return false;
	for (uint32_t slot = 0; slot < slots; slot++) {
		struct zs_extent extent;

		if (zs_slab_is_live(slab, slot) && !zs_slab_extent(slab, slab->identity, slab->lifetime, slot, &extent))
			return false;
	}
	return true;
}
