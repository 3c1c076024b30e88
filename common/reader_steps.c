#include "common/reader_steps.h"

#include <assert.h>
#include <string.h>

#include "common/hash.h"

enum state {
	HOT,
	PLACE,
	BUCKETS, /* the first one; all of them while a table is replaced */
	SECOND_BUCKET,
	OBJECT,
	OVER,
};

/* Parts of a slab with fewer bytes between them are fetched as one. */
#define MERGE_GAP 256u

/* The header of any slab begins in its first line: three words and the live bits. */
#define FIRST_LINE 64u

/* Of the superblock: what tells whether the tables' places are still the same. */
#define HEAD_BYTES 64u
_Static_assert(offsetof(struct zs_superblock, sequence) + sizeof(uint32_t) <= HEAD_BYTES, "the head has the sequence");

static enum zs_steps_status ask(struct zs_steps *s, enum zs_ask_reason reason)
{
	s->state = OVER;
	s->fetch_count = 0;
	s->reason = reason;
	return ZS_STEPS_ASK;
}

static void begin_post(struct zs_steps *s, enum state state)
{
	s->state = state;
	s->fetch_count = 0;
	s->landing_size = 0;
	s->landing = NULL;
	s->failed = false;
}

/* Adds a fetch to the post, which lands behind the others, `skew` bytes beyond a multiple of 8. Where that is. */
static uint32_t add_fetch(struct zs_steps *s, uint64_t address, uint32_t length, uint32_t skew)
{
	uint32_t at = ((s->landing_size + 7) & ~7u) + skew;

	assert(s->fetch_count < ZS_STEPS_FETCHES);
	s->fetches[s->fetch_count] = (struct zs_fetch){ address, length, NULL };
	s->offsets[s->fetch_count++] = at;
	s->landing_size = at + length;
	return at;
}

static enum zs_steps_status post(struct zs_steps *s)
{
	assert(s->landing_size <= ZS_STEPS_LANDING_MAX);
	s->pending = s->fetch_count;
	s->round_trips++;
	return ZS_STEPS_FETCH;
}

static const struct zs_partition_place *place_of(const struct zs_steps *s)
{
	return &s->remote->parts[s->part].place;
}

/* ---- the tables' places ---- */

static enum zs_steps_status post_place(struct zs_steps *s)
{
	uint32_t size = sizeof(struct zs_partition_place);

	begin_post(s, PLACE);
	add_fetch(s, offsetof(struct zs_superblock, partition) + s->part * size, size, 0);
	return post(s);
}

static void add_bucket(struct zs_steps *s, const struct zs_table_place *table, uint32_t number)
{
	add_fetch(s, table->offset + (uint64_t)number * sizeof(struct zs_bucket), sizeof(struct zs_bucket), 0);
}

static void add_first_bucket(struct zs_steps *s, const struct zs_table_place *table)
{
	add_bucket(s, table, zs_hash_bucket(s->hash, (uint32_t)table->buckets));
}

/* False: it is the same as the first. */
static bool add_second_bucket(struct zs_steps *s, const struct zs_table_place *table)
{
	uint32_t count = (uint32_t)table->buckets;
	uint32_t first = zs_hash_bucket(s->hash, count);
	uint32_t second = zs_hash_other_bucket(first, zs_hash_tag(s->hash), count);

	if (second == first)
		return false;
	add_bucket(s, table, second);
	return true;
}

static void add_all_buckets(struct zs_steps *s, const struct zs_partition_place *place)
{
	add_first_bucket(s, &place->previous);
	add_second_bucket(s, &place->previous);
	add_first_bucket(s, &place->main);
	add_second_bucket(s, &place->main);
}

static enum zs_steps_status post_buckets(struct zs_steps *s, uint64_t now_ns)
{
	const struct zs_remote_part *part = &s->remote->parts[s->part];

	s->started_ns = now_ns;
	if (part->sequence != s->remote->sequence && !s->refreshed) {
		s->refreshed = true;
		return post_place(s);
	}
	begin_post(s, BUCKETS);
	s->sequence = part->sequence;
	s->checks_head = !zs_remote_is_confirmed(s->remote, part, now_ns);
	if (s->checks_head)
		add_fetch(s, 0, HEAD_BYTES, 0);
	s->has_second = !part->place.previous.buckets;
	if (s->has_second)
		add_first_bucket(s, &part->place.main);
	else
		add_all_buckets(s, &part->place);
	return post(s);
}

