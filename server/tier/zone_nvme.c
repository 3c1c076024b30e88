/*
 * Zoned NVMe namespaces in NVMe's own commands, through the generic device: appends say where they went, and errors are
 * the disk's.
 *
 * Sources: NVM Express Zoned Namespace Command Set 1.1; libnvme for the commands' layout.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libnvme.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/error.h"
#include "common/hash.h"
#include "server/tier/zone_disk.h"

/* Bits of a status that say what it is: its kind and its number. */
#define STATUS_MASK 0x7ff
#define ZONE_STATUS(code) (NVME_SCT_CMD_SPECIFIC << 8 | (code))
#define MEDIA_STATUS(code) (NVME_SCT_MEDIA << 8 | (code))

#define TIMEOUT_MS 30000u

static uint64_t start_of(const struct zs_zone_disk *d, uint32_t zone)
{
	return zone * d->zone_blocks;
}

/* What a command's result means: -1 is the driver's failure, above 0 is the disk's status. */
static enum zs_zone_status status_of(int result)
{
	if (result < 0)
		return ZS_ZONE_BROKEN;
	switch (result & STATUS_MASK) {
	case 0:
		return ZS_ZONE_DONE;
	case ZONE_STATUS(NVME_SC_ZNS_BOUNDARY_ERROR):
	case ZONE_STATUS(NVME_SC_ZNS_FULL):
		return ZS_ZONE_IS_FULL;
	case ZONE_STATUS(NVME_SC_ZNS_READ_ONLY):
		return ZS_ZONE_IS_READ_ONLY;
	case ZONE_STATUS(NVME_SC_ZNS_OFFLINE):
		return ZS_ZONE_IS_OFFLINE;
	case ZONE_STATUS(NVME_SC_ZNS_TOO_MANY_ACTIVE):
		return ZS_ZONE_TOO_MANY_ACTIVE;
	case ZONE_STATUS(NVME_SC_ZNS_TOO_MANY_OPENS):
		return ZS_ZONE_TOO_MANY_OPEN;
	case ZONE_STATUS(NVME_SC_ZNS_INVAL_TRANSITION):
		return ZS_ZONE_INVALID;
	case MEDIA_STATUS(NVME_SC_WRITE_FAULT):
		return ZS_ZONE_WRITE_FAULT;
	case MEDIA_STATUS(NVME_SC_READ_ERROR):
		return ZS_ZONE_READ_FAULT;
	default:
		return ZS_ZONE_BROKEN;
	}
}

/* ---- requests ---- */

static enum zs_zone_status append(struct zs_zone_disk *d, struct zs_zone_request *request)
{
	__u64 result = 0;
	struct nvme_zns_append_args args = {
		.zslba = start_of(d, request->zone),
		.result = &result,
		.data = request->data,
		.args_size = sizeof(args),
		.fd = d->fd,
		.timeout = TIMEOUT_MS,
		.nsid = d->namespace,
		.data_len = request->blocks * ZS_ZONE_BLOCK_SIZE,
		.nlb = (__u16)(request->blocks - 1),
	};
	enum zs_zone_status status = status_of(nvme_zns_append(&args));

	if (status != ZS_ZONE_DONE)
		return status;
	if (result < args.zslba || result - args.zslba > d->device.geometry.capacity - request->blocks)
		return ZS_ZONE_BROKEN; /* it says that it wrote elsewhere */
	request->block = (uint32_t)(result - args.zslba);
	return ZS_ZONE_DONE;
}

static enum zs_zone_status read_blocks(struct zs_zone_disk *d, struct zs_zone_request *request)
{
	struct nvme_io_args args = {
		.slba = start_of(d, request->zone) + request->block,
		.data = request->data,
		.args_size = sizeof(args),
		.fd = d->fd,
		.timeout = TIMEOUT_MS,
		.nsid = d->namespace,
		.data_len = request->blocks * ZS_ZONE_BLOCK_SIZE,
		.nlb = (__u16)(request->blocks - 1),
	};

	return status_of(nvme_read(&args));
}

static enum zs_zone_status manage(struct zs_zone_disk *d, uint32_t zone, enum zs_zone_op op)
{
	struct nvme_zns_mgmt_send_args args = {
		.slba = start_of(d, zone),
		.args_size = sizeof(args),
		.fd = d->fd,
		.timeout = TIMEOUT_MS,
		.nsid = d->namespace,
		.zsa = op == ZS_ZONE_RESET    ? NVME_ZNS_ZSA_RESET
		       : op == ZS_ZONE_FINISH ? NVME_ZNS_ZSA_FINISH
					      : NVME_ZNS_ZSA_CLOSE,
	};

	return status_of(nvme_zns_mgmt_send(&args));
}

static enum zs_zone_status flush(struct zs_zone_disk *d)
{
	return status_of(nvme_flush(d->fd, d->namespace));
}

/* ---- zones ---- */

static struct zs_zone zone_from(const struct nvme_zns_desc *z)
{
	struct zs_zone zone = { .written = (uint32_t)(le64toh(z->wp) - le64toh(z->zslba)) };

