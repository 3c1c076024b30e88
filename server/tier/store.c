#include "server/tier/store.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/error.h"
#include "common/log.h"
#include "server/tier/store_internal.h"

/* How long the thread sleeps when nothing happens. */
#define IDLE_MS 50

/* Requests reaped at once. */
#define REAP_MAX 64u

/* Doors and clocks are looked at this often. */
#define CHECK_MS 20u

/* Of the thread's time at most this part goes to entries of groups that were dropped. */
#define BURY_SHARE 20u

/* The journal is always this much ahead of the time, so that no restart begins before it. */
#define TIME_AHEAD_MS 200u

/* Doors close at this load of the index, and open again below the other. */
#define INDEX_SHUT 0.975
#define INDEX_OPEN 0.970

/* Waits in all at the end for what has not been written. */
#define STOP_MS 10000u

void zs_store_options_init(struct zs_store_options *options)
{
	*options = (struct zs_store_options){ .cache_blocks = 1024 };
}

uint64_t zs_store_now_ms(const struct zs_store *store)
{
	return zs_thread_now(store->thread);
}

/* ---- waking and errors ---- */

void zs_store_wake(struct zs_store *store)
{
	/* The thread says that it sleeps before it looks for the last time whether there is something to do. */
	if (atomic_exchange(&store->asleep, false))
		(void)eventfd_write(store->wake_fd, 1);
}

void zs_store_note_error(struct zs_store *store, const char *what, uint32_t zone, enum zs_zone_status status)
{
	zs_log(ZS_LOG_ERROR, what, zs_log_number("zone", zone), zs_log_text("error", zs_zone_status_name(status)));
	pthread_mutex_lock(&store->figures_lock);
	snprintf(store->figures.last_error, sizeof(store->figures.last_error), "%s, zone %" PRIu32,
		 zs_zone_status_name(status), zone);
	pthread_mutex_unlock(&store->figures_lock);
}

void zs_store_journal_failed(struct zs_store *store)
{
	zs_log(ZS_LOG_ERROR, "the journal of the warm tier cannot be written to the disk",
	       zs_log_text("error", strerror(errno)));
	pthread_mutex_lock(&store->figures_lock);
	store->figures.journal_errors++;
	pthread_mutex_unlock(&store->figures_lock);
}

void zs_store_settle(struct zs_store *store)
{
	if (zs_journal_sync(store->journal) || zs_group_map_sync(store->groups))
		zs_store_journal_failed(store);
}

void zs_store_submit(struct zs_store *store, struct zs_zone_request *request)
{
	/* Reads are bounded, and there is at most one append for a stream and one reset for a partition. */
	while (zs_zone_submit(store->device, request))
		usleep(100);
	store->requests++;
}

/* ---- hooks; of any thread ---- */

static const struct zs_slab *hook_image(void *context, void *call, uint32_t part, uint32_t id, bool *unreadable)
{
	struct zs_store *store = context;

	*unreadable =
	    zs_group_map_is_dead(store->groups, zs_store_zone_of(store, part, id), zs_store_block_of(store, id));
	return *unreadable ? NULL : zs_blocks_image(store, call, part, id, unreadable);
}

static void hook_dead(void *context, uint32_t part, uint32_t id, uint64_t hash)
{
	struct zs_store *store = context;
	uint32_t zone = zs_store_zone_of(store, part, id);

	zs_zones_count_dead(store, zone);
	zs_journal_mark(store->journal, zone, zs_store_block_of(store, id), hash);
	zs_group_map_count(store->groups, zone, zs_store_block_of(store, id), -1);
}

static void hook_written(void *context, uint64_t hash)
{
	zs_rebuild_written(context, hash);
}

static void hook_outgoing(void *context)
{
	zs_store_wake(context);
}

static uint32_t hook_group(void *context, uint32_t part, uint32_t id)
{
	struct zs_store *store = context;

	return zs_group_map_of(store->groups, zs_store_zone_of(store, part, id), zs_store_block_of(store, id));
}

static void hook_drop(void *context, uint32_t group)
{
	struct zs_store *store = context;

	zs_group_map_drop(store->groups, group);
	zs_store_wake(store);
}

