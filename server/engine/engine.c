/* The engine as a whole: opening and closing, threads, figures. */
#include "server/engine/engine.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "server/engine/arena.h"
#include "server/engine/evict.h"
#include "server/engine/ghost.h"
#include "server/engine/group.h"
#include "server/engine/index.h"
#include "server/engine/place.h"
#include "server/engine/resize.h"
#include "server/engine/slab.h"

/* Frames of one partition at most: slab ids have 22 bits, the highest is ZS_SLAB_NONE. */
#define PARTITION_FRAMES_MAX (ZS_SLAB_NONE - 1)

void zs_engine_options_init(struct zs_engine_options *options)
{
	*options = (struct zs_engine_options){
		.memory = 1ull << 30,
		.policy = ZS_POLICY_S3FIFO,
		.threads = 64,
		.quarantine_ms = 20,
		.huge_pages = true,
	};
}

/* ---- partitions ---- */

/* Zones of the warm tier are dealt out to the partitions in turn. */
static uint32_t warm_zones_of(const struct zs_engine *engine, uint32_t part)
{
	return engine->warm_zones / engine->part_count + (part < engine->warm_zones % engine->part_count);
}

/* As few partitions as number all frames and warm blocks; 0: there would be too many. */
static uint32_t count_partitions(const struct zs_engine *engine, uint64_t frames)
{
	for (uint64_t parts = 1; parts <= ZS_PARTITIONS_MAX; parts++) {
		uint64_t zones = (engine->warm_zones + parts - 1) / parts;

		if ((frames + parts - 1) / parts + zones * engine->warm_zone_blocks <= PARTITION_FRAMES_MAX)
			return (uint32_t)parts;
	}
	return 0;
}

static int open_part(struct zs_engine *engine, uint32_t number, uint64_t offset, uint32_t frames)
{
	struct zs_part *part = &engine->parts[number];

	part->engine = engine;
	part->number = number;
	part->warm_blocks = warm_zones_of(engine, number) * engine->warm_zone_blocks;
	part->frames = engine->arena + offset;
	part->frame_count = frames;
	part->virgin_end = frames;
	part->sweep_next = frames;
	part->free_head = ZS_SLAB_NONE;
	part->small = (struct zs_slab_list){ ZS_SLAB_NONE, ZS_SLAB_NONE, 0, ZS_AT_SMALL };
	part->main = (struct zs_slab_list){ ZS_SLAB_NONE, ZS_SLAB_NONE, 0, ZS_AT_MAIN };
	part->outgoing = (struct zs_slab_list){ ZS_SLAB_NONE, ZS_SLAB_NONE, 0, ZS_AT_OUTGOING };
	part->writing = (struct zs_slab_list){ ZS_SLAB_NONE, ZS_SLAB_NONE, 0, ZS_AT_WRITING };
	part->quarantine.slabs = (struct zs_slab_list){ ZS_SLAB_NONE, ZS_SLAB_NONE, 0, ZS_AT_QUARANTINE };
	pthread_mutex_init(&part->lock, NULL);
	part->due = calloc(frames, sizeof(part->due[0]));
	part->overflow = calloc(1, sizeof(*part->overflow));
	part->ghost = zs_ghost_new(frames);
	part->warm_used = part->warm_blocks ? zs_ghost_new(frames) : NULL;
	if (!part->due || !part->overflow || !part->ghost || (part->warm_blocks && !part->warm_used))
		return ZS_ENOMEM;
	pthread_mutex_init(&part->overflow->lock, NULL);
	engine->superblock->partition[number].frames_offset = offset;
	engine->superblock->partition[number].frames = frames;
	return zs_resize_init(part);
}

static void close_part(struct zs_part *part)
{
	zs_resize_free(part);
	zs_ghost_free(part->ghost);
	zs_ghost_free(part->warm_used);
	free(part->overflow);
	free(part->due);
}