static enum zs_steps_status place_fetched(struct zs_steps *s, uint64_t now_ns)
{
	struct zs_remote_part *part = &s->remote->parts[s->part];
	struct zs_partition_place place;

	memcpy(&place, s->landing, sizeof(place));
	if (!zs_place_is_sound(&place, s->remote->arena_size))
		return ask(s, ZS_ASK_CHANGING);
	/* It is of this sequence if the sequence is still the same when the buckets are fetched. */
	if (part->sequence != s->remote->sequence) {
		part->place = place;
		part->sequence = s->remote->sequence;
		part->verified = false;
	}
	return post_buckets(s, now_ns);
}

enum head {
	HEAD_FITS,
	HEAD_MOVED, /* the tables are elsewhere by now */
	HEAD_ODD,
	HEAD_STRANGE,
};

static enum head check_head(struct zs_steps *s)
{
	struct zs_remote *remote = s->remote;
	struct zs_remote_part *part = &remote->parts[s->part];
	struct zs_superblock head;

	memcpy(&head, s->landing, HEAD_BYTES);
	if (head.magic != ZS_LAYOUT_MAGIC || head.version != ZS_LAYOUT_VERSION ||
	    head.incarnation != remote->incarnation)
		return HEAD_STRANGE;
	if (head.sequence & 1)
		return HEAD_ODD;
	remote->sequence = head.sequence;
	remote->confirmed_ns = s->started_ns;
	if (s->sequence != head.sequence)
		return HEAD_MOVED;
	/* Another machine may have read the place anew meanwhile; that is for that one to verify. */
	if (part->sequence == s->sequence)
		part->verified = true;
	return HEAD_FITS;
}

/* ---- objects ---- */

/* Bytes of a header up to what is needed for a slot. */
static uint32_t header_bytes(enum zs_slab_kind kind, uint32_t unit, uint32_t slots, uint32_t slot)
{
	uint32_t bytes = FIRST_LINE;

	if (kind == ZS_KIND_MIXED)
		bytes = zs_column_offset(slots) + (slot + 1) * zs_record_size(unit);
	else if (unit)
		bytes = zs_deadline_offset(kind, slots, slot) + 1;
	bytes = (bytes + 7) & ~7u;
	return bytes < FIRST_LINE ? FIRST_LINE : bytes;
}

/* Posts the header's first bytes and [start, end) of a slab. */
static enum zs_steps_status post_object(struct zs_steps *s, enum state state, uint32_t id, uint32_t header,
					uint32_t start, uint32_t end)
{
	uint64_t frame = place_of(s)->frames_offset + (uint64_t)id * ZS_FRAME_SIZE;

	begin_post(s, state);
	if (end > start && (start < header + MERGE_GAP || end <= s->remote->span)) {
		header = end > header ? end : header;
		start = end = 0;
	}
	s->header_bytes = header;
	s->slot_start = start;
	s->slot_end = end;
	add_fetch(s, frame, header, 0);
	if (end > start)
		s->slot_at = add_fetch(s, frame + start, end - start, start % 8);
	return post(s);
}

static const struct zs_slab *header_of(const struct zs_steps *s)
{
	return (const struct zs_slab *)(const void *)s->landing;
}

/* Byte `offset` of a slab, of which so much was fetched that it is there. */
static const uint8_t *slab_byte(const struct zs_steps *s, uint32_t offset)
{
	if (s->slot_end && offset >= s->slot_start)
		return s->landing + s->slot_at + (offset - s->slot_start);
	return s->landing + offset;
}

/* Key and value lie together: [*start, *end) of the slab. In counters the key is the second of them. */
static void range_of(const struct zs_extent *extent, uint64_t lifetime, uint32_t *start, uint32_t *end)
{
	bool counter = zs_lifetime_kind(lifetime) == ZS_KIND_COUNTER;

	*start = counter ? extent->value : extent->key;
	*end = counter ? extent->key + extent->key_size : extent->value + extent->value_size;
}