	switch (z->zs >> 4) {
	case NVME_ZNS_ZS_EMPTY:
		zone = (struct zs_zone){ .state = ZS_ZONE_EMPTY };
		break;
	case NVME_ZNS_ZS_IMPL_OPEN:
	case NVME_ZNS_ZS_EXPL_OPEN:
		zone.state = ZS_ZONE_OPEN;
		break;
	case NVME_ZNS_ZS_CLOSED:
		zone.state = ZS_ZONE_CLOSED;
		break;
	case NVME_ZNS_ZS_FULL:
		zone = (struct zs_zone){ ZS_ZONE_FULL, (uint32_t)le64toh(z->zcap) };
		break;
	case NVME_ZNS_ZS_READ_ONLY:
		zone = (struct zs_zone){ ZS_ZONE_READ_ONLY, (uint32_t)le64toh(z->zcap) };
		break;
	default:
		zone = (struct zs_zone){ .state = ZS_ZONE_OFFLINE };
		break;
	}
	return zone;
}

/* The caller frees it. NULL: it cannot be had. */
static struct nvme_zone_report *ask(int fd, uint32_t namespace, uint64_t start, uint32_t count)
{
	size_t size = sizeof(struct nvme_zone_report) + count * sizeof(struct nvme_zns_desc);
	struct nvme_zone_report *r = calloc(1, size);

	if (!r)
		return NULL;
	if (nvme_zns_report_zones(fd, namespace, start, NVME_ZNS_ZRAS_REPORT_ALL, false, true, (__u32)size, r,
				  TIMEOUT_MS, NULL) == 0 &&
	    le64toh((uint64_t)r->nr_zones) >= count)
		return r;
	free(r);
	return NULL;
}

static int report(struct zs_zone_disk *d, uint32_t first, uint32_t count, struct zs_zone *zones)
{
	struct nvme_zone_report *r = ask(d->fd, d->namespace, start_of(d, first), count);

	if (!r)
		return ZS_ESYS;
	for (uint32_t i = 0; i < count; i++)
		zones[i] = zone_from(&r->entries[i]);
	free(r);
	return ZS_OK;
}

static const struct zs_zone_driver driver = { append, read_blocks, manage, flush, report };

/* ---- opening ---- */

static int cannot(const char *path, const char *what, char *why, size_t why_size)
{
	snprintf(why, why_size, "%s: %s: %s", path, what, errno ? strerror(errno) : "the disk refuses");
	return ZS_ECONFIG;
}

/* All zones have to be alike. */
static int look_at_zones(const char *path, int fd, uint32_t namespace, struct zs_zone_disk_facts *facts, char *why,
			 size_t why_size)
{
	for (uint64_t i = 0; i < facts->zones; i++) {
		struct nvme_zone_report *r = ask(fd, namespace, i * facts->zone_blocks, 1);
		uint64_t capacity;

		if (!r)
			return cannot(path, "its zones cannot be asked for", why, why_size);
		capacity = le64toh(r->entries[0].zcap);
		free(r);
		if (i && capacity != facts->capacity) {
			snprintf(why, why_size, "%s: zone %" PRIu64 " has another capacity than the others", path, i);
			return ZS_ECONFIG;
		}
		facts->capacity = capacity;
	}
	return ZS_OK;
}

static int learn(const char *path, int fd, uint32_t *namespace, struct zs_zone_disk_facts *facts, char *why,
		 size_t why_size)
{
	static _Alignas(4096) struct nvme_id_ns id;
	static _Alignas(4096) struct nvme_zns_id_ns zns;
	uint8_t format;

	errno = 0;
	if (nvme_get_nsid(fd, namespace))
		return cannot(path, "it is no NVMe namespace", why, why_size);
	if (nvme_identify_ns(fd, *namespace, &id))
		return cannot(path, "it cannot be identified", why, why_size);
	if (nvme_zns_identify_ns(fd, *namespace, &zns))
		return cannot(path, "it is not a zoned namespace", why, why_size);
	format = id.flbas & 0xf;
	*facts = (struct zs_zone_disk_facts){
		.zone_blocks = le64toh(zns.lbafe[format].zsze),
		/* Counted from 0; all ones mean no limit, and 0 here. */
		.open_max = (uint32_t)(le32toh(zns.mor) + 1),
		.active_max = (uint32_t)(le32toh(zns.mar) + 1),
		.block_size = 1u << id.lbaf[format].ds,
		.identity = XXH3_64bits(id.nguid, sizeof(id.nguid) + sizeof(id.eui64)),
	};
	if (facts->block_size != ZS_ZONE_BLOCK_SIZE || !facts->zone_blocks)
		return ZS_OK; /* is refused with the others' reason */
	facts->zones = le64toh(id.nsze) / facts->zone_blocks;
	return look_at_zones(path, fd, *namespace, facts, why, why_size);
}

int zs_zone_nvme_open(const char *path, uint64_t size, struct zs_zone_device **device, char *why, size_t why_size)
{
	struct zs_zone_disk_facts facts;
	uint32_t namespace;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int error;

	*device = NULL;
	if (fd < 0) {
		snprintf(why, why_size, "%s cannot be opened: %s", path, strerror(errno));
		return ZS_ECONFIG;
	}
	error = learn(path, fd, &namespace, &facts, why, why_size);
	if (error) {
		close(fd);
		return error;
	}
	return zs_zone_disk_open(path, fd, namespace, &driver, &facts, size, device, why, why_size);
}
