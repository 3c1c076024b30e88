#include "common/reader.h"

#include <stdio.h>

#include "common/error.h"

int zs_superblock_check(const struct zs_superblock *super, uint64_t size, char *why, size_t why_size)
{
	if (super->magic != ZS_LAYOUT_MAGIC)
		snprintf(why, why_size, "this is no arena of ZNS-Slab: it begins with %#llx instead of %#llx",
			 (unsigned long long)super->magic, (unsigned long long)ZS_LAYOUT_MAGIC);
	else if (super->version != ZS_LAYOUT_VERSION)
		snprintf(why, why_size, "the arena has layout version %u, this program reads version %u",
			 super->version, ZS_LAYOUT_VERSION);
	else if (super->partitions < 1 || super->partitions > ZS_PARTITIONS_MAX)
		snprintf(why, why_size, "the arena says it has %u partitions; it must be between 1 and %u",
			 super->partitions, ZS_PARTITIONS_MAX);
	else if (super->arena_size != size)
		snprintf(why, why_size, "the arena says it has %llu bytes, but there are %llu",
			 (unsigned long long)super->arena_size, (unsigned long long)size);
	else
		return ZS_OK;
	return ZS_EPROTO;
}

/* Whether `count` things of `each` bytes from `offset` on, aligned to that size, lie between superblock and end. */
static bool lies_within(uint64_t offset, uint64_t count, uint64_t each, uint64_t size)
{
	return offset % each == 0 && offset >= ZS_FRAME_SIZE && offset <= size && count <= (size - offset) / each;
}

static bool table_is_sound(const struct zs_table_place *table, uint64_t size)
{
	return table->buckets <= UINT32_MAX &&
	       lies_within(table->offset, table->buckets, sizeof(struct zs_bucket), size);
}

bool zs_place_is_sound(const struct zs_partition_place *place, uint64_t size)
{
	return place->frames < ZS_SLAB_NONE && lies_within(place->frames_offset, place->frames, ZS_FRAME_SIZE, size) &&
	       place->main.buckets && table_is_sound(&place->main, size) &&
	       (!place->previous.buckets || table_is_sound(&place->previous, size));
}