/* Fetches a candidate, going by these words of a header for where it lies. */
static enum zs_steps_status post_shaped(struct zs_steps *s, const struct zs_steps_candidate *c, uint64_t identity,
					uint64_t lifetime)
{
	enum zs_slab_kind kind = zs_lifetime_kind(lifetime);
	uint32_t slots = zs_identity_slots(identity);
	struct zs_extent extent;
	uint32_t start;
	uint32_t end;

	if (c->slot >= slots)
		return post_object(s, OBJECT, c->id, FIRST_LINE, 0, 0);
	/* Where an object of a mixed slab lies only its record says. The whole slab is fetched sooner than asked again.
	 */
	if (kind == ZS_KIND_MIXED)
		return post_object(s, OBJECT, c->id, ZS_FRAME_SIZE, 0, 0);
	/* Of other kinds these two words tell it all: no byte of the slab is looked at. */
	if (!zs_slab_extent(NULL, identity, lifetime, c->slot, &extent))
		return post_object(s, OBJECT, c->id, FIRST_LINE, 0, 0);
	range_of(&extent, lifetime, &start, &end);
	return post_object(s, OBJECT, c->id, header_bytes(kind, zs_lifetime_unit(lifetime), slots, c->slot), start,
			   end);
}

/*
 * The first bucket did not have it. By the same tables as that one: if they were replaced meanwhile, they rest while
 * this read may be believed.
 */
static enum zs_steps_status post_second_bucket(struct zs_steps *s)
{
	s->has_second = false;
	s->checks_head = false;
	if (s->remote->parts[s->part].sequence != s->sequence)
		return ask(s, ZS_ASK_CHANGING);
	begin_post(s, SECOND_BUCKET);
	if (!add_second_bucket(s, &place_of(s)->main))
		return ask(s, ZS_ASK_NOT_FOUND);
	return post(s);
}

static enum zs_steps_status next_candidate(struct zs_steps *s)
{
	while (s->candidate_next < s->candidate_count) {
		const struct zs_steps_candidate *c = &s->candidates[s->candidate_next++];

		if (c->id >= place_of(s)->frames)
			continue;
		s->attempts = 0;
		s->guess = *zs_remote_guess(s->remote, s->part, c->id);
		if (s->guess.slab && zs_remote_trusts_guesses(s->remote))
			return post_shaped(s, c, s->guess.identity, s->guess.lifetime);
		return post_object(s, OBJECT, c->id, ZS_FRAME_SIZE, 0, 0);
	}
	return s->has_second ? post_second_bucket(s) : ask(s, ZS_ASK_NOT_FOUND);
}

static void fill_value(struct zs_steps *s, const struct zs_slab *slab, uint64_t identity, uint64_t lifetime,
		       uint32_t slot, const struct zs_extent *extent)
{
	s->data = slab_byte(s, extent->value);
	s->value = (struct zs_read_value){
		.is_number = zs_lifetime_kind(lifetime) == ZS_KIND_COUNTER,
		.deadline = zs_slab_deadline(slab, identity, lifetime, slot),
	};
	if (s->value.is_number)
		memcpy(&s->value.number, s->data, sizeof(s->value.number));
	else
		s->value.size = extent->value_size;
}

static enum zs_steps_status judge(struct zs_steps *s, uint64_t now_ns)
{
	struct zs_remote *remote = s->remote;

	if (now_ns >= remote->lease_until_ns)
		return ask(s, ZS_ASK_LEASE);
	if (!zs_remote_is_timely(remote, s->started_ns, now_ns))
		return ask(s, remote->restarted ? ZS_ASK_RESTARTED : ZS_ASK_SLOW);
	if (s->value.deadline && s->value.deadline <= zs_remote_node_ms(remote, now_ns))
		return ask(s, ZS_ASK_EXPIRED);
	s->state = OVER;
	s->fetch_count = 0;
	return ZS_STEPS_HIT;
}

/* Whether what was fetched of the slab suffices to look at a slot. */
static bool is_covered(const struct zs_steps *s, uint64_t identity, uint64_t lifetime, uint32_t slot)
{
	enum zs_slab_kind kind = zs_lifetime_kind(lifetime);
	uint32_t slots = zs_identity_slots(identity);
	struct zs_extent extent;
	uint32_t start;
	uint32_t end;

	if (slot >= slots)
		return true; /* no object, then */
	if (header_bytes(kind, zs_lifetime_unit(lifetime), slots, slot) > s->header_bytes)
		return false;
	if (!zs_slab_extent(header_of(s), identity, lifetime, slot, &extent))
		return true;
	range_of(&extent, lifetime, &start, &end);
	return end <= s->header_bytes || (start >= s->slot_start && end <= s->slot_end) || start == end;
}

