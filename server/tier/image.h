/*
 * A slab's image: 4096 bytes as they stand on flash.
 *
 * It has the layout of a slab in memory (common/layout.h), packed: an image is filled with living objects of one class
 * until the next one does not fit. Of the header's words, `links` has no meaning on flash: its lower half is a checksum
 * over all the rest, begun with the identity of the tier, the zone's epoch and the block's number, so a block that was
 * written for another place, another life of its zone or another tier is not taken for this one. The generation and the
 * node's flags say to which group the objects belong (server/tier/group_map.h).
 *
 * THREADS. An image belongs to one thread.
 */
#ifndef ZS_SERVER_TIER_IMAGE_H
#define ZS_SERVER_TIER_IMAGE_H

#include "server/engine/warm.h"

/* What a block has to have been written as. */
struct zs_image_place {
	uint64_t tier;	/* random, of the whole tier; another one after it was emptied */
	uint64_t epoch; /* of the zone */
	uint32_t zone;
	uint32_t block;
};

/* An image being filled. */
struct zs_image {
	uint8_t *bytes; /* 4096, aligned to 8 */
	uint64_t identity;
	uint64_t lifetime;
	uint32_t used;	/* slots */
	uint32_t start; /* of a mixed one: where the last object begins */
	uint32_t payload;
	uint64_t group;		/* 0: none */
	uint64_t last_deadline; /* of its objects; 0: some have none */
	uint64_t touched;	/* when it last got an object, in any count */
	struct zs_warm_origin origins[ZS_SLOTS_MAX];
};

/* Begins an image in `bytes` for objects like this one, of the group of this number. */
void zs_image_begin(struct zs_image *image, uint8_t *bytes, const struct zs_warm_object *first, uint64_t group);

/* The number of the group of an image; 0: none. */
uint64_t zs_image_group(const struct zs_slab *image);

/* How many objects there are in an image. */
uint32_t zs_image_count(const uint8_t *bytes);

/* Whether objects of this one's class belong into the image. Groups are not looked at. */
bool zs_image_is_for(const struct zs_image *image, const struct zs_warm_object *object);

/* Adds an object; an older version of its key is taken out. False if it does not fit: no slot, no bytes, or a deadline
 * too far from the others. */
bool zs_image_add(struct zs_image *image, const struct zs_warm_object *object);

/* Whether no further object of the usual size will fit. */
bool zs_image_is_full(const struct zs_image *image);

/* Writes the checksum for this place. */
void zs_image_seal(uint8_t *bytes, const struct zs_image_place *place);

/* Whether these 4096 bytes are an image written for this place, whole, and every object lies within it. */
bool zs_image_check(const uint8_t *bytes, const struct zs_image_place *place);

#endif
