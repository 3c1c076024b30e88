#include "server/tier/zone_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/error.h"
#include "server/tier/zone_folder.h"
#include "server/tier/zone_internal.h"
#include "server/tier/zone_pool.h"
#include "server/tier/zone_rules.h"

#define ZONE_CAPACITY (UINT64_C(32) << 20)
#define ZONES_ACTIVE 14u

/* One in so many of the blocks that a power cut leaves, and no flush covers, is lost. */
#define TORN_ONE_IN 8u

/* What is known of a zone beside the rules. Of the device's thread. */
struct extent {
	uint32_t flushing; /* blocks whose appends had all ended when the flush that is under way began */
	uint32_t durable;  /* covered by a flush */
	bool fail_append;
	bool fail_read;
};

struct zone_file {
	struct zs_zone_device device; /* the first member */
	struct zs_zone_folder folder;
	struct zs_zone_rules rules;
	struct zs_zone_pool pool;
	struct extent *extents;
	struct zs_zone_request *appends[ZS_ZONE_QUEUE_DEPTH]; /* under way */
	unsigned append_count;
	struct zs_zone_request *flush;	 /* under way */
	struct zs_zone_request *waiting; /* flushes that come after it */
	_Atomic unsigned delay_us;
	_Atomic uint64_t draws; /* of delays */
};

static struct zone_file *self(struct zs_zone_device *device)
{
	return (struct zone_file *)device;
}

/* SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators"). */
static uint64_t random_of(uint64_t number)
{
	number += 0x9e3779b97f4a7c15u;
	number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9u;
	number = (number ^ (number >> 27)) * 0x94d049bb133111ebu;
	return number ^ (number >> 31);
}

/* ---- what the pool's threads do ---- */

static void delay(struct zone_file *d)
{
	unsigned most = atomic_load_explicit(&d->delay_us, memory_order_relaxed);
	struct timespec time = { 0 };

	if (!most)
		return;
	time.tv_nsec = (long)(random_of(atomic_fetch_add(&d->draws, 1)) % most) * 1000;
	nanosleep(&time, NULL);
}

static off_t offset_of(const struct zs_zone_request *request)
{
	return (off_t)request->block * ZS_ZONE_BLOCK_SIZE;
}

static enum zs_zone_status write_blocks(int file, const struct zs_zone_request *request)
{
	size_t size = (size_t)request->blocks * ZS_ZONE_BLOCK_SIZE;
	const char *data = request->data;

	for (size_t done = 0; done < size;) {
		ssize_t n = pwrite(file, data + done, size - done, offset_of(request) + (off_t)done);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			return ZS_ZONE_WRITE_FAULT;
	}
	return ZS_ZONE_DONE;
}

/* What lies beyond the end of the file was not written: zeros. */
static enum zs_zone_status read_blocks(int file, const struct zs_zone_request *request)
{
	size_t size = (size_t)request->blocks * ZS_ZONE_BLOCK_SIZE;
	char *data = request->data;

	for (size_t done = 0; done < size;) {
		ssize_t n = pread(file, data + done, size - done, offset_of(request) + (off_t)done);

		if (n > 0) {
			done += (size_t)n;
		} else if (n == 0) {
			memset(data + done, 0, size - done);
			break;
		} else if (errno != EINTR) {
			return ZS_ZONE_READ_FAULT;
		}
	}
	return ZS_ZONE_DONE;
}

static enum zs_zone_status flush(const struct zs_zone_folder *folder)
{
	enum zs_zone_status status = ZS_ZONE_DONE;

	for (uint32_t i = 0; i < folder->geometry.zones; i++) {
		if (fdatasync(folder->files[i]))
			status = ZS_ZONE_BROKEN;
	}
	return status;
}

static void perform(void *context, struct zs_zone_request *request)
{
	struct zone_file *d = context;
	struct zs_zone full = { ZS_ZONE_FULL, 0 };

	switch (request->op) {
	case ZS_ZONE_APPEND:
		delay(d);
		request->status = write_blocks(d->folder.files[request->zone], request);
		return;
	case ZS_ZONE_READ:
		delay(d);
		request->status = read_blocks(d->folder.files[request->zone], request);
		return;
	case ZS_ZONE_RESET:
		request->status = zs_zone_folder_empty(&d->folder, request->zone) ? ZS_ZONE_BROKEN : ZS_ZONE_DONE;
		return;
	case ZS_ZONE_FINISH:
		request->status =
		    zs_zone_folder_remember(&d->folder, request->zone, full) ? ZS_ZONE_BROKEN : ZS_ZONE_DONE;
		return;
	default:
		request->status = flush(&d->folder);
		return;
	}
}

/* ---- beginning ---- */

static enum zs_zone_status begin_append(struct zone_file *d, struct zs_zone_request *request)
{
	struct extent *extent = &d->extents[request->zone];
	enum zs_zone_status status = zs_zone_rules_append(&d->rules, request->zone, request->blocks, &request->block);

