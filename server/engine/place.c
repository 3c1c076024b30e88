#include "server/engine/place.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/engine/evict.h"
#include "server/engine/group.h"
#include "server/engine/lifetime.h"
#include "server/engine/refill.h"
#include "server/engine/resize.h"
#include "server/engine/slab.h"

/* A shape seen this often among the last 2048 to 4096 objects gets slabs of its own. */
#define SHAPE_COMMON 64
#define SHAPE_PERIOD 2048

/* Bytes of the next slot that are fetched ahead. */
#define FETCH_MAX 512u

/* A thread opens no more slabs than this in one partition. */
#define OPEN_MAX 128

/* Deadlines within 8 units (at most TTL/12) share a window. */
#define WINDOW_SHIFT 3

/* ---- classes ---- */

#define CLASS_USED (1ull << 63)

static uint64_t class_of(enum zs_slab_kind kind, uint32_t key_size, uint32_t value_size, uint32_t unit, bool main,
			 uint32_t group)
{
	return CLASS_USED | (uint64_t)kind | (uint64_t)key_size << 2 | (uint64_t)value_size << 14 |
	       (uint64_t)unit << 26 | (uint64_t)main << 33 | (uint64_t)group << 34;
}

static enum zs_slab_kind class_kind(uint64_t class)
{
	return (enum zs_slab_kind)(class & 3);
}

static uint32_t class_unit(uint64_t class)
{
	return (uint32_t)(class >> 26) & 0x7f;
}

static uint64_t class_of_slab(const struct zs_slab *slab)
{
	uint64_t identity = zs_load(&slab->identity);
	uint64_t lifetime = zs_load(&slab->lifetime);
	enum zs_slab_kind kind = zs_lifetime_kind(lifetime);

	return class_of(kind, zs_identity_key_size(identity), zs_identity_value_size(identity),
			zs_lifetime_unit(lifetime), lifetime & ZS_SLAB_MAIN, zs_links_group(zs_load(&slab->links)));
}

static struct zs_open *set_of(struct zs_thread_part *tp, uint64_t class)
{
	return tp->open[(class * 0x9e3779b97f4a7c15ull) >> 61];
}

_Static_assert(ZS_OPEN_SETS == 8, "three bits of the product choose the set");

static struct zs_open *find_open(struct zs_thread_part *tp, uint64_t class)
{
	struct zs_open *set = set_of(tp, class);

	for (unsigned i = 0; i < ZS_OPEN_WAYS; i++) {
		if (set[i].class == class)
			return &set[i];
	}
	return NULL;
}

/* ---- slots that became free ---- */

void zs_place_freed(struct zs_thread *thread, struct zs_part *part, uint32_t id)
{
	struct zs_slab *slab = zs_frame(part, id);
	uint64_t lifetime = zs_load(&slab->lifetime);
	struct zs_open *open;

	if (lifetime & (ZS_SLAB_OPEN | ZS_SLAB_CLAIMED))
		return;
	if (!(lifetime & ZS_SLAB_SPARSE) && zs_slab_is_sparse(slab))
		zs_evict_note_sparse(part, id);
	if (lifetime & ZS_SLAB_LISTED || zs_lifetime_kind(lifetime) == ZS_KIND_MIXED)
		return;
	if (zs_refill_is_too_old(thread, slab))
		return;
	open = find_open(thread->parts[part->number], class_of_slab(slab));
	if (open)
		zs_refill_list(thread, open, part, id);
}

/* ---- opening and sealing ---- */

static void seal_lane(struct zs_thread *thread, struct zs_open *open, struct zs_part *part, struct zs_lane *lane)
{
	struct zs_thread_part *tp = thread->parts[part->number];
	struct zs_slab *slab = lane->slab;
	uint32_t id = lane->id;
	bool is_mixed = class_kind(open->class) == ZS_KIND_MIXED;
	uint64_t dead[4];

	lane->slab = NULL;
	zs_store(&tp->open_count, tp->open_count - 1);
	zs_fetch_and(&slab->lifetime, ~ZS_SLAB_LISTED);
	zs_slab_seal(thread, part, id);
	zs_dead_slots(slab, dead);
	if (!is_mixed && zs_room_is_empty(dead))
		return;
	if (zs_slab_is_sparse(slab))
		zs_evict_note_sparse(part, id);
	if (!is_mixed)
		zs_refill_list(thread, open, part, id);
}

