#include "server/engine/resize.h"

#include <stdlib.h>

#include "server/engine/evict.h"
#include "server/engine/ghost.h"
#include "server/engine/index.h"
#include "server/engine/migrate.h"
#include "server/engine/slab.h"

/* The load that an exact fit aims at. Higher saves memory, and displacing costs more; see docs/ENGINE.md. */
#define TARGET_LOAD 0.965
/* Beyond this load a table that has no exact fit yet grows. */
#define GROW_LOAD 0.90
/* Beyond this one every table grows, if there is memory for another. */
#define FULL_LOAD 0.985
/* The share of the frames in use at which the exact fit is made. */
#define EXACT_FIT_AT 0.60

/* How full blocks of the warm tier are, on average, that the index has room for. */
#define WARM_FILL 0.95

/* Slabs between two looks at the load by writers. */
#define ASSIST_PERIOD 16

/* Frames of a table that has rested made free in one step. */
#define ADOPT_STEP 16

static uint32_t table_frames(uint32_t buckets)
{
	return (buckets + ZS_BUCKETS_PER_FRAME - 1) / ZS_BUCKETS_PER_FRAME;
}

/* The partitions share one sequence: two writers at once would make it even again in the midst of both. */
static pthread_mutex_t publishing = PTHREAD_MUTEX_INITIALIZER;

/* Says in the superblock where the tables are. */
static void publish(struct zs_part *part, const struct zs_index_view *view)
{
	struct zs_superblock *super = part->engine->superblock;
	struct zs_partition_place *place = &super->partition[part->number];
	const uint8_t *arena = part->engine->arena;

	pthread_mutex_lock(&publishing);
	zs_fetch_add(&super->sequence, 1);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	zs_store(&place->main.offset, (uint64_t)((const uint8_t *)view->main.buckets - arena));
	zs_store(&place->main.buckets, (uint64_t)view->main.count);
	zs_store(&place->previous.buckets, (uint64_t)view->previous.count);
	zs_store(&place->previous.offset,
		 view->previous.count ? (uint64_t)((const uint8_t *)view->previous.buckets - arena) : 0);
	zs_fetch_add(&super->sequence, 1);
	pthread_mutex_unlock(&publishing);
	zs_store_release(&part->view, (struct zs_index_view *)(uintptr_t)view);
}

/* Takes frames for a table from the end of those never used. NULL if there are too few. */
static struct zs_bucket *take_table(struct zs_part *part, uint32_t buckets)
{
	uint32_t frames = table_frames(buckets);
	struct zs_bucket *table = NULL;

	pthread_mutex_lock(&part->lock);
	if (part->virgin_end - part->virgin >= frames) {
		zs_store(&part->virgin_end, part->virgin_end - frames);
		part->index_frames += frames;
		table = (struct zs_bucket *)(void *)zs_frame(part, part->virgin_end);
	}
	pthread_mutex_unlock(&part->lock);
	return table;
}

/* Tables take no more of the memory than this, however large the warm tier is. */
#define INDEX_SHARE_MAX 0.60

static uint32_t buckets_at_most(const struct zs_part *part)
{
	return (uint32_t)(part->frame_count * INDEX_SHARE_MAX) * ZS_BUCKETS_PER_FRAME;
}

int zs_resize_init(struct zs_part *part)
{
	uint32_t buckets = part->frame_count / 4 > 64 ? part->frame_count / 4 : 64;
	uint32_t remembered = part->engine->warm_buckets;
	struct zs_index_view *view = calloc(1, sizeof(*view));

	if (!view)
		return ZS_ENOMEM;
	/* What is on flash needs a table that is never resized. */
	if (part->warm_blocks && remembered) {
		buckets = remembered < buckets_at_most(part) ? remembered : buckets_at_most(part);
		part->exact_fit_done = true;
		part->warm_open = 1;
	}
	view->main.buckets = take_table(part, buckets);
	if (!view->main.buckets) {
		free(view);
		return ZS_ENOMEM;
	}
	view->main.count = buckets;
	publish(part, view);
	return ZS_OK;
}

