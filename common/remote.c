#include "common/remote.h"

#include <stdio.h>
#include <string.h>

#include "common/error.h"

/* A wrong guess costs a round trip, so it weighs as much as so many right ones; from the limit on none are made. */
#define GUESS_COST 4u
#define GUESS_LIMIT 16u

int zs_remote_init(struct zs_remote *remote, const void *superblock, uint64_t size, struct zs_locations *locations,
		   char *why, size_t why_size)
{
	struct zs_superblock super;
	int error;

	memcpy(&super, superblock, sizeof(super));
	error = zs_superblock_check(&super, size, why, why_size);
	if (error)
		return error;
	if (!super.quarantine_ms) {
		snprintf(why, why_size, "the node's quarantine is 0 ms: its memory cannot be read from outside");
		return ZS_EPROTO;
	}
	if (super.sequence & 1) {
		snprintf(why, why_size, "the node's index tables are being replaced; try again");
		return ZS_EAGAIN;
	}
	memset(remote, 0, sizeof(*remote));
	for (uint32_t i = 0; i < super.partitions; i++) {
		if (!zs_place_is_sound(&super.partition[i], size)) {
			snprintf(why, why_size, "the tables of partition %u lie outside of the arena's %llu bytes", i,
				 (unsigned long long)size);
			return ZS_EPROTO;
		}
		remote->parts[i].place = super.partition[i];
		remote->parts[i].sequence = super.sequence + 1; /* to be read anew after the sequence was seen */
	}
	remote->incarnation = super.incarnation;
	remote->seed = super.seed;
	remote->arena_size = size;
	remote->quarantine_ns = (uint64_t)super.quarantine_ms * 1000000u;
	remote->partitions = super.partitions;
	remote->sequence = super.sequence;
	remote->locations = locations;
	if (locations)
		zs_locations_clear(locations);
	return ZS_OK;
}

void zs_remote_lease(struct zs_remote *remote, uint64_t sent_ns, uint64_t duration_ns, uint64_t node_ms)
{
	/* Our clock may be the slower one: by the time it shows less than the duration, the node's shows all of it. */
	remote->lease_until_ns = sent_ns + duration_ns / (100 + ZS_CLOCK_RATE_PERCENT) * 100;
	remote->sent_ns = sent_ns;
	remote->node_ms = node_ms;
}

void zs_remote_revoke(struct zs_remote *remote)
{
	remote->lease_until_ns = 0;
}

uint64_t zs_remote_node_ms(const struct zs_remote *remote, uint64_t now_ns)
{
	/* The node took its time after we had sent the request, and its clock may be the faster one. */
	return remote->node_ms + (now_ns - remote->sent_ns) / 1000000 * (100 + ZS_CLOCK_RATE_PERCENT) / 100 + 2;
}

bool zs_remote_is_timely(const struct zs_remote *remote, uint64_t started_ns, uint64_t now_ns)
{
	return !remote->restarted && now_ns - started_ns < remote->quarantine_ns / 2 && now_ns < remote->lease_until_ns;
}

bool zs_remote_is_confirmed(const struct zs_remote *remote, const struct zs_remote_part *part, uint64_t now_ns)
{
	/*
	 * A table that is replaced rests for the quarantine. A quarter of it since the confirmation and half of it for
	 * the read leave room for the clocks' difference.
	 */
	return part->verified && part->sequence == remote->sequence && remote->confirmed_ns &&
	       now_ns - remote->confirmed_ns < remote->quarantine_ns / 4;
}

static uint64_t slab_name(uint32_t partition, uint32_t id)
{
	return ((uint64_t)partition << ZS_SLAB_ID_BITS | id) + 1;
}

static size_t shape_index(uint64_t slab)
{
	return (size_t)((slab * 0x9e3779b97f4a7c15ull) >> 32) % ZS_REMOTE_SHAPES;
}

const struct zs_remote_shape *zs_remote_guess(const struct zs_remote *remote, uint32_t partition, uint32_t id)
{
	uint64_t slab = slab_name(partition, id);
	const struct zs_remote_shape *shape = &remote->shapes[shape_index(slab)];

	return shape->slab == slab ? shape : &remote->latest;
}

bool zs_remote_trusts_guesses(const struct zs_remote *remote)
{
	return remote->misguesses < GUESS_LIMIT;
}

void zs_remote_note_guess(struct zs_remote *remote, bool right)
{
	if (!right && remote->misguesses < 2 * GUESS_LIMIT)
		remote->misguesses += GUESS_COST;
	else if (right && remote->misguesses)
		remote->misguesses--;
}

void zs_remote_note_shape(struct zs_remote *remote, uint32_t partition, uint32_t id, uint64_t identity,
			  uint64_t lifetime)
{
	uint64_t slab = slab_name(partition, id);

	remote->latest = (struct zs_remote_shape){ slab, identity, lifetime };
	remote->shapes[shape_index(slab)] = remote->latest;
}