/*
 * How many slabs a thread may have open: all threads together a sixteenth of the memory, and no more than some classes
 * can use. Each is half empty on average.
 */
static uint32_t open_limit(const struct zs_part *part)
{
	uint32_t threads = zs_load(&part->engine->epoch->used);
	uint32_t limit = part->frame_count / 16 / (threads ? threads : 1);

	if (limit < 4)
		return 4;
	return limit < OPEN_MAX ? limit : OPEN_MAX;
}

/* Seals the open slab that was used longest ago. */
static void seal_least_used(struct zs_thread *thread, struct zs_part *part)
{
	struct zs_thread_part *tp = thread->parts[part->number];
	struct zs_open *owner = NULL;
	struct zs_lane *least = NULL;

	for (unsigned i = 0; i < ZS_OPEN_SETS * ZS_OPEN_WAYS; i++) {
		struct zs_open *open = &tp->open[i / ZS_OPEN_WAYS][i % ZS_OPEN_WAYS];

		for (unsigned k = 0; k < ZS_LANES; k++) {
			if (open->lanes[k].slab && (!least || open->lanes[k].touched < least->touched)) {
				least = &open->lanes[k];
				owner = open;
			}
		}
	}
	if (least)
		seal_lane(thread, owner, part, least);
}

/* The class's entry in the thread's table; the entry used longest ago makes way, unless `gentle`: then NULL. */
static struct zs_open *get_open(struct zs_thread *thread, struct zs_part *part, uint64_t class, bool gentle)
{
	struct zs_thread_part *tp = thread->parts[part->number];
	struct zs_open *open = find_open(tp, class);
	struct zs_open *set;

	if (!open) {
		set = set_of(tp, class);
		open = &set[0];
		for (unsigned i = 1; i < ZS_OPEN_WAYS; i++) {
			if (set[i].used_at < open->used_at)
				open = &set[i];
		}
		if (open->class && gentle)
			return NULL;
		for (unsigned i = 0; i < ZS_LANES; i++) {
			if (open->lanes[i].slab)
				seal_lane(thread, open, part, &open->lanes[i]);
		}
		if (open->partial)
			open->partial->count = 0;
		open->class = class;
	}
	open->used_at = ++thread->operation;
	return open;
}

static void fill_room(uint64_t room[4], uint32_t slots)
{
	for (unsigned w = 0; w < 4; w++) {
		if (slots >= 64 * (w + 1))
			room[w] = UINT64_MAX;
		else
			room[w] = slots > 64 * w ? (1ull << (slots - 64 * w)) - 1 : 0;
	}
}

/* Slots of a mixed slab: some more than objects of the mean size would fill. */
static uint32_t mixed_slots(struct zs_thread_part *tp, uint32_t size)
{
	uint32_t mean = tp->mixed_size / 16;
	uint32_t slots = (ZS_FRAME_SIZE - 64) / ((mean < size ? mean : size) / 2 + mean / 2 + 4);

	slots = (slots + slots / 4 + 8) & ~7u;
	slots = slots > ZS_SLOTS_MAX ? ZS_SLOTS_MAX : slots;
	/* The object at hand must fit, however small the others are. */
	while (slots > 1 && zs_column_offset(slots) + zs_record_size(1) + size > ZS_FRAME_SIZE)
		slots /= 2;
	return slots;
}

