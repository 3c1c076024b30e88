#include "server/tier/zone_disk.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/nvme_ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/error.h"
#include "common/hash.h"
#include "server/tier/zone_namespace.h"

/* Fewer zones would leave no room to write while others are read. */
#define ZONES_MIN 4u

/* Zones looked at with one report. */
#define REPORT_MAX 64u

static struct zs_zone_disk *self(struct zs_zone_device *device)
{
	return (struct zs_zone_disk *)device;
}

/* ---- what the pool's threads do ---- */

/* A zone that is not open cannot be closed; block devices do not say so. */
static enum zs_zone_status close_zone(struct zs_zone_disk *d, uint32_t zone)
{
	struct zs_zone found;

	if (d->driver->report(d, zone, 1, &found))
		return ZS_ZONE_BROKEN;
	switch (found.state) {
	case ZS_ZONE_OPEN:
		return d->driver->manage(d, zone, ZS_ZONE_CLOSE);
	case ZS_ZONE_CLOSED:
		return ZS_ZONE_DONE;
	case ZS_ZONE_FULL:
		return ZS_ZONE_IS_FULL;
	case ZS_ZONE_READ_ONLY:
		return ZS_ZONE_IS_READ_ONLY;
	case ZS_ZONE_OFFLINE:
		return ZS_ZONE_IS_OFFLINE;
	default:
		return ZS_ZONE_INVALID; /* nothing to close */
	}
}

static enum zs_zone_status change(struct zs_zone_disk *d, struct zs_zone_request *request)
{
	enum zs_zone_status status;

	pthread_mutex_lock(&d->locks[request->zone]);
	if (request->op == ZS_ZONE_APPEND)
		status = d->driver->append(d, request);
	else if (request->op == ZS_ZONE_CLOSE)
		status = close_zone(d, request->zone);
	else
		status = d->driver->manage(d, request->zone, request->op);
	pthread_mutex_unlock(&d->locks[request->zone]);
	/* Once begun a request is not invalid, whatever the disk thinks of it; zs_zone_reap goes by that. */
	if (status == ZS_ZONE_INVALID && request->op != ZS_ZONE_CLOSE)
		status = ZS_ZONE_BROKEN;
	return status;
}

static void perform(void *context, struct zs_zone_request *request)
{
	struct zs_zone_disk *d = context;

	if (request->op == ZS_ZONE_READ)
		request->status = d->driver->read(d, request);
	else if (request->op == ZS_ZONE_FLUSH)
		request->status = d->driver->flush(d);
	else
		request->status = change(d, request);
	if (request->op == ZS_ZONE_READ && request->status == ZS_ZONE_INVALID)
		request->status = ZS_ZONE_BROKEN;
}

/* ---- the device ---- */

static void begin(struct zs_zone_device *device, struct zs_zone_request *request)
{
	struct zs_zone_disk *d = self(device);
	struct nvme_uring_cmd command;

	if (d->has_ring && d->driver->command(d, request, &command))
		zs_zone_ring_put(&d->ring, d->fd, &command, request);
	else
		zs_zone_pool_put(&d->pool, request);
}

static void end(struct zs_zone_device *device, struct zs_zone_request *request)
{
	zs_zone_pool_done(&self(device)->pool, request);
}

static unsigned reap(struct zs_zone_device *device, struct zs_zone_request **done, unsigned max)
{
	struct zs_zone_disk *d = self(device);
	struct zs_zone_ring_end end;
	unsigned count = 0;

	while (d->has_ring && count < max && zs_zone_ring_take(&d->ring, &end)) {
		d->driver->ended(d, &end);
		done[count++] = end.request;
	}
	return count + zs_zone_pool_take(&d->pool, done + count, max - count);
}

static int report(struct zs_zone_device *device, uint32_t first, uint32_t count, struct zs_zone *zones)
{
	for (uint32_t i = 0; i < count; i += REPORT_MAX) {
		uint32_t some = count - i < REPORT_MAX ? count - i : REPORT_MAX;
		int error = self(device)->driver->report(self(device), first + i, some, zones + i);

		if (error)
			return error;
	}
	return ZS_OK;
}

