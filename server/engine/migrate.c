#include "server/engine/migrate.h"

#include "server/engine/index.h"
#include "server/engine/slab.h"

/* Buckets looked at to find one that has not been moved yet. */
#define LOOKS 32

/* The entries of a bucket that is moved, and where each of them goes. */
struct load {
	uint64_t hashes[ZS_BUCKET_ENTRIES];
	struct zs_pair pairs[ZS_BUCKET_ENTRIES];
	uint32_t alive; /* bit i: entry i leads to a live object */
};

/* ---- what a move needs to read ---- */

/*
 * A move needs the keys of the bucket's entries and the buckets that they go to, some 50 lines in 26 pages. They are
 * fetched in two steps ahead of the move, and what the entries say is only a hint there: the bucket is not locked.
 * Fetching takes time even though nothing waits for what it brings, because each page has to be looked up first.
 */
static void fetch_keys(const struct zs_part *part, const struct zs_bucket *bucket)
{
	for (uint32_t i = 0; i < ZS_BUCKET_ENTRIES; i++) {
		if (zs_bucket_tag(bucket, i))
			__builtin_prefetch(zs_frame(part, zs_bucket_slab(bucket, i)));
	}
	/* Where the key is, the header tells. */
	for (uint32_t i = 0; i < ZS_BUCKET_ENTRIES; i++) {
		uint32_t id = zs_bucket_slab(bucket, i);
		const struct zs_slab *slab = zs_frame(part, id);
		struct zs_extent extent;

		if (zs_bucket_tag(bucket, i) && id < part->frame_count &&
		    zs_slab_is_live(slab, zs_bucket_slot(bucket, i)) &&
		    zs_slab_extent(slab, zs_load(&slab->identity), zs_load(&slab->lifetime), zs_bucket_slot(bucket, i),
				   &extent))
			__builtin_prefetch((const uint8_t *)slab + extent.key);
	}
}

/* The hash of the key in a slot, false if there is no live object. */
static bool hash_of_slot(const struct zs_part *part, uint32_t id, uint32_t slot, uint64_t *hash)
{
	const struct zs_slab *slab = zs_frame(part, id);
	struct zs_extent extent;

	if (!zs_slab_is_live(slab, slot) ||
	    !zs_slab_extent(slab, zs_load(&slab->identity), zs_load(&slab->lifetime), slot, &extent))
		return false;
	*hash = zs_hash((const uint8_t *)slab + extent.key, extent.key_size, part->engine->seed);
	return true;
}

/* Looks where the entries of a bucket go, and fetches those buckets. */
static void look_ahead(const struct zs_part *part, const struct zs_table *table, const struct zs_bucket *bucket,
		       struct load *load)
{
	load->alive = 0;
	for (uint32_t i = 0; i < ZS_BUCKET_ENTRIES; i++) {
		if (!zs_bucket_tag(bucket, i) || zs_bucket_slab(bucket, i) >= part->frame_count ||
		    !hash_of_slot(part, zs_bucket_slab(bucket, i), zs_bucket_slot(bucket, i), &load->hashes[i]))
			continue;
		load->pairs[i] = zs_index_pair(table, load->hashes[i]);
		__builtin_prefetch(load->pairs[i].a, 1);
		__builtin_prefetch(load->pairs[i].b, 1);
		load->alive |= 1u << i;
	}
}

/* ---- moving ---- */

/*
 * Puts an entry into the emptier of its two buckets. To lock that one is enough: nobody else deals with this entry in
 * the main table before its previous bucket, which is locked, is marked.
 */
static bool put(struct zs_pair pair, uint8_t tag, uint32_t id, uint32_t slot)
{
	int free_a = __builtin_popcount(zs_bucket_match(pair.a, 0));
	int free_b = __builtin_popcount(zs_bucket_match(pair.b, 0));
	struct zs_bucket *bucket = free_b > free_a ? pair.b : pair.a;
	uint32_t mask;

	zs_bucket_lock(bucket);
	mask = zs_bucket_match(bucket, 0);
	if (mask)
		zs_bucket_set(bucket, (uint32_t)__builtin_ctz(mask), tag, id, slot);
	zs_bucket_unlock(bucket);
	return mask;
}

/* Inserts an entry for which there was no room, by making some. False if that did not help; the object ends. */
static bool squeeze_in(struct zs_thread *thread, struct zs_part *part, const struct zs_table *table, uint64_t hash,
		       uint32_t id, uint32_t slot)
{
	for (unsigned tries = 0; tries < 64; tries++) {
		struct zs_locked locked;
		bool done;

		zs_index_make_room(thread, table, hash);
		zs_index_lock_table(part, *table, hash, &locked);
		done = zs_index_insert(thread, &locked, id, slot, tries >= 8);
		zs_index_unlock(&locked);
		if (done)
			return true;
	}
	/* Neither room nor overflow: cannot be while the table has an eighth more places than entries, but losing an
	 * entry of a cache beats losing the process. */
	zs_slab_end_object(thread, part, zs_frame(part, id), slot);
	return false;
}