static uint64_t random_number(void)
{
	uint64_t number = 0;

	while (!number) {
		if (getrandom(&number, sizeof(number), 0) != sizeof(number))
			number = zs_clock_ns(zs_clock_system()) * 0x9e3779b97f4a7c15ull;
	}
	return number;
}

static void fill_superblock(struct zs_engine *engine, uint64_t seed)
{
	struct zs_superblock *super = (struct zs_superblock *)(void *)engine->arena;

	engine->superblock = super;
	engine->seed = seed ? seed : random_number();
	super->version = ZS_LAYOUT_VERSION;
	super->partitions = engine->part_count;
	super->incarnation = random_number();
	super->seed = engine->seed;
	super->arena_size = engine->arena_size;
	super->quarantine_ms = engine->quarantine_ms;
}

static int open_parts(struct zs_engine *engine)
{
	uint64_t frames = engine->arena_size / ZS_FRAME_SIZE - 1;
	uint64_t each = frames / engine->part_count;

	engine->parts = aligned_alloc(64, engine->part_count * sizeof(struct zs_part));
	if (!engine->parts)
		return ZS_ENOMEM;
	memset(engine->parts, 0, engine->part_count * sizeof(struct zs_part));
	for (uint32_t p = 0; p < engine->part_count; p++) {
		int error = open_part(engine, p, ZS_FRAME_SIZE + p * each * ZS_FRAME_SIZE, (uint32_t)each);

		if (error)
			return error;
	}
	engine->outside_bytes +=
	    engine->part_count * (sizeof(struct zs_part) + sizeof(struct zs_overflow)) + frames * sizeof(uint16_t);
	return ZS_OK;
}

/* ---- opening and closing ---- */

/*
 * Takes the time for all threads. They must agree on it: what one thread found expired another must not return. The
 * line is written once in a millisecond and otherwise only read.
 */