static int descriptor(const struct zs_zone_device *device)
{
	const struct zs_zone_disk *d = (const struct zs_zone_disk *)device;

	return d->has_ring ? d->ready : d->pool.fd;
}

static void free_disk(struct zs_zone_disk *d)
{
	for (uint32_t i = 0; d->locks && i < d->device.geometry.zones; i++)
		pthread_mutex_destroy(&d->locks[i]);
	if (d->claim >= 0)
		close(d->claim);
	close(d->fd);
	zs_zone_device_free(&d->device);
	free(d->locks);
	free(d->written);
	free(d);
}

static void close_disk(struct zs_zone_device *device)
{
	struct zs_zone_disk *d = self(device);

	if (d->has_ring) {
		zs_zone_ring_close(&d->ring);
		close(d->ready);
	}
	zs_zone_pool_close(&d->pool);
	free_disk(d);
}

static const struct zs_zone_ops disk_ops = { begin, end, reap, report, descriptor, close_disk };

/* ---- opening ---- */

static int check_facts(const char *path, const struct zs_zone_disk_facts *f, uint64_t size, char *why, size_t why_size)
{
	if (f->block_size != ZS_ZONE_BLOCK_SIZE)
		snprintf(why, why_size,
			 "%s has blocks of %" PRIu32
			 " bytes; the warm tier needs %u: format it so (nvme format --lbaf)",
			 path, f->block_size, ZS_ZONE_BLOCK_SIZE);
	else if (f->zones < ZONES_MIN)
		snprintf(why, why_size, "%s has %" PRIu64 " zones; the warm tier needs at least %u", path, f->zones,
			 ZONES_MIN);
	else if (size / ZS_ZONE_BLOCK_SIZE > f->zones * f->capacity)
		snprintf(why, why_size, "%s has %" PRIu64 " MB in its zones, fewer than it was said to have", path,
			 f->zones * f->capacity * ZS_ZONE_BLOCK_SIZE >> 20);
	else if (!f->capacity || f->capacity > UINT32_MAX || f->zones > UINT32_MAX)
		snprintf(why, why_size, "%s has zones of %" PRIu64 " blocks, which is more than can be numbered", path,
			 f->capacity);
	else
		return ZS_OK;
	return ZS_ECONFIG;
}

static uint32_t limit(uint64_t said, uint32_t zones)
{
	return said && said < zones ? (uint32_t)said : zones;
}

static struct zs_zone_geometry geometry_of(const struct zs_zone_disk_facts *f, uint64_t size)
{
	uint64_t zones = size ? size / (f->capacity * ZS_ZONE_BLOCK_SIZE) : f->zones;
	struct zs_zone_geometry g = { .capacity = (uint32_t)f->capacity, .identity = f->identity };

	g.zones = (uint32_t)(zones < ZONES_MIN ? ZONES_MIN : zones);
	g.open_max = limit(f->open_max, g.zones);
	g.active_max = limit(f->active_max, g.zones);
	if (g.active_max < g.open_max)
		g.open_max = g.active_max;
	return g;
}

/* A descriptor that is readable while one of the two is; below 0: there is none. */
static int either(int first, int second)
{
	struct epoll_event event = { .events = EPOLLIN };
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0)
		return -1;
	if (epoll_ctl(fd, EPOLL_CTL_ADD, first, &event) == 0 && epoll_ctl(fd, EPOLL_CTL_ADD, second, &event) == 0)
		return fd;
	close(fd);
	return -1;
}

void zs_zone_disk_use_ring(struct zs_zone_disk *d)
{
	if (zs_zone_ring_open(&d->ring))
		return;
	d->ready = either(d->pool.fd, zs_zone_ring_fd(&d->ring));
	d->has_ring = d->ready >= 0;
	if (!d->has_ring)
		zs_zone_ring_close(&d->ring);
}

/* Where the zones' write pointers are. */
static int load_pointers(struct zs_zone_disk *d)
{
	for (uint32_t i = 0; i < d->device.geometry.zones; i++) {
		struct zs_zone zone;

		if (d->driver->report(d, i, 1, &zone))
			return ZS_ESYS;
		d->written[i] = zone.state == ZS_ZONE_FULL ? d->device.geometry.capacity : zone.written;
	}
	return ZS_OK;
}