static void hook_flush(void *context)
{
	struct zs_store *store = context;

	zs_group_map_drop_all(store->groups);
	if (zs_journal_forget_all(store->journal))
		zs_store_journal_failed(store);
	for (uint32_t i = 0; i < store->geometry.zones; i++)
		atomic_store(&store->zones[i].objects, 0);
	zs_blocks_forget_all(store);
}

static void set_hooks(struct zs_store *store)
{
	struct zs_warm_hooks hooks = {
		.context = store,
		.image = hook_image,
		.dead = hook_dead,
		.written = hook_written,
		.outgoing = hook_outgoing,
		.flush = hook_flush,
		.group = hook_group,
		.drop = hook_drop,
	};

	zs_engine_set_warm(store->engine, &hooks);
}

/* ---- doors and clocks ---- */

/* Bytes that may be appended: the budget of a day, spread over it, with an hour's worth to spare. */
static void refill_budget(struct zs_store *store, uint64_t now)
{
	uint64_t hourly = store->options.daily_bytes / 24;
	uint64_t add = (uint64_t)((double)store->options.daily_bytes * (double)(now - store->budget_ms) / 86400000.0);

	if (!store->options.daily_bytes) {
		zs_store(&store->budget, UINT64_MAX);
		return;
	}
	if (!add)
		return;
	store->budget_ms = now;
	zs_store(&store->budget, store->budget + add < hourly ? store->budget + add : hourly);
}

static bool may_admit(struct zs_store *store, uint32_t p)
{
	double load = zs_warm_index_load(store->engine, p);
	bool was_shut = store->parts[p].shut_by_index;

	store->parts[p].shut_by_index = load > (was_shut ? INDEX_OPEN : INDEX_SHUT);
	if (store->budget < (uint64_t)ZS_BATCH_IMAGES * ZS_ZONE_BLOCK_SIZE) {
		zs_store_count(store, budget_refusals, 1);
		return false;
	}
	return !store->parts[p].shut_by_index && zs_zones_can_write(store, p);
}

static void check(struct zs_store *store)
{
	uint64_t now = zs_store_now_ms(store);

	if (now - store->checked_ms < CHECK_MS)
		return;
	store->checked_ms = now;
	refill_budget(store, now);
	zs_journal_set_time(store->journal, now + TIME_AHEAD_MS);
	for (uint32_t p = 0; p < store->part_count; p++)
		zs_warm_admit(store->engine, p, may_admit(store, p));
}

/* ---- groups that were dropped ---- */

static bool is_of_dead_group(void *context, uint32_t part, uint32_t id)
{
	struct zs_store *store = context;
	uint32_t zone = zs_store_zone_of(store, part, id);

	if (!zs_group_map_is_dead(store->groups, zone, zs_store_block_of(store, id)))
		return false;
	zs_zones_count_dead(store, zone);
	return true;
}

/* Entries of groups that were dropped lead nowhere, but take room and are counted. */
static void bury(struct zs_store *store)
{
	uint64_t begun = zs_clock_ns(zs_clock_system());

	if (begun < store->bury_after_ns || !zs_group_map_bury(store->groups))
		return;
	for (uint32_t p = 0; p < store->part_count; p++)
		zs_warm_forget(store->thread, p, store->first_id, ZS_SLAB_NONE, is_of_dead_group, store);
	zs_group_map_buried(store->groups);
	/* It looks through the whole index: a node whose groups end all the time must not be busy with that. */
	store->bury_after_ns = begun + BURY_SHARE * (zs_clock_ns(zs_clock_system()) - begun);
}

/* ---- the loop ---- */

static void took(struct zs_store *store, struct zs_zone_request *request)
{
	store->requests--;
	switch ((enum zs_store_kind)(uintptr_t)request->context) {
	case ZS_STORE_READS:
		zs_blocks_read(store, (struct zs_block *)request);
		break;
	case ZS_STORE_APPENDS:
		zs_demote_appended(store, (struct zs_batch *)request);
		break;
	case ZS_STORE_RESETS:
		zs_zones_reset_done(store, (struct zs_store_reset *)request);
		break;
	case ZS_STORE_REBUILDS:
		zs_rebuild_took(store, request);
		break;
	case ZS_STORE_REVIEWS:
		zs_review_took(store, request);
		break;
	case ZS_STORE_FLUSHES:
		store->flushed = true;
		break;
	}
}