/* Puts a replaced view aside until nobody can be using it; with a table in `previous` that table rests with it. */
static void retire_view(struct zs_thread *thread, struct zs_part *part, struct zs_index_view *view)
{
	pthread_mutex_lock(&part->lock);
	view->stamp = zs_epoch_stamp(part->engine->epoch);
	view->since_ns = zs_clock_ns(part->engine->clock);
	view->next_retired = part->retired;
	zs_store_release(&part->retired, view);
	pthread_mutex_unlock(&part->lock);
	thread->want_epoch = true;
}

/* Starts the change to `buckets` buckets. False if there is no memory for it. `resize_busy` is held. */
static bool start(struct zs_thread *thread, struct zs_part *part, uint32_t buckets)
{
	struct zs_index_view *old = zs_load_acquire(&part->view);
	struct zs_index_view *view;

	view = calloc(1, sizeof(*view));
	if (!view)
		return false;
	view->main.buckets = take_table(part, buckets);
	if (!view->main.buckets) {
		free(view);
		return false;
	}
	view->main.count = buckets;
	view->previous = old->main;
	zs_store(&part->migrate_next, 0);
	zs_store(&part->migrated, 0);
	zs_store(&part->resizes, part->resizes + 1);
	publish(part, view);
	retire_view(thread, part, old);
	return true;
}

/* After the last bucket: one table again. Exactly one thread gets here for each resize. */
static void finish(struct zs_thread *thread, struct zs_part *part, struct zs_index_view *view)
{
	struct zs_index_view *one = calloc(1, sizeof(*one));

	if (!one) {
		/* Readers go on with both tables; the next step tries again. */
		__atomic_fetch_sub(&part->migrated, 1, __ATOMIC_ACQ_REL);
		return;
	}
	one->main = view->main;
	publish(part, one);
	retire_view(thread, part, view);
}

bool zs_resize_step(struct zs_thread *thread, struct zs_part *part)
{
	struct zs_index_view *view = zs_load_acquire(&part->view);

	if (!view->previous.count)
		return false;
	zs_migrate_step(thread, part, view);
	if (zs_load_acquire(&part->migrated) == view->previous.count) {
		uint32_t all = view->previous.count;

		if (__atomic_compare_exchange_n(&part->migrated, &all, all + 1, false, __ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED))
			finish(thread, part, view);
		return false;
	}
	/* All are taken but not all moved: somebody is at it, or had an old view. Look again from the start. */
	if (zs_load(&part->migrate_next) >= view->previous.count)
		zs_store(&part->migrate_next, 0);
	return true;
}

static bool rested(const struct zs_engine *engine, const struct zs_index_view *view)
{
	return zs_epoch_passed(engine->epoch, view->stamp) && zs_slab_quarantine_over(engine, view->since_ns);
}

void zs_resize_reclaim(struct zs_part *part)
{
	struct zs_index_view **link;

	if (!zs_load_acquire(&part->retired))
		return;
	pthread_mutex_lock(&part->lock);
	for (link = &part->retired; *link;) {
		struct zs_index_view *view = *link;

		if (!rested(part->engine, view)) {
			link = &view->next_retired;
			continue;
		}
		if (view->previous.count) {
			/* The rest stands where it stood, as a smaller table. */
			uint32_t buckets = ADOPT_STEP * ZS_BUCKETS_PER_FRAME;

			if (buckets > view->previous.count)
				buckets = view->previous.count;
			zs_slab_adopt_frames(part, view->previous.buckets, table_frames(buckets));
			view->previous.buckets += buckets;
			view->previous.count -= buckets;
			link = &view->next_retired;
			continue;
		}
		zs_store(link, view->next_retired);
		free(view);
	}
	pthread_mutex_unlock(&part->lock);
}

/* How many buckets fit the objects that will be there when the memory is full. */
static uint32_t exact_fit(const struct zs_part *part, int64_t entries)
{
	uint32_t used = zs_load(&part->slabs_used);
	double slabs = used ? used : 1;
	double per_slab = (double)entries / slabs;
	double per_bucket = ZS_BUCKET_ENTRIES * TARGET_LOAD;
	uint32_t per_frame = ZS_BUCKETS_PER_FRAME;
	double slabs_at_last = part->frame_count - zs_evict_reserve(part) + WARM_FILL * part->warm_blocks;
	double objects = per_slab * slabs_at_last / (1 + per_slab / (per_bucket * per_frame));
	double buckets = objects / per_bucket + 1;

	if (part->warm_blocks && buckets > buckets_at_most(part))
		return buckets_at_most(part);
	return buckets < 64 ? 64 : (uint32_t)buckets;
}