static void take_time(struct zs_engine *engine)
{
	uint64_t now = zs_clock_ms(engine->clock);
	uint64_t old = zs_load(&engine->now_ms);

	while (now > old &&
	       !__atomic_compare_exchange_n(&engine->now_ms, &old, now, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		;
}

static int check_options(const struct zs_engine_options *o, char *why, size_t why_size)
{
	uint64_t most = (uint64_t)ZS_PARTITIONS_MAX * PARTITION_FRAMES_MAX * ZS_FRAME_SIZE;

	if (o->memory < ZS_MEMORY_MIN || o->memory > most)
		snprintf(why, why_size, "memory is %llu bytes; it must be between %u and %llu",
			 (unsigned long long)o->memory, ZS_MEMORY_MIN, (unsigned long long)most);
	else if (o->threads < 1 || o->threads > ZS_EPOCH_THREADS_MAX)
		snprintf(why, why_size, "threads is %u; it must be between 1 and %d", o->threads, ZS_EPOCH_THREADS_MAX);
	else if (o->policy > ZS_POLICY_NOEVICTION)
		snprintf(why, why_size, "policy %d does not exist", (int)o->policy);
	else if (o->quarantine_ms > 10000)
		snprintf(why, why_size, "the quarantine is %u ms; it must be at most 10000", o->quarantine_ms);
	else
		return ZS_OK;
	return ZS_EINVAL;
}

static int open_engine(struct zs_engine *engine, const struct zs_engine_options *o, char *why, size_t why_size)
{
	uint64_t size = o->memory / ZS_FRAME_SIZE * ZS_FRAME_SIZE;
	struct zs_arena arena;
	int error = zs_arena_map(&arena, size, o->huge_pages, o->prefault, why, why_size);

	if (error)
		return error;
	engine->arena = arena.base;
	engine->arena_size = arena.size;
	engine->memfd = arena.memfd;
	engine->sealed = arena.sealed;
	engine->page_kind = arena.page_kind;
	engine->warm_zones = o->warm_zones;
	engine->warm_zone_blocks = o->warm_zone_blocks;
	engine->warm_buckets = o->warm_buckets;
	engine->part_count = count_partitions(engine, arena.size / ZS_FRAME_SIZE);
	if (!engine->part_count) {
		snprintf(why, why_size, "memory and warm tier together have more than %llu bytes, the most possible",
			 (unsigned long long)ZS_PARTITIONS_MAX * PARTITION_FRAMES_MAX * ZS_FRAME_SIZE);
		return ZS_EINVAL;
	}
	fill_superblock(engine, o->seed);
	engine->epoch->global = 1;
	take_time(engine);
	snprintf(why, why_size, "not enough memory for the engine's tables");
	engine->groups = zs_groups_new();
	if (!engine->groups)
		return ZS_ENOMEM;
	error = open_parts(engine);
	if (!error)
		zs_store_release(&engine->superblock->magic, ZS_LAYOUT_MAGIC);
	return error;
}

int zs_engine_open(const struct zs_engine_options *options, struct zs_engine **result, char *why, size_t why_size)
{
	struct zs_engine *engine;
	char nowhere[1];
	int error;

	*result = NULL;
	if (!why || !why_size) {
		why = nowhere;
		why_size = sizeof(nowhere);
	}
	error = check_options(options, why, why_size);
	if (error)
		return error;
	engine = aligned_alloc(64, sizeof(*engine));
	if (engine) {
		memset(engine, 0, sizeof(*engine));
		engine->epoch = aligned_alloc(64, sizeof(*engine->epoch));
	}
	if (!engine || !engine->epoch) {
		free(engine);
		snprintf(why, why_size, "not enough memory");
		return ZS_ENOMEM;
	}
	memset(engine->epoch, 0, sizeof(*engine->epoch));
	engine->clock = options->clock ? options->clock : zs_clock_system();
	engine->policy = options->policy;
	engine->quarantine_ms = options->quarantine_ms;
	engine->threads_max = options->threads;
	engine->outside_bytes = sizeof(*engine) + sizeof(*engine->epoch);
	pthread_mutex_init(&engine->threads_lock, NULL);
	pthread_mutex_init(&engine->flush_lock, NULL);
	error = open_engine(engine, options, why, why_size);
	if (error) {
		zs_engine_close(engine);
		return error;
	}
	*result = engine;
	return ZS_OK;
}

void zs_engine_close(struct zs_engine *engine)
{
	struct zs_arena arena = { .base = engine->arena, .size = engine->arena_size, .memfd = engine->memfd };

	for (uint32_t p = 0; engine->parts && p < engine->part_count; p++)
		close_part(&engine->parts[p]);
	free(engine->parts);
	zs_groups_free(engine->groups);
	if (engine->arena)
		zs_arena_unmap(&arena);
	free(engine->epoch);
	free(engine);
}

/* ---- threads ---- */

static uint64_t thread_size(const struct zs_engine *engine)
{
	return sizeof(struct zs_thread) + engine->part_count * sizeof(struct zs_thread_part);
}

static void free_thread(struct zs_thread *thread)
{
	for (uint32_t p = 0; p < thread->engine->part_count; p++)
		free(thread->parts[p]);
	free(thread);
}

struct zs_thread *zs_thread_attach(struct zs_engine *engine)
{
	struct zs_thread *thread = aligned_alloc(64, sizeof(*thread));
	unsigned i = 0;

	if (!thread)
		return NULL;
	memset(thread, 0, sizeof(*thread));
	thread->engine = engine;
	thread->random = random_number();
	thread->seed = engine->seed;
	thread->stride = 64;
	for (uint32_t p = 0; p < engine->part_count; p++) {
		thread->parts[p] = calloc(1, sizeof(struct zs_thread_part));
		if (!thread->parts[p])
			goto free_parts;
	}
	pthread_mutex_lock(&engine->threads_lock);
	while (i < engine->threads_max && engine->threads[i])
		i++;
	if (i < engine->threads_max) {
		engine->threads[i] = thread;
		thread->slot = &engine->epoch->slots[i];
		if (engine->epoch->used <= i)
			zs_store_release(&engine->epoch->used, i + 1);
		zs_fetch_add(&engine->outside_bytes, thread_size(engine));
	}
	pthread_mutex_unlock(&engine->threads_lock);
	if (!thread->slot)
		goto free_parts;
	zs_thread_online(thread);
	return thread;

free_parts:
	free_thread(thread);
	return NULL;
}

static void add_figures(struct zs_figures *sum, const struct zs_figures *f)
{
	sum->objects += zs_load(&f->objects);
	sum->objects_with_deadline += zs_load(&f->objects_with_deadline);
	sum->payload += zs_load(&f->payload);
	sum->entries += zs_load(&f->entries);
	sum->warm += zs_load(&f->warm);
}

static void add_counters(struct zs_counters *sum, const struct zs_counters *c)
{
#define ZS_COUNTER_ADD(name) sum->name += zs_load(&c->name);
	ZS_COUNTERS(ZS_COUNTER_ADD)
#undef ZS_COUNTER_ADD
}

void zs_thread_detach(struct zs_thread *thread)
{
	struct zs_engine *engine = thread->engine;

	for (uint32_t p = 0; p < engine->part_count; p++)
		zs_place_free(thread, &engine->parts[p]);
	zs_epoch_advance(engine->epoch);
	zs_epoch_offline(thread->slot);
	pthread_mutex_lock(&engine->threads_lock);
	for (uint32_t p = 0; p < engine->part_count; p++)
		add_figures(&engine->departed[p], &thread->parts[p]->figures);
	add_counters(&engine->departed_counters, &thread->counters);
	engine->threads[thread->slot - engine->epoch->slots] = NULL;
	zs_fetch_add(&engine->outside_bytes, -thread_size(engine));
	pthread_mutex_unlock(&engine->threads_lock);
	free_thread(thread);
}

void zs_thread_quiesce(struct zs_thread *thread)
{
	if (thread->want_epoch) {
		thread->want_epoch = false;
		zs_epoch_advance(thread->engine->epoch);
	}
	zs_epoch_quiesce(thread->engine->epoch, thread->slot);
	take_time(thread->engine);
}

void zs_thread_offline(struct zs_thread *thread)
{
	if (thread->want_epoch) {
		thread->want_epoch = false;
		zs_epoch_advance(thread->engine->epoch);
	}
	zs_epoch_offline(thread->slot);
}

void zs_thread_online(struct zs_thread *thread)
{
	zs_epoch_online(thread->engine->epoch, thread->slot);
	take_time(thread->engine);
}

uint64_t zs_thread_now(const struct zs_thread *thread)
{
	return zs_now(thread);
}

/* ---- settings and figures ---- */

void zs_engine_set_policy(struct zs_engine *engine, enum zs_policy policy)
{
	zs_store(&engine->policy, (uint32_t)policy);
}

enum zs_policy zs_engine_policy(const struct zs_engine *engine)
{
	return (enum zs_policy)zs_load(&engine->policy);
}

size_t zs_object_cost(size_t key_size, size_t value_size, bool has_deadline)
{
	uint32_t slots = zs_slab_slots(ZS_KIND_UNIFORM, (uint32_t)key_size, (uint32_t)value_size, has_deadline);

	return ZS_FRAME_SIZE / (slots ? slots : 1) + (64 + ZS_BUCKET_ENTRIES - 1) / ZS_BUCKET_ENTRIES;
}

/* Sums over all threads, those that have left included. The threads' lock is held. */
static struct zs_figures sum_figures(const struct zs_engine *engine, uint32_t part)
{
	struct zs_figures sum = engine->departed[part];

	for (unsigned i = 0; i < engine->threads_max; i++) {
		if (engine->threads[i])
			add_figures(&sum, &engine->threads[i]->parts[part]->figures);
	}
	return sum;
}

static void sum_counters(const struct zs_engine *engine, struct zs_counters *sum)
{
	*sum = engine->departed_counters;
	for (unsigned i = 0; i < engine->threads_max; i++) {
		if (engine->threads[i])
			add_counters(sum, &engine->threads[i]->counters);
	}
}

uint64_t zs_engine_count(struct zs_engine *engine)
{
	int64_t objects = 0;

	pthread_mutex_lock(&engine->threads_lock);
	for (uint32_t p = 0; p < engine->part_count; p++) {
		struct zs_figures f = sum_figures(engine, p);

		objects += f.objects + f.warm;
	}
	pthread_mutex_unlock(&engine->threads_lock);
	return objects > 0 ? (uint64_t)objects : 0;
}

void zs_engine_reset_stats(struct zs_engine *engine)
{
	pthread_mutex_lock(&engine->threads_lock);
	sum_counters(engine, &engine->reset_counters);
	zs_store(&engine->longest_upkeep_ns, 0);
	pthread_mutex_unlock(&engine->threads_lock);
}

static void add_part_stats(struct zs_part *part, const struct zs_figures *f, struct zs_stats *s)
{
	const struct zs_index_view *view;

	s->warm_objects += f->warm > 0 ? (uint64_t)f->warm : 0;
	s->objects += f->objects + f->warm > 0 ? (uint64_t)(f->objects + f->warm) : 0;
	s->objects_with_deadline += f->objects_with_deadline > 0 ? (uint64_t)f->objects_with_deadline : 0;
	s->payload_bytes += f->payload > 0 ? (uint64_t)f->payload : 0;
	s->index_used += f->entries > 0 ? (uint64_t)f->entries : 0;
	/* A view is freed only by upkeep, with this lock held. */
	pthread_mutex_lock(&part->lock);
	view = zs_load_acquire(&part->view);
	s->slabs += part->slabs_used;
	s->index_bytes += (uint64_t)part->index_frames * ZS_FRAME_SIZE;
	s->slab_bytes += (uint64_t)part->slabs_used * ZS_FRAME_SIZE;
	s->quarantine_bytes += (uint64_t)part->quarantine.slabs.count * ZS_FRAME_SIZE;
	s->free_bytes += (uint64_t)zs_slab_available(part) * ZS_FRAME_SIZE;
	s->index_entries += (uint64_t)view->main.count * ZS_BUCKET_ENTRIES;
	s->index_growing |= view->previous.count > 0;
	s->index_resizes += zs_load(&part->resizes);
	s->index_overflow += zs_load(&part->overflow->count);
	pthread_mutex_unlock(&part->lock);
}

void zs_engine_stats(struct zs_engine *engine, struct zs_stats *s)
{
	struct zs_counters now;

	memset(s, 0, sizeof(*s));
	pthread_mutex_lock(&engine->threads_lock);
	sum_counters(engine, &now);
#define ZS_COUNTER_GIVE(name) s->name = now.name - engine->reset_counters.name;
	ZS_COUNTERS(ZS_COUNTER_GIVE)
#undef ZS_COUNTER_GIVE
	s->arena_bytes = engine->arena_size;
	s->superblock_bytes = ZS_FRAME_SIZE;
	for (uint32_t p = 0; p < engine->part_count; p++) {
		struct zs_figures f = sum_figures(engine, p);

		add_part_stats(&engine->parts[p], &f, s);
		for (unsigned i = 0; i < engine->threads_max; i++) {
			if (engine->threads[i])
				s->open_slabs += zs_load(&engine->threads[i]->parts[p]->open_count);
		}
	}
	pthread_mutex_unlock(&engine->threads_lock);
	s->superblock_bytes = s->arena_bytes - s->index_bytes - s->slab_bytes - s->quarantine_bytes - s->free_bytes;
	s->page_kind = engine->page_kind;
	s->groups = zs_groups_count(engine);
	s->outside_bytes = zs_load(&engine->outside_bytes) + zs_groups_memory(engine);
	s->upkeep_longest_us = zs_load(&engine->longest_upkeep_ns) / 1000;
}