static int make_device(struct zs_zone_disk *d, const struct zs_zone_geometry *geometry)
{
	if (zs_zone_device_init(&d->device, &disk_ops, geometry))
		return ZS_ENOMEM;
	d->written = calloc(geometry->zones, sizeof(*d->written));
	d->locks = calloc(geometry->zones, sizeof(*d->locks));
	if (!d->written || !d->locks)
		return ZS_ENOMEM;
	for (uint32_t i = 0; i < geometry->zones; i++)
		pthread_mutex_init(&d->locks[i], NULL);
	if (load_pointers(d))
		return ZS_ESYS;
	return zs_zone_pool_open(&d->pool, perform, d);
}

int zs_zone_disk_cannot_open(const char *path, char *why, size_t why_size)
{
	if (errno == EBUSY)
		snprintf(why, why_size, "%s is in use: somebody has mounted it or has it open for himself", path);
	else if (errno == EACCES || errno == EPERM)
		snprintf(why, why_size, "%s: this user is not permitted to read and write it", path);
	else
		snprintf(why, why_size, "%s cannot be opened: %s", path, strerror(errno));
	return ZS_ECONFIG;
}

uint64_t zs_zone_disk_identity(const char *folder)
{
	static const char *const places[] = { "wwid", "device/wwid" };
	char path[256];
	char name[256];
	size_t size = 0;

	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]) && !size; i++) {
		FILE *file;

		snprintf(path, sizeof(path), "%s/%s", folder, places[i]);
		file = fopen(path, "re");
		if (!file)
			continue;
		size = fread(name, 1, sizeof(name), file);
		fclose(file);
	}
	return size ? XXH3_64bits(name, size) : 0;
}

bool zs_zone_disk_is(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && (S_ISBLK(status.st_mode) || S_ISCHR(status.st_mode));
}

int zs_zone_disk_open_path(const char *path, uint64_t size, struct zs_zone_device **device, char *why, size_t why_size)
{
	char generic[ZS_ZONE_NAMESPACE_PATH];
	struct stat status;

	if (stat(path, &status) == 0 && S_ISCHR(status.st_mode))
		return zs_zone_nvme_open(path, size, device, why, why_size);
	/* If that fails, for want of rights or another reason, the block device is the one to say why. */
	if (zs_zone_namespace_generic(path, generic) &&
	    zs_zone_nvme_open(generic, size, device, why, why_size) == ZS_OK)
		return ZS_OK;
	return zs_zone_block_open(path, size, device, why, why_size);
}

const char *zs_zone_disk_way(const struct zs_zone_device *device)
{
	const struct zs_zone_disk *d = (const struct zs_zone_disk *)device;

	return d->has_ring ? "NVMe commands by io_uring" : d->driver->name;
}

int zs_zone_disk_open(const char *path, int fd, uint32_t namespace, const struct zs_zone_driver *driver,
		      const struct zs_zone_disk_facts *facts, uint64_t size, struct zs_zone_device **device, char *why,
		      size_t why_size)
{
	struct zs_zone_geometry geometry;
	struct zs_zone_disk *d;
	int error = check_facts(path, facts, size, why, why_size);

	*device = NULL;
	if (!error && flock(fd, LOCK_EX | LOCK_NB)) {
		snprintf(why, why_size, "%s is in use by another process", path);
		error = ZS_ECONFIG;
	}
	d = error ? NULL : calloc(1, sizeof(*d));
	if (!d) {
		close(fd);
		return error ? error : ZS_ENOMEM;
	}
	d->fd = fd;
	d->claim = -1;
	d->namespace = namespace;
	d->driver = driver;
	d->zone_blocks = facts->zone_blocks;
	d->piece = facts->piece ? facts->piece : 1;
	geometry = geometry_of(facts, size);
	error = make_device(d, &geometry);
	if (error) {
		snprintf(why, why_size, "%s: %s", path,
			 error == ZS_ESYS ? "its zones cannot be asked for" : "not enough memory for its zones");
		free_disk(d);
		return error;
	}
	*device = &d->device;
	return ZS_OK;
}
