#include "test/fake/faults.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECES_MAX = 2 * ZS_FRAME_SIZE / 8 };

struct piece {
	const struct zs_fetch *fetch;
	uint32_t offset;
	uint32_t length;
};

uint64_t fake_now(const struct fake *fake)
{
	return fake->world->ns / 100 * fake->clock_percent;
}

static void check_fetch(const struct fake *fake, const struct zs_steps *steps, const struct zs_fetch *f)
{
	uint64_t size = fake->world->engine->arena_size;
	const uint8_t *destination = f->destination;
	const uint8_t *first = fake->landing;

	if (f->length == 0 || f->address > size || f->length > size - f->address) {
		fprintf(stderr, "FAILED: a fetch of %u bytes at %" PRIu64 " of an arena of %" PRIu64 " bytes\n",
			f->length, f->address, size);
		exit(1);
	}
	if (destination < first || destination + f->length > first + steps->landing_size) {
		fprintf(stderr, "FAILED: a fetch of %u bytes to outside of its memory\n", f->length);
		exit(1);
	}
}

/* Memory for a post, just as big as was asked for; that of the one before is gone. */
static void land(struct fake *fake, struct zs_steps *steps)
{
	free(fake->landing);
	if (steps->landing_size > ZS_STEPS_LANDING_MAX ||
	    posix_memalign(&fake->landing, ZS_STEPS_ALIGNMENT, steps->landing_size)) {
		fprintf(stderr, "FAILED: a post needs %u bytes of memory\n", steps->landing_size);
		exit(1);
	}
	memset(fake->landing, 0xa5, steps->landing_size);
	zs_steps_land(steps, fake->landing);
}

/* Cuts the fetches into the pieces in which memory is read. */
static unsigned cut(const struct fake *fake, const struct zs_steps *steps, struct piece *pieces)
{
	uint32_t unit = fake->memory == FAKE_WORDS ? 8 : fake->memory == FAKE_LINES ? 64 : ZS_FRAME_SIZE;
	unsigned count = 0;

	for (uint32_t i = 0; i < steps->fetch_count; i++) {
		const struct zs_fetch *f = &steps->fetches[i];

		for (uint32_t at = 0; at < f->length;) {
			uint32_t n = unit - (uint32_t)((f->address + at) % unit);

			if (n > f->length - at)
				n = f->length - at;
			pieces[count++] = (struct piece){ f, at, n };
			at += n;
		}
	}
	return count;
}

static void shuffle(struct world *world, struct piece *pieces, unsigned count)
{
	for (unsigned i = count; i > 1; i--) {
		unsigned k = world_below(world, i);
		struct piece piece = pieces[i - 1];

		pieces[i - 1] = pieces[k];
		pieces[k] = piece;
	}
}

/*
 * Something happens between two pieces: little as a rule. Now and then so much that the object ends, rests, and its
 * slot is filled again.
 */
static void interrupt(struct fake *fake)
{
	struct world *world = fake->world;
	unsigned what = world_below(world, 100);

	world_mutate(world, 1 + world_below(world, 8), fake->key);
	if (what < 90)
		return;
	for (unsigned i = world_below(world, 4); i; i--) {
		world->ns += world_below(world, 12000000);
		zs_thread_upkeep(world->thread, 20);
		world_mutate(world, 1 + world_below(world, 60), fake->key);
	}
}

static void take_pieces(struct fake *fake, const struct piece *pieces, unsigned count)
{
	struct world *world = fake->world;
	unsigned points[3] = { UINT32_MAX, UINT32_MAX, UINT32_MAX };

	for (unsigned i = 0; fake->memory != FAKE_AT_ONCE && i < 3; i++) {
		if (world_below(world, 3) == 0)
			points[i] = world_below(world, count);
	}
	for (unsigned i = 0; i < count; i++) {
		const struct piece *p = &pieces[i];

		if (i == points[0] || i == points[1] || i == points[2])
			interrupt(fake);
		memcpy((uint8_t *)p->fetch->destination + p->offset,
		       world->engine->arena + p->fetch->address + p->offset, p->length);
	}
	fake->pieces += count;
}

static void spoil(struct world *world, const struct zs_steps *steps)
{
	unsigned bytes = 1 + world_below(world, world_below(world, 2) ? 3 : 200);

	for (unsigned i = 0; i < bytes; i++) {
		const struct zs_fetch *f = &steps->fetches[world_below(world, steps->fetch_count)];

		((uint8_t *)f->destination)[world_below(world, f->length)] = (uint8_t)world_random(world);
	}
}

/* Time that passes on the way: around half the quarantine, or around the lease. */
static void delay(struct fake *fake)
{
	struct world *world = fake->world;

	if (world_below(world, 1000) >= fake->late)
		return;
	world_mutate(world, world_below(world, 60), fake->key);
	world->ns += world_below(world, 20) ? world_below(world, 25000000) : world_below(world, 2000000000);
	zs_thread_upkeep(world->thread, 20);
}

enum zs_steps_status fake_perform(struct fake *fake, struct zs_steps *steps)
{
	static struct piece pieces[PIECES_MAX];
	uint32_t count = steps->fetch_count;
	enum zs_steps_status status = ZS_STEPS_WAIT;
	unsigned n;

	fake->posts++;
	fake->fetches += count;
	land(fake, steps);
	for (uint32_t i = 0; i < count; i++)
		check_fetch(fake, steps, &steps->fetches[i]);
	n = cut(fake, steps, pieces);
	if (fake->memory == FAKE_LINES)
		shuffle(fake->world, pieces, n);
	fake->world->ns += 2000;
	delay(fake);
	take_pieces(fake, pieces, n);
	if (fake->garbage)
		spoil(fake->world, steps);
	delay(fake);
	fake->world->ns += 2000;
	for (uint32_t i = 0; i < count; i++) {
		bool ok = world_below(fake->world, 1000) >= fake->fail;

		if (status != ZS_STEPS_WAIT) {
			fprintf(stderr, "FAILED: the machine went on before all fetches were reported\n");
			exit(1);
		}
		status = zs_steps_done(steps, ok, fake_now(fake));
	}
	return status;
}