static bool reap(struct zs_store *store)
{
	struct zs_zone_request *done[REAP_MAX];
	unsigned count = zs_zone_reap(store->device, done, REAP_MAX);

	for (unsigned i = 0; i < count; i++)
		took(store, done[i]);
	return count;
}

/* One round of everything. True if there is more to do at once. */
static bool work(struct zs_store *store)
{
	bool more;

	zs_thread_quiesce(store->thread);
	more = reap(store);
	zs_blocks_submit(store);
	more |= zs_demote_some(store);
	bury(store);
	zs_zones_evict(store);
	more |= zs_rebuild_step(store);
	check(store);
	return more;
}

static void sleep_until_woken(struct zs_store *store)
{
	struct pollfd fds[] = { { .fd = zs_zone_fd(store->device), .events = POLLIN },
				{ .fd = store->wake_fd, .events = POLLIN } };
	eventfd_t ignored;

	atomic_store(&store->asleep, true);
	if (work(store)) {
		atomic_store(&store->asleep, false);
		return;
	}
	zs_thread_offline(store->thread);
	(void)poll(fds, 2, IDLE_MS);
	zs_thread_online(store->thread);
	atomic_store(&store->asleep, false);
	if (fds[1].revents)
		(void)eventfd_read(store->wake_fd, &ignored);
}

/* Writes what can be written, ends what is under way, and has the device keep it. */
static void finish(struct zs_store *store)
{
	uint64_t end = zs_clock_ns(zs_clock_system()) + (uint64_t)STOP_MS * 1000000u;
	struct zs_zone_request flush = { .op = ZS_ZONE_FLUSH, .context = zs_store_kind(ZS_STORE_FLUSHES) };

	while (zs_demote_rest(store) && zs_clock_ns(zs_clock_system()) < end) {
		if (!work(store))
			usleep(200);
	}
	zs_store_submit(store, &flush);
	while ((!store->flushed || store->requests) && zs_clock_ns(zs_clock_system()) < end) {
		zs_thread_quiesce(store->thread);
		if (!reap(store))
			usleep(200);
	}
	store->clean = store->flushed && flush.status == ZS_ZONE_DONE && !store->requests && !store->rebuild;
}

static void *run(void *context)
{
	struct zs_store *store = context;

	zs_thread_online(store->thread);
	while (!atomic_load(&store->stop)) {
		while (work(store) && !atomic_load(&store->stop))
			;
		sleep_until_woken(store);
	}
	finish(store);
	zs_thread_offline(store->thread);
	return NULL;
}

/* ---- opening and closing ---- */

static const char *start_name(enum zs_journal_state state)
{
	static const char *const names[] = { "new", "clean", "crashed", "cold" };

	return names[state];
}

static int allocate(struct zs_store *store)
{
	store->zones = calloc(store->geometry.zones, sizeof(*store->zones));
	store->parts = calloc(store->part_count, sizeof(*store->parts));
	store->resets = calloc(store->part_count, sizeof(*store->resets));
	return store->zones && store->parts && store->resets ? ZS_OK : ZS_ENOMEM;
}

/*
 * How many streams a partition may have, by the device's limit of open zones, because not every device closes one by
 * itself; 0: not even one.
 */
static unsigned streams_for(const struct zs_store *store)
{
	uint32_t each = store->geometry.open_max / store->part_count;

	return each < ZS_STREAMS ? each : ZS_STREAMS;
}

static int start_groups(struct zs_store *store, char *why, size_t why_size)
{
	int error = zs_group_map_start(store->groups, store->engine, store->thread);

	if (error)
		snprintf(why, why_size, "the groups of the warm tier cannot be made: %s", zs_error_text(error));
	return error;
}