/* Takes a new slab into a lane. */
static int open_new(struct zs_thread *thread, struct zs_part *part, const struct zs_wanted *wanted, uint64_t class,
		    struct zs_lane *lane)
{
	enum zs_slab_kind kind = class_kind(class);
	uint32_t unit = class_unit(class);
	uint32_t key_size = (uint32_t)wanted->key_size;
	uint32_t value_size = (uint32_t)wanted->value_size;
	uint64_t lifetime = zs_lifetime(unit ? zs_base_for(wanted->deadline, unit) : 0, unit, kind);
	uint32_t slots;

	if (kind == ZS_KIND_MIXED) {
		slots = mixed_slots(thread->parts[part->number], key_size + value_size);
		key_size = 0;
		value_size = 0;
	} else {
		slots = zs_slab_slots(kind, key_size, value_size, unit);
	}
	if (wanted->group && !zs_group_add_slab(part->engine, wanted->group))
		return ZS_EEXIST;
	lane->id = zs_slab_take(part, zs_identity(0, key_size, value_size, slots),
				lifetime | (wanted->main ? ZS_SLAB_MAIN : 0),
				wanted->group ? wanted->group->number : ZS_GROUP_NONE);
	if (lane->id == ZS_SLAB_NONE) {
		if (wanted->group)
			zs_group_slab_gone(part->engine, wanted->group->number);
		return ZS_EAGAIN;
	}
	zs_resize_assist(thread, part);
	lane->slab = zs_frame(part, lane->id);
	lane->used = 0;
	lane->start = ZS_FRAME_SIZE;
	fill_room(lane->room, kind == ZS_KIND_MIXED ? 0 : slots);
	if (wanted->group && zs_group_list_slab(part->engine, wanted->group, part->number, lane->id)) {
		/* Without its place in the list a drop would miss the slab. It stays sealed and empty. */
		zs_slab_seal(thread, part, lane->id);
		lane->slab = NULL;
		return ZS_ENOMEM;
	}
	return ZS_OK;
}

/* Gets the lane a slab; the lane is empty. */
static int fill_lane(struct zs_thread *thread, struct zs_part *part, const struct zs_wanted *wanted,
		     struct zs_open *open, struct zs_lane *lane)
{
	struct zs_thread_part *tp = thread->parts[part->number];
	int error;

	lane->touched = thread->operation;
	if (tp->open_count >= open_limit(part)) {
		if (wanted->gentle)
			return ZS_EAGAIN;
		seal_least_used(thread, part);
	}
	if (class_kind(open->class) != ZS_KIND_MIXED && zs_refill_take(thread, open, part, wanted->deadline, lane)) {
		zs_store(&tp->open_count, tp->open_count + 1);
		return ZS_OK;
	}
	if (!wanted->mover && zs_slab_available(part) < zs_evict_reserve_of_movers(part)) {
		/* Evicting may use our own open slabs, so it is done by zs_place when it holds none of them. */
		return ZS_EAGAIN;
	}
	error = open_new(thread, part, wanted, open->class, lane);
	if (!error)
		zs_store(&tp->open_count, tp->open_count + 1);
	return error;
}

/* ---- choosing a slot ---- */

static bool is_dropped(const struct zs_lane *lane)
{
	return zs_load(&lane->slab->lifetime) & ZS_SLAB_DROPPED;
}

/* Chooses the lane for a window of deadlines; see the head of place.h. */
static struct zs_lane *lane_for_window(struct zs_open *open, uint32_t window)
{
	struct zs_lane *oldest = &open->lanes[0];

	for (unsigned i = 0; i < ZS_LANES; i++) {
		struct zs_lane *lane = &open->lanes[i];

		if (lane->slab && lane->window == window)
			return lane;
		if (!lane->slab)
			lane->touched = 0;
		if (lane->touched < oldest->touched)
			oldest = lane;
	}
	oldest->window = window;
	return oldest;
}

/* The first slot in `room`, which is not empty. */
static uint32_t first_slot(const uint64_t room[4])
{
	uint32_t w = 0;

	while (!room[w])
		w++;
	return w * 64 + (uint32_t)__builtin_ctzll(room[w]);
}

/*
 * Starts to fetch the slot that the next object of the class is likely to get. Writing to memory that is not in the
 * cache costs little by itself, but the locks that follow wait for it.
 */