/*
 * With a warm tier the last table is large. It has to be made while there is room for it, but not before there are
 * enough objects to know their size.
 */
static bool is_last_chance(const struct zs_part *part, int64_t entries)
{
	uint32_t room = zs_load(&part->virgin_end) - zs_load(&part->virgin);

	return zs_load(&part->slabs_used) >= part->frame_count / 64 &&
	       room < table_frames(exact_fit(part, entries)) + part->frame_count / 16;
}

/* Of the objects that a table has room for, those that are in memory. */
static uint64_t objects_in_memory(const struct zs_part *part, uint32_t buckets)
{
	double share = (double)part->frame_count / (part->frame_count + part->warm_blocks);

	return (uint64_t)((uint64_t)(buckets * TARGET_LOAD) * ZS_BUCKET_ENTRIES * share);
}

/* Chooses the size, if the present one does not fit. `resize_busy` is held and no change is going on. */
static void choose(struct zs_thread *thread, struct zs_part *part, const struct zs_index_view *view)
{
	int64_t entries;
	double load;
	bool late;

	if (zs_load(&part->warm_open))
		return;
	/* What rests counts, too: it takes frames that a table would need. */
	late = zs_load(&part->slabs_used) + zs_load(&part->quarantine.slabs.count) >= EXACT_FIT_AT * part->frame_count;
	entries = zs_index_used(part);
	if (part->warm_blocks && !part->exact_fit_done)
		late |= is_last_chance(part, entries);
	load = (double)entries / ((double)view->main.count * ZS_BUCKET_ENTRIES);
	if (late && !part->exact_fit_done) {
		uint32_t fit = exact_fit(part, entries);
		double ratio = (double)fit / view->main.count;

		if ((ratio > 0.98 && ratio < 1.01) || start(thread, part, fit)) {
			part->exact_fit_done = true;
			zs_ghost_fit(part->ghost, objects_in_memory(part, fit));
		}
	} else if (!part->exact_fit_done && load > GROW_LOAD) {
		start(thread, part, 2 * view->main.count);
	} else if (load > FULL_LOAD) {
		start(thread, part, (uint32_t)(entries / (ZS_BUCKET_ENTRIES * TARGET_LOAD)) + 64);
	}
}

void zs_resize_check(struct zs_thread *thread, struct zs_part *part)
{
	const struct zs_index_view *view;

	if (__atomic_exchange_n(&part->resize_busy, 1, __ATOMIC_ACQUIRE))
		return;
	view = zs_load_acquire(&part->view);
	if (!view->previous.count)
		choose(thread, part, view);
	zs_store_release(&part->resize_busy, 0);
}

void zs_resize_assist(struct zs_thread *thread, struct zs_part *part)
{
	if (zs_load(&part->slabs_used) % ASSIST_PERIOD == 0)
		zs_resize_check(thread, part);
}

bool zs_resize_is_table(struct zs_part *part, uint32_t id)
{
	const uint8_t *frame = (const uint8_t *)zs_frame(part, id);
	bool found = false;

	/* Tables that rest hang on retired views, as the previous one; the one before that is nobody's any more. */
	pthread_mutex_lock(&part->lock);
	for (const struct zs_index_view *view = part->view; view && !found;
	     view = view == part->view ? part->retired : view->next_retired) {
		const struct zs_table *tables[] = { &view->main, &view->previous };

		for (unsigned i = 0; i < 2; i++) {
			const uint8_t *first = (const uint8_t *)tables[i]->buckets;

			found |= tables[i]->count && frame >= first &&
				 frame < first + (size_t)table_frames(tables[i]->count) * ZS_FRAME_SIZE;
		}
	}
	pthread_mutex_unlock(&part->lock);
	return found;
}

void zs_resize_free(struct zs_part *part)
{
	while (part->retired) {
		struct zs_index_view *next = part->retired->next_retired;

		free(part->retired);
		part->retired = next;
	}
	free(part->view);
	part->view = NULL;
}