static int open_parts(struct zs_store *store, char *why, size_t why_size)
{
	uint32_t least;
	int error;

	store->part_count = zs_engine_partitions(store->engine);
	store->first_id = zs_warm_first_id(store->engine);
	store->streams = streams_for(store);
	least = store->part_count * (store->streams + 3);
	if (!store->streams || store->geometry.zones < least) {
		snprintf(why, why_size,
			 "the warm tier has %" PRIu32 " zones, of which %" PRIu32 " may be open; with %" PRIu32
			 " partitions of the index it needs %" PRIu32 " and %" PRIu32,
			 store->geometry.zones, store->geometry.open_max, store->part_count, least, store->part_count);
		return ZS_ECONFIG;
	}
	snprintf(why, why_size, "not enough memory for the warm tier");
	error = allocate(store);
	if (error)
		return error;
	store->thread = zs_thread_attach(store->engine);
	if (!store->thread)
		return ZS_ENOMEM;
	error = zs_zones_init(store, why, why_size);
	if (error)
		return error;
	snprintf(why, why_size, "not enough memory for the warm tier");
	error = zs_demote_init(store);
	if (!error)
		error = zs_review_init(store);
	if (!error)
		error = start_groups(store, why, why_size);
	return error ? error : zs_rebuild_begin(store);
}

static void free_parts(struct zs_store *store)
{
	zs_demote_free(store);
	zs_blocks_free(store);
	zs_rebuild_free(store);
	zs_review_free(store);
	if (store->thread) {
		zs_thread_online(store->thread);
		zs_thread_detach(store->thread);
	}
	if (store->wake_fd >= 0)
		close(store->wake_fd);
	pthread_mutex_destroy(&store->figures_lock);
	free(store->zones);
	free(store->parts);
	free(store->resets);
	free(store);
}

static int start_thread(struct zs_store *store, char *why, size_t why_size)
{
	store->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (store->wake_fd < 0) {
		snprintf(why, why_size, "no event for the warm tier: %s", strerror(errno));
		return ZS_ESYS;
	}
	store->budget_ms = zs_store_now_ms(store);
	store->budget = store->options.daily_bytes / 24;
	check(store);
	set_hooks(store);
	zs_thread_offline(store->thread);
	if (pthread_create(&store->pthread, NULL, run, store)) {
		snprintf(why, why_size, "no thread for the warm tier");
		return ZS_ESYS;
	}
	store->running = true;
	return ZS_OK;
}

int zs_store_open(const struct zs_store_options *options, struct zs_store **result, char *why, size_t why_size)
{
	struct zs_store *store = calloc(1, sizeof(*store));
	int error;

	*result = NULL;
	if (!store) {
		zs_zone_device_close(options->device);
		zs_journal_close(options->journal, false);
		zs_group_map_close(options->groups);
		snprintf(why, why_size, "not enough memory");
		return ZS_ENOMEM;
	}
	store->options = *options;
	store->device = options->device;
	store->geometry = *zs_zone_geometry(options->device);
	store->journal = options->journal;
	store->groups = options->groups;
	store->engine = options->engine;
	store->wake_fd = -1;
	store->started_ns = zs_clock_ns(zs_clock_system());
	pthread_mutex_init(&store->figures_lock, NULL);
	pthread_mutex_init(&store->written.lock, NULL);
	zs_blocks_init(store);
	store->figures.start = start_name(zs_journal_state(store->journal));
	error = open_parts(store, why, why_size);
	if (!error)
		error = start_thread(store, why, why_size);
	if (error) {
		zs_store_close(store, false);
		return error;
	}
	*result = store;
	return ZS_OK;
}

void zs_store_close(struct zs_store *store, bool clean)
{
	if (store->running) {
		atomic_store(&store->stop, true);
		atomic_store(&store->asleep, false);
		(void)eventfd_write(store->wake_fd, 1);
		pthread_join(store->pthread, NULL);
	}
	zs_zone_device_close(store->device);
	zs_journal_close(store->journal, clean && store->clean);
	zs_group_map_close(store->groups);
	free_parts(store);
}

void zs_store_figures(struct zs_store *store, struct zs_store_figures *figures)
{
	pthread_mutex_lock(&store->figures_lock);
	*figures = store->figures;
	pthread_mutex_unlock(&store->figures_lock);
	zs_zones_count(store, figures);
	pthread_mutex_lock(&store->cache.lock);
	figures->cache_hits = store->cache.hits;
	pthread_mutex_unlock(&store->cache.lock);
	zs_journal_room(store->journal, &figures->marks_used, &figures->marks_room);
	figures->budget_bytes = zs_load(&store->budget);
	figures->seconds = (zs_clock_ns(zs_clock_system()) - store->started_ns) / 1000000000u;
	figures->rebuilding = zs_load_acquire(&store->rebuild) != NULL;
}