static void fetch_next(const struct zs_part *part, const struct zs_open *open, const struct zs_lane *lane,
		       uint32_t stride)
{
	const struct zs_partial_ring *ring = open->partial;
	const uint64_t *room = lane->room;
	const uint8_t *frame = (const uint8_t *)lane->slab;
	const uint8_t *slot;

	if (zs_room_is_empty(room)) {
		if (!ring || !ring->count)
			return;
		room = ring->entries[ring->first].room;
		frame = (const uint8_t *)zs_frame(part, ring->entries[ring->first].id);
		__builtin_prefetch(frame, 1);
	}
	slot = frame + ((ZS_FRAME_SIZE - (first_slot(room) + 1) * stride) & (ZS_FRAME_SIZE - 1));
	for (uint32_t at = 0; at < stride && at < FETCH_MAX; at += 64)
		__builtin_prefetch(slot + at, 1);
}

static int place_uniform(struct zs_thread *thread, struct zs_part *part, const struct zs_wanted *wanted,
			 struct zs_open *open, struct zs_spot *spot)
{
	uint32_t unit = class_unit(open->class);
	uint64_t window = unit ? wanted->deadline / zs_unit_ms(unit) >> WINDOW_SHIFT : 0;
	struct zs_lane *lane = unit ? lane_for_window(open, (uint32_t)window) : &open->lanes[0];
	uint8_t byte = 0;

	if (lane->slab && (is_dropped(lane) || zs_room_is_empty(lane->room)))
		seal_lane(thread, open, part, lane);
	if (lane->slab && !zs_refill_fits(lane->slab, wanted->deadline, &byte)) {
		if (wanted->gentle)
			return ZS_EAGAIN;
		seal_lane(thread, open, part, lane);
	}
	if (!lane->slab) {
		int error = fill_lane(thread, part, wanted, open, lane);

		if (error)
			return error;
		zs_refill_fits(lane->slab, wanted->deadline, &byte);
	}
	lane->touched = thread->operation;
	spot->slot = first_slot(lane->room);
	lane->room[spot->slot / 64] &= lane->room[spot->slot / 64] - 1;
	fetch_next(part, open, lane, (uint32_t)(wanted->key_size + wanted->value_size));
	spot->lane = lane;
	spot->slab = lane->slab;
	spot->id = lane->id;
	if (unit) {
		uint32_t slots = zs_identity_slots(zs_load(&lane->slab->identity));

		zs_store((uint8_t *)lane->slab + zs_deadline_offset(class_kind(open->class), slots, spot->slot), byte);
	}
	return ZS_OK;
}

/* Bytes for one more object in a mixed slab, its record not counted; -1 if all its slots are taken. */
static int mixed_room(const struct zs_lane *lane, uint32_t unit)
{
	uint32_t slots = zs_identity_slots(zs_load(&lane->slab->identity));
	uint32_t records_end = zs_column_offset(slots) + (lane->used + 1) * zs_record_size(unit);

	return lane->used < slots ? (int)lane->start - (int)records_end : -1;
}

/* The lane with the least room that suffices; else an empty one, else the fullest, emptied, or NULL if gentle. */
static struct zs_lane *best_fit(struct zs_thread *thread, struct zs_part *part, const struct zs_wanted *wanted,
				struct zs_open *open)
{
	int size = (int)(wanted->key_size + wanted->value_size);
	struct zs_lane *best = NULL;
	struct zs_lane *fullest = NULL;
	struct zs_lane *empty = NULL;
	int best_room = 0;
	int least_room = 0;