/* Looks at a slot of the fetched slab. True if it is the key's; then the value is filled. Says where it lies. */
static bool examine(struct zs_steps *s, const struct zs_steps_candidate *c, uint64_t identity, uint64_t lifetime,
		    struct zs_extent *extent)
{
	const struct zs_slab *slab = header_of(s);

	if (!zs_slab_extent(slab, identity, lifetime, c->slot, extent) || !zs_slab_is_live(slab, c->slot) ||
	    extent->key_size != s->key_size || !zs_key_equal(slab_byte(s, extent->key), s->key, s->key_size))
		return false;
	fill_value(s, slab, identity, lifetime, c->slot, extent);
	return true;
}

/* Takes note of where an object was found. */
static void remember(struct zs_steps *s, const struct zs_steps_candidate *c, uint64_t identity, uint64_t lifetime,
		     const struct zs_extent *extent)
{
	struct zs_location location = {
		.identity = identity,
		.id = c->id,
		.slot = c->slot,
		.kind = (uint8_t)zs_lifetime_kind(lifetime),
		.unit = (uint8_t)zs_lifetime_unit(lifetime),
	};
	uint32_t start;
	uint32_t end;

	range_of(extent, lifetime, &start, &end);
	location.start = (uint16_t)start;
	location.size = (uint16_t)(end - start);
	if (s->remote->locations)
		zs_locations_store(s->remote->locations, s->hash, &location);
}

static enum zs_steps_status object_fetched(struct zs_steps *s, uint64_t now_ns)
{
	const struct zs_steps_candidate *c = &s->candidates[s->candidate_next - 1];
	const struct zs_slab *slab = header_of(s);
	uint64_t identity = slab->identity;
	uint64_t lifetime = slab->lifetime;
	struct zs_extent extent;
	enum zs_steps_status status;

	if (!s->attempts++ && s->guess.slab)
		zs_remote_note_guess(s->remote,
				     zs_same_shape(s->guess.identity, identity, s->guess.lifetime, lifetime));
	zs_remote_note_shape(s->remote, s->part, c->id, identity, lifetime);
	if (!is_covered(s, identity, lifetime, c->slot)) {
		/* If its shape changed between the two it is another slab now. */
		return s->attempts > 1 ? next_candidate(s) : post_shaped(s, c, identity, lifetime);
	}
	if (!examine(s, c, identity, lifetime, &extent))
		return next_candidate(s);
	status = judge(s, now_ns);
	if (status == ZS_STEPS_HIT)
		remember(s, c, identity, lifetime, &extent);
	return status;
}

/* ---- hot ---- */

static enum zs_steps_status post_hot(struct zs_steps *s, const struct zs_location *l)
{
	uint32_t slots = zs_identity_slots(l->identity);

	s->location = *l;
	return post_object(s, HOT, l->id, header_bytes((enum zs_slab_kind)l->kind, l->unit, slots, l->slot), l->start,
			   (uint32_t)l->start + l->size);
}

/* Whether what was fetched by a remembered location suffices, going by the header's words. */
static bool is_as_remembered(const struct zs_steps *s, uint64_t identity, uint64_t lifetime)
{
	const struct zs_location *l = &s->location;

	if (identity != l->identity || zs_lifetime_unit(lifetime) != l->unit || zs_lifetime_kind(lifetime) != l->kind)
		return false;
	/* Of other kinds these words say where the slot is, as they did then. */
	return l->kind != ZS_KIND_MIXED || is_covered(s, identity, lifetime, l->slot);
}

static enum zs_steps_status hot_fetched(struct zs_steps *s, uint64_t now_ns)
{
	const struct zs_slab *slab = header_of(s);
	const struct zs_steps_candidate c = { s->location.id, s->location.slot };
	struct zs_extent extent;

	/* The words of the header are those of the generation in which the location was remembered, or it is none. */
	if (is_as_remembered(s, slab->identity, slab->lifetime) &&
	    examine(s, &c, slab->identity, slab->lifetime, &extent))
		return judge(s, now_ns);
	zs_locations_drop(s->remote->locations, s->hash);
	return post_buckets(s, now_ns);
}

/* ---- cold ---- */