	if (status)
		return status;
	d->appends[d->append_count++] = request;
	if (!extent->fail_append)
		return ZS_ZONE_DONE;
	extent->fail_append = false;
	return ZS_ZONE_WRITE_FAULT;
}

static enum zs_zone_status begin_read(struct zone_file *d, const struct zs_zone_request *request)
{
	struct extent *extent = &d->extents[request->zone];

	if (d->rules.zones[request->zone].state == ZS_ZONE_OFFLINE)
		return ZS_ZONE_IS_OFFLINE;
	if (!extent->fail_read)
		return ZS_ZONE_DONE;
	extent->fail_read = false;
	return ZS_ZONE_READ_FAULT;
}

/* One flush at a time. What it covers has to be known for a power cut. */
static void begin_flush(struct zone_file *d, struct zs_zone_request *request)
{
	d->flush = request;
	for (uint32_t i = 0; i < d->device.geometry.zones; i++)
		d->extents[i].flushing = d->rules.zones[i].written;
	for (unsigned i = 0; i < d->append_count; i++) {
		struct extent *extent = &d->extents[d->appends[i]->zone];

		if (d->appends[i]->block < extent->flushing)
			extent->flushing = d->appends[i]->block;
	}
	zs_zone_pool_put(&d->pool, request);
}

static void put_flush(struct zone_file *d, struct zs_zone_request *request)
{
	struct zs_zone_request **link = &d->waiting;

	if (!d->flush) {
		begin_flush(d, request);
		return;
	}
	while (*link)
		link = &(*link)->next;
	*link = request;
}

static void end(struct zs_zone_device *device, struct zs_zone_request *request)
{
	zs_zone_pool_done(&self(device)->pool, request);
}

static void begin(struct zs_zone_device *device, struct zs_zone_request *request)
{
	struct zone_file *d = self(device);
	enum zs_zone_status status = ZS_ZONE_DONE;
	bool is_over = false;

	switch (request->op) {
	case ZS_ZONE_FLUSH:
		put_flush(d, request);
		return;
	case ZS_ZONE_APPEND:
		status = begin_append(d, request);
		break;
	case ZS_ZONE_READ:
		status = begin_read(d, request);
		break;
	case ZS_ZONE_RESET:
		status = zs_zone_rules_reset(&d->rules, request->zone);
		break;
	case ZS_ZONE_FINISH:
		status = zs_zone_rules_finish(&d->rules, request->zone);
		break;
	default:
		status = zs_zone_rules_close(&d->rules, request->zone);
		is_over = true;
		break;
	}
	request->status = status;
	if (status || is_over)
		end(device, request);
	else
		zs_zone_pool_put(&d->pool, request);
}

/* ---- ending ---- */

static void end_append(struct zone_file *d, const struct zs_zone_request *request)
{
	for (unsigned i = 0; i < d->append_count; i++) {
		if (d->appends[i] == request) {
			d->appends[i] = d->appends[--d->append_count];
			return;
		}
	}
}

static void end_reset(struct zone_file *d, const struct zs_zone_request *request)
{
	struct extent *extent = &d->extents[request->zone];

	/* A zone that cannot be emptied is of no use any more. */
	if (request->status == ZS_ZONE_BROKEN)
		zs_zone_rules_set(&d->rules, request->zone, (struct zs_zone){ .state = ZS_ZONE_OFFLINE });
	if (request->status != ZS_ZONE_DONE)
		return;
	extent->flushing = 0;
	extent->durable = 0;
}

static void end_flush(struct zone_file *d, const struct zs_zone_request *request)
{
	struct zs_zone_request *next = d->waiting;

	for (uint32_t i = 0; request->status == ZS_ZONE_DONE && i < d->device.geometry.zones; i++) {
		if (d->extents[i].flushing > d->extents[i].durable)
			d->extents[i].durable = d->extents[i].flushing;
	}
	d->flush = NULL;
	if (next) {
		d->waiting = next->next;
		begin_flush(d, next);
	}
}

static unsigned reap(struct zs_zone_device *device, struct zs_zone_request **done, unsigned max)
{
	struct zone_file *d = self(device);
	unsigned count = zs_zone_pool_take(&d->pool, done, max);

	for (unsigned i = 0; i < count; i++) {
		if (done[i]->op == ZS_ZONE_APPEND)
			end_append(d, done[i]);
		else if (done[i]->op == ZS_ZONE_RESET)
			end_reset(d, done[i]);
		else if (done[i]->op == ZS_ZONE_FLUSH)
			end_flush(d, done[i]);
	}
	return count;
}

static int report(struct zs_zone_device *device, uint32_t first, uint32_t count, struct zs_zone *zones)
{
	memcpy(zones, &self(device)->rules.zones[first], count * sizeof(*zones));
	return ZS_OK;
}

static int descriptor(const struct zs_zone_device *device)
{
	return ((const struct zone_file *)device)->pool.fd;
}

/* ---- opening and closing ---- */