	for (unsigned i = 0; i < ZS_LANES; i++) {
		struct zs_lane *lane = &open->lanes[i];
		uint8_t byte;
		int room;

		if (lane->slab &&
		    (is_dropped(lane) || (!wanted->gentle && !zs_refill_fits(lane->slab, wanted->deadline, &byte))))
			seal_lane(thread, open, part, lane);
		if (!lane->slab) {
			empty = lane;
			continue;
		}
		if (!zs_refill_fits(lane->slab, wanted->deadline, &byte))
			continue;
		room = mixed_room(lane, class_unit(open->class));
		if (room >= size && (!best || room < best_room)) {
			best = lane;
			best_room = room;
		}
		if (!fullest || room < least_room) {
			fullest = lane;
			least_room = room;
		}
	}
	if (best || empty || wanted->gentle)
		return best ? best : empty;
	seal_lane(thread, open, part, fullest);
	return fullest;
}

static int place_mixed(struct zs_thread *thread, struct zs_part *part, const struct zs_wanted *wanted,
		       struct zs_open *open, struct zs_spot *spot)
{
	struct zs_thread_part *tp = thread->parts[part->number];
	uint32_t unit = class_unit(open->class);
	uint32_t size = (uint32_t)(wanted->key_size + wanted->value_size);
	struct zs_lane *lane = best_fit(thread, part, wanted, open);
	uint32_t record;
	uint8_t *at;
	uint8_t byte;

	if (!lane)
		return ZS_EAGAIN;
	tp->mixed_size = tp->mixed_size ? tp->mixed_size - tp->mixed_size / 16 + size : size * 16;
	if (!lane->slab) {
		int error = fill_lane(thread, part, wanted, open, lane);

		if (error)
			return error;
	}
	lane->touched = thread->operation;
	lane->start -= size;
	spot->lane = lane;
	spot->slab = lane->slab;
	spot->id = lane->id;
	spot->slot = lane->used++;
	at = (uint8_t *)lane->slab + zs_column_offset(zs_identity_slots(zs_load(&lane->slab->identity))) +
	     spot->slot * zs_record_size(unit);
	record = lane->start | (uint32_t)wanted->key_size << 12;
	at[0] = (uint8_t)record;
	at[1] = (uint8_t)(record >> 8);
	at[2] = (uint8_t)(record >> 16);
	if (unit) {
		zs_refill_fits(lane->slab, wanted->deadline, &byte);
		zs_store(&at[3], byte);
	}
	return ZS_OK;
}

/* Whether objects of this shape are common enough for slabs of their own. */
static bool is_common(struct zs_thread_part *tp, size_t key_size, size_t value_size)
{
	uint8_t *seen = &tp->shapes[(key_size * 0x9e3779b1u + value_size * 0x85ebca77u) >> 5 & 0xff];

	if (*seen < UINT8_MAX)
		++*seen;
	if (++tp->shapes_seen == SHAPE_PERIOD) {
		tp->shapes_seen = 0;
		for (unsigned i = 0; i < 256; i++)
			tp->shapes[i] /= 2;
	}
	return *seen >= SHAPE_COMMON;
}

static uint64_t choose_class(struct zs_thread *thread, struct zs_part *part, const struct zs_wanted *wanted)
{
	struct zs_thread_part *tp = thread->parts[part->number];
	uint32_t group = wanted->group ? wanted->group->number : ZS_GROUP_NONE;
	uint32_t unit = 0;

	if (wanted->deadline)
		unit = wanted->unit ? wanted->unit : zs_unit_for(zs_left(thread, wanted->deadline));
	if (wanted->counter)
		return class_of(ZS_KIND_COUNTER, (uint32_t)wanted->key_size, 8, unit, wanted->main, group);
	/*
	 * A slab for one object needs no records and leaves the most room; an object of no bytes cannot have a record.
	 */
	if (is_common(tp, wanted->key_size, wanted->value_size) ||
	    wanted->key_size + wanted->value_size > ZS_FRAME_SIZE - 128 || wanted->key_size + wanted->value_size == 0)
		return class_of(ZS_KIND_UNIFORM, (uint32_t)wanted->key_size, (uint32_t)wanted->value_size, unit,
				wanted->main, group);
	return class_of(ZS_KIND_MIXED, 0, 0, unit, wanted->main, group);
}