/* Takes the entries with the key's tag. One of an odd bucket may be on its way out: it proves nothing. */
static void collect(struct zs_steps *s, const struct zs_bucket *bucket)
{
	if (bucket->sequence & 1)
		return;
	for (uint32_t mask = zs_bucket_match(bucket, zs_hash_tag(s->hash)); mask; mask &= mask - 1) {
		uint32_t i = (uint32_t)__builtin_ctz(mask);

		if (s->candidate_count == ZS_STEPS_CANDIDATES)
			return;
		s->candidates[s->candidate_count++] =
		    (struct zs_steps_candidate){ zs_bucket_slab(bucket, i), zs_bucket_slot(bucket, i) };
	}
}

static enum zs_steps_status follow_buckets(struct zs_steps *s)
{
	s->candidate_count = 0;
	s->candidate_next = 0;
	for (uint32_t i = s->checks_head; i < s->fetch_count; i++)
		collect(s, (const struct zs_bucket *)(const void *)(s->landing + s->offsets[i]));
	return next_candidate(s);
}

static enum zs_steps_status buckets_fetched(struct zs_steps *s, uint64_t now_ns)
{
	enum head head = s->checks_head ? check_head(s) : HEAD_FITS;

	if (head == HEAD_STRANGE) {
		s->remote->restarted = true;
		if (s->remote->locations)
			zs_locations_clear(s->remote->locations);
		return ask(s, ZS_ASK_RESTARTED);
	}
	if (head == HEAD_MOVED && !s->refreshed)
		return post_buckets(s, now_ns);
	if (head != HEAD_FITS)
		return ask(s, ZS_ASK_CHANGING);
	return follow_buckets(s);
}

/* ---- interface ---- */

enum zs_steps_status zs_steps_start(struct zs_steps *steps, struct zs_remote *remote, const void *key, size_t key_size,
				    uint64_t now_ns)
{
	struct zs_location location;

	steps->round_trips = 0;
	steps->refreshed = false;
	steps->remote = remote;
	steps->key = key;
	steps->key_size = (uint32_t)key_size;
	steps->started_ns = now_ns;
	steps->hash = zs_hash(key, key_size, remote->seed);
	steps->part = zs_hash_partition(steps->hash, remote->partitions);
	if (remote->restarted)
		return ask(steps, ZS_ASK_RESTARTED);
	if (now_ns >= remote->lease_until_ns)
		return ask(steps, ZS_ASK_LEASE);
	if (key_size >= ZS_FRAME_SIZE)
		return ask(steps, ZS_ASK_NOT_FOUND);
	if (remote->locations && zs_locations_find(remote->locations, steps->hash, &location))
		return post_hot(steps, &location);
	return post_buckets(steps, now_ns);
}

void zs_steps_land(struct zs_steps *steps, void *memory)
{
	assert((uintptr_t)memory % ZS_STEPS_ALIGNMENT == 0);
	steps->landing = memory;
	for (uint32_t i = 0; i < steps->fetch_count; i++)
		steps->fetches[i].destination = steps->landing + steps->offsets[i];
}

enum zs_steps_status zs_steps_done(struct zs_steps *steps, bool ok, uint64_t now_ns)
{
	assert(steps->state != OVER && steps->pending > 0 && steps->landing);
	steps->failed |= !ok;
	if (--steps->pending)
		return ZS_STEPS_WAIT;
	if (steps->failed)
		return ask(steps, ZS_ASK_FAILED);
	/* Nothing that comes after would be believed. */
	if (now_ns >= steps->remote->lease_until_ns)
		return ask(steps, ZS_ASK_LEASE);
	switch ((enum state)steps->state) {
	case HOT:
		return hot_fetched(steps, now_ns);
	case PLACE:
		return place_fetched(steps, now_ns);
	case BUCKETS:
		return buckets_fetched(steps, now_ns);
	case SECOND_BUCKET:
		return follow_buckets(steps);
	default:
		return object_fetched(steps, now_ns);
	}
}

enum zs_steps_status zs_steps_cancel(struct zs_steps *steps)
{
	assert(steps->state != OVER);
	steps->pending = 0;
	return ask(steps, ZS_ASK_FAILED);
}

const char *zs_ask_reason_text(enum zs_ask_reason reason)
{
	static const char *const texts[] = {
#define ZS_ASK_TEXT(name) [ZS_ASK_##name] = #name,
		ZS_ASK_REASONS(ZS_ASK_TEXT)
#undef ZS_ASK_TEXT
	};

	return reason < ZS_ASK_COUNT ? texts[reason] : "?";
}