static void free_parts(struct zone_file *d)
{
	zs_zone_folder_close(&d->folder);
	zs_zone_rules_free(&d->rules);
	zs_zone_device_free(&d->device);
	free(d->extents);
	free(d);
}

static void close_file(struct zs_zone_device *device)
{
	zs_zone_pool_close(&self(device)->pool);
	free_parts(self(device));
}

static const struct zs_zone_ops file_ops = { begin, end, reap, report, descriptor, close_file };

static int load_states(struct zone_file *d, char *why, size_t why_size)
{
	for (uint32_t i = 0; i < d->device.geometry.zones; i++) {
		struct zs_zone state;
		int error = zs_zone_folder_state(&d->folder, i, &state, why, why_size);

		if (error)
			return error;
		zs_zone_rules_set(&d->rules, i, state);
		d->extents[i].durable = state.written;
	}
	return ZS_OK;
}

static int open_parts(struct zone_file *d, char *why, size_t why_size)
{
	const struct zs_zone_geometry *geometry = &d->folder.geometry;

	d->extents = calloc(geometry->zones, sizeof(*d->extents));
	if (!d->extents || zs_zone_device_init(&d->device, &file_ops, geometry) ||
	    zs_zone_rules_init(&d->rules, geometry)) {
		snprintf(why, why_size, "not enough memory for %" PRIu32 " zones", geometry->zones);
		return ZS_ENOMEM;
	}
	return load_states(d, why, why_size);
}

void zs_zone_file_options_init(struct zs_zone_file_options *options)
{
	*options = (struct zs_zone_file_options){
		.zone_capacity = ZONE_CAPACITY,
		.open_max = ZONES_ACTIVE,
		.active_max = ZONES_ACTIVE,
	};
}

int zs_zone_file_open(const char *path, const struct zs_zone_file_options *options, struct zs_zone_device **device,
		      char *why, size_t why_size)
{
	struct zone_file *d = calloc(1, sizeof(*d));
	int error;

	*device = NULL;
	if (!d) {
		snprintf(why, why_size, "not enough memory");
		return ZS_ENOMEM;
	}
	error = zs_zone_folder_open(&d->folder, path, options, why, why_size);
	if (!error)
		error = open_parts(d, why, why_size);
	if (!error) {
		error = zs_zone_pool_open(&d->pool, perform, d);
		if (error)
			snprintf(why, why_size, "%s: no threads for the files of zones", path);
	}
	if (error)
		free_parts(d);
	else
		*device = &d->device;
	return error;
}

/* ---- faults ---- */

void zs_zone_file_inject(struct zs_zone_device *device, uint32_t zone, enum zs_zone_fault fault)
{
	struct zone_file *d = self(device);
	struct zs_zone state = d->rules.zones[zone];

	switch (fault) {
	case ZS_ZONE_FAULT_APPEND:
		d->extents[zone].fail_append = true;
		return;
	case ZS_ZONE_FAULT_READ:
		d->extents[zone].fail_read = true;
		return;
	case ZS_ZONE_FAULT_READ_ONLY:
		state.state = ZS_ZONE_READ_ONLY;
		break;
	default:
		state = (struct zs_zone){ .state = ZS_ZONE_OFFLINE };
		break;
	}
	zs_zone_rules_set(&d->rules, zone, state);
	(void)zs_zone_folder_remember(&d->folder, zone, state);
}

void zs_zone_file_delay(struct zs_zone_device *device, unsigned us)
{
	atomic_store_explicit(&self(device)->delay_us, us, memory_order_relaxed);
}

/* Leaves of a zone what a power cut leaves of it. */
static void cut_zone(struct zone_file *d, uint32_t zone, uint64_t seed, const void *zeros)
{
	uint32_t durable = d->extents[zone].durable;
	uint32_t written = d->rules.zones[zone].written;
	uint32_t left;

	if (written <= durable)
		return;
	left = durable + (uint32_t)(random_of(seed) % (written - durable + 1));
	if (ftruncate(d->folder.files[zone], (off_t)left * ZS_ZONE_BLOCK_SIZE))
		abort();
	for (uint32_t block = durable; block < left; block++) {
		if (random_of(seed + block) % TORN_ONE_IN)
			continue;
		if (pwrite(d->folder.files[zone], zeros, ZS_ZONE_BLOCK_SIZE, (off_t)block * ZS_ZONE_BLOCK_SIZE) !=
		    ZS_ZONE_BLOCK_SIZE)
			abort();
	}
}

void zs_zone_file_cut_power(struct zs_zone_device *device, uint64_t seed)
{
	static const _Alignas(ZS_ZONE_BLOCK_SIZE) char zeros[ZS_ZONE_BLOCK_SIZE];
	struct zone_file *d = self(device);

	zs_zone_pool_close(&d->pool);
	for (uint32_t i = 0; i < d->device.geometry.zones; i++)
		cut_zone(d, i, random_of(seed + i), zeros);
	free_parts(d);
}