static int try_place(struct zs_thread *thread, struct zs_part *part, const struct zs_wanted *wanted, uint64_t class,
		     struct zs_spot *spot)
{
	struct zs_open *open = get_open(thread, part, class, wanted->gentle);
	uint64_t identity;
	uint64_t lifetime;
	int error;

	if (!open)
		return ZS_EAGAIN;
	if (class_kind(class) == ZS_KIND_MIXED)
		error = place_mixed(thread, part, wanted, open, spot);
	else
		error = place_uniform(thread, part, wanted, open, spot);
	if (error)
		return error;
	identity = zs_load(&spot->slab->identity);
	lifetime = zs_load(&spot->slab->lifetime);
	zs_slab_set_recency(spot->slab, zs_identity_slots(identity), spot->slot, 0);
	if (!zs_slab_extent(spot->slab, identity, lifetime, spot->slot, &spot->extent))
		assert(!"a slot was placed outside its slab");
	return ZS_OK;
}

int zs_place(struct zs_thread *thread, struct zs_part *part, const struct zs_wanted *wanted, struct zs_spot *spot)
{
	uint64_t class = choose_class(thread, part, wanted);
	struct zs_wanted forced;
	int error = try_place(thread, part, wanted, class, spot);

	if (error != ZS_EAGAIN || wanted->mover)
		return error;
	error = zs_evict_make_room(thread, part);
	if (error)
		return error;
	forced = *wanted;
	forced.mover = true; /* what there is, is there to be used */
	return try_place(thread, part, &forced, class, spot);
}

void zs_place_undo(const struct zs_spot *spot)
{
	struct zs_lane *lane = spot->lane;

	if (lane->slab != spot->slab)
		return;
	if (zs_lifetime_kind(zs_load(&spot->slab->lifetime)) == ZS_KIND_MIXED) {
		assert(lane->used == spot->slot + 1);
		lane->used--;
		lane->start += spot->extent.key_size + spot->extent.value_size;
	} else {
		lane->room[spot->slot / 64] |= 1ull << (spot->slot % 64);
	}
}

bool zs_place_commit(struct zs_thread *thread, struct zs_part *part, const struct zs_spot *spot)
{
	zs_slab_begin_object(thread, part, spot->slab, spot->slot);
	/* Sequentially consistent on both sides: either we see the mark, or the dropper sees our live bit. */
	if (!(__atomic_load_n(&spot->slab->lifetime, __ATOMIC_SEQ_CST) & ZS_SLAB_DROPPED))
		return true;
	zs_slab_end_object(thread, part, spot->slab, spot->slot);
	return false;
}

/* Whether nothing in the lane's slab can be read any more. */
static bool is_over(const struct zs_thread *thread, const struct zs_lane *lane)
{
	uint64_t last = zs_slab_last_deadline(lane->slab);

	return is_dropped(lane) || (last && last <= zs_now(thread));
}

void zs_place_seal(struct zs_thread *thread, struct zs_part *part, bool all)
{
	struct zs_thread_part *tp = thread->parts[part->number];

	for (unsigned s = 0; s < ZS_OPEN_SETS; s++) {
		for (unsigned w = 0; w < ZS_OPEN_WAYS; w++) {
			struct zs_open *open = &tp->open[s][w];

			for (unsigned i = 0; i < ZS_LANES; i++) {
				if (open->lanes[i].slab && (all || is_over(thread, &open->lanes[i])))
					seal_lane(thread, open, part, &open->lanes[i]);
			}
		}
	}
}

void zs_place_free(struct zs_thread *thread, struct zs_part *part)
{
	struct zs_thread_part *tp = thread->parts[part->number];

	zs_place_seal(thread, part, true);
	for (unsigned s = 0; s < ZS_OPEN_SETS; s++) {
		for (unsigned w = 0; w < ZS_OPEN_WAYS; w++) {
			if (tp->open[s][w].partial)
				__atomic_fetch_sub(&part->engine->outside_bytes, sizeof(struct zs_partial_ring),
						   __ATOMIC_RELAXED);
			free(tp->open[s][w].partial);
		}
	}
}