/* Moves the entries of a bucket that is locked. */
static void move_entries(struct zs_thread *thread, struct zs_part *part, const struct zs_table *table,
			 struct zs_bucket *b)
{
	struct zs_figures *figures = &thread->parts[part->number]->figures;
	struct load load;

	look_ahead(part, table, b, &load);
	for (uint32_t i = 0; i < ZS_BUCKET_ENTRIES; i++) {
		uint32_t id = zs_bucket_slab(b, i);
		uint32_t slot = zs_bucket_slot(b, i);
		uint8_t tag = zs_bucket_tag(b, i);

		if (!tag)
			continue;
		if (!(load.alive >> i & 1 && put(load.pairs[i], tag, id, slot))) {
			zs_store(&figures->entries, figures->entries - 1);
			if (load.alive >> i & 1)
				squeeze_in(thread, part, table, load.hashes[i], id, slot);
		}
		zs_bucket_set(b, i, 0, 0, 0);
	}
}

/* Makes the overflow entries of a bucket that is being moved findable from the main table. */
static void move_overflow_flags(struct zs_part *part, const struct zs_index_view *view, uint32_t bucket)
{
	struct zs_overflow *overflow = part->overflow;
	uint64_t hashes[sizeof(overflow->entries) / sizeof(overflow->entries[0])];
	uint32_t count = 0;

	pthread_mutex_lock(&overflow->lock);
	for (uint32_t i = 0; i < overflow->count; i++) {
		if (zs_hash_bucket(overflow->entries[i].hash, view->previous.count) == bucket)
			hashes[count++] = overflow->entries[i].hash;
	}
	pthread_mutex_unlock(&overflow->lock);
	for (uint32_t i = 0; i < count; i++) {
		struct zs_bucket *b = &view->main.buckets[zs_hash_bucket(hashes[i], view->main.count)];

		zs_bucket_lock(b);
		zs_bucket_set_flag(b, ZS_BUCKET_OVERFLOW);
		zs_bucket_unlock(b);
	}
}

/* Moves a bucket unless that has been done. */
static void move_bucket(struct zs_thread *thread, struct zs_part *part, const struct zs_index_view *view,
			struct zs_bucket *b)
{
	zs_bucket_lock(b);
	if (!(zs_bucket_flags(b) & ZS_BUCKET_MOVED)) {
		move_entries(thread, part, &view->main, b);
		if (zs_bucket_flags(b) & ZS_BUCKET_OVERFLOW)
			move_overflow_flags(part, view, (uint32_t)(b - view->previous.buckets));
		zs_bucket_set_flag(b, ZS_BUCKET_MOVED);
		__atomic_fetch_add(&part->migrated, 1, __ATOMIC_ACQ_REL);
	}
	zs_bucket_unlock(b);
}

void zs_migrate_pair(struct zs_thread *thread, struct zs_part *part, const struct zs_index_view *view, uint64_t hash)
{
	struct zs_pair p = zs_index_pair(&view->previous, hash);

	if ((zs_bucket_flags(p.a) | zs_bucket_flags(p.b)) & ZS_BUCKET_MOVED)
		return;
	fetch_keys(part, p.a);
	move_bucket(thread, part, view, p.a);
}

/* ---- step by step ---- */

/*
 * Takes a bucket that has not been moved. False at the end of the table, or if those looked at had been moved, which
 * costs next to nothing.
 */
static bool take_bucket(struct zs_part *part, const struct zs_index_view *view, uint32_t *bucket)
{
	for (unsigned looks = 0; looks < LOOKS && zs_load(&part->migrate_next) < view->previous.count; looks++) {
		*bucket = __atomic_fetch_add(&part->migrate_next, 1, __ATOMIC_RELAXED);
		if (*bucket < view->previous.count &&
		    !(zs_bucket_flags(&view->previous.buckets[*bucket]) & ZS_BUCKET_MOVED))
			return true;
	}
	return false;
}

void zs_migrate_step(struct zs_thread *thread, struct zs_part *part, const struct zs_index_view *view)
{
	struct zs_migration *m = &thread->parts[part->number]->migration;
	struct zs_bucket *b = &view->previous.buckets[m->bucket];
	struct load load;

	/* A bucket taken from a table before this one: what has been fetched is of no use, but no harm either. */
	if (m->bucket >= view->previous.count)
		m->stage = ZS_MIGRATION_TAKE;
	switch (m->stage) {
	case ZS_MIGRATION_TAKE:
		if (!take_bucket(part, view, &m->bucket))
			return;
		fetch_keys(part, &view->previous.buckets[m->bucket]);
		m->stage = ZS_MIGRATION_LOOK;
		break;
	case ZS_MIGRATION_LOOK:
		look_ahead(part, &view->main, b, &load);
		m->stage = ZS_MIGRATION_MOVE;
		break;
	case ZS_MIGRATION_MOVE:
		move_bucket(thread, part, view, b);
		m->stage = ZS_MIGRATION_TAKE;
		break;
	}
}
