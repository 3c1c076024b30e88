#include "server/tier/zone_device.h"

#include <stdlib.h>

#include "common/error.h"
#include "server/tier/zone_internal.h"

int zs_zone_device_init(struct zs_zone_device *device, const struct zs_zone_ops *ops,
			const struct zs_zone_geometry *geometry)
{
	*device = (struct zs_zone_device){
		.ops = ops,
		.geometry = *geometry,
		.traffic = calloc(geometry->zones, sizeof(*device->traffic)),
	};
	return device->traffic ? ZS_OK : ZS_ENOMEM;
}

void zs_zone_device_free(struct zs_zone_device *device)
{
	free(device->traffic);
	device->traffic = NULL;
}

void zs_zone_device_close(struct zs_zone_device *device)
{
	if (device)
		device->ops->close(device);
}

const struct zs_zone_geometry *zs_zone_geometry(const struct zs_zone_device *device)
{
	return &device->geometry;
}

int zs_zone_report(struct zs_zone_device *device, uint32_t first, uint32_t count, struct zs_zone *zones)
{
	if (first > device->geometry.zones || count > device->geometry.zones - first)
		return ZS_EINVAL;
	return device->ops->report(device, first, count, zones);
}

int zs_zone_fd(const struct zs_zone_device *device)
{
	return device->ops->fd(device);
}

static bool has_sound_data(const struct zs_zone_request *request)
{
	return request->blocks >= 1 && request->blocks <= ZS_ZONE_APPEND_BLOCKS_MAX && request->data &&
	       (uintptr_t)request->data % ZS_ZONE_BLOCK_SIZE == 0;
}

static bool is_valid(const struct zs_zone_device *device, const struct zs_zone_request *request)
{
	uint32_t capacity = device->geometry.capacity;
	const struct zs_zone_traffic *traffic;

	if (request->op == ZS_ZONE_FLUSH)
		return true;
	if (request->zone >= device->geometry.zones)
		return false;
	traffic = &device->traffic[request->zone];
	switch (request->op) {
	case ZS_ZONE_APPEND:
		return has_sound_data(request) && !traffic->changing;
	case ZS_ZONE_READ:
		return has_sound_data(request) && request->block < capacity &&
		       request->blocks <= capacity - request->block;
	case ZS_ZONE_RESET:
	case ZS_ZONE_FINISH:
		return !traffic->appends && !traffic->changing;
	case ZS_ZONE_CLOSE:
		return !traffic->changing;
	default:
		return false;
	}
}

/* Notes that a request begins or has ended. */
static void count_traffic(struct zs_zone_device *device, const struct zs_zone_request *request, bool begins)
{
	if (request->op == ZS_ZONE_APPEND)
		device->traffic[request->zone].appends += begins ? 1 : -1;
	else if (request->op == ZS_ZONE_RESET || request->op == ZS_ZONE_FINISH)
		device->traffic[request->zone].changing = begins;
}

int zs_zone_submit(struct zs_zone_device *device, struct zs_zone_request *request)
{
	if (device->under_way == ZS_ZONE_QUEUE_DEPTH)
		return ZS_EAGAIN;
	device->under_way++;
	request->next = NULL;
	if (!is_valid(device, request)) {
		request->status = ZS_ZONE_INVALID;
		device->ops->end(device, request);
		return ZS_OK;
	}
	count_traffic(device, request, true);
	device->ops->begin(device, request);
	return ZS_OK;
}

unsigned zs_zone_reap(struct zs_zone_device *device, struct zs_zone_request **done, unsigned max)
{
	unsigned count = device->ops->reap(device, done, max);

	device->under_way -= count;
	for (unsigned i = 0; i < count; i++) {
		/* Only requests that were never begun end so. */
		if (done[i]->status != ZS_ZONE_INVALID)
			count_traffic(device, done[i], false);
	}
	return count;
}

const char *zs_zone_status_name(enum zs_zone_status status)
{
	static const char *const names[] = {
		[ZS_ZONE_DONE] = "done",
		[ZS_ZONE_IS_FULL] = "the zone is full",
		[ZS_ZONE_TOO_MANY_ACTIVE] = "too many zones are active",
		[ZS_ZONE_TOO_MANY_OPEN] = "too many zones are open",
		[ZS_ZONE_IS_READ_ONLY] = "the zone is read-only",
		[ZS_ZONE_IS_OFFLINE] = "the zone is offline",
		[ZS_ZONE_WRITE_FAULT] = "write fault",
		[ZS_ZONE_READ_FAULT] = "read fault",
		[ZS_ZONE_INVALID] = "invalid request",
		[ZS_ZONE_BROKEN] = "the device failed",
	};

	return (size_t)status < sizeof(names) / sizeof(names[0]) ? names[status] : "unknown status";
}
