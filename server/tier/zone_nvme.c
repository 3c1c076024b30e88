/*
 * Zoned NVMe namespaces in NVMe's own commands, through the generic device: appends say where they went, and errors are
 * the disk's. Appends and reads go through io_uring; with kernels that have no such commands, and if one is larger
 * than what the disk takes at once, through the threads. Never are two commands linked: those fail at random.
 *
 * Sources: NVM Express Zoned Namespace Command Set 1.1; libnvme for the commands' layout.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libnvme.h>
#include <linux/nvme_ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/error.h"
#include "server/tier/zone_disk.h"
#include "server/tier/zone_namespace.h"

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

/* ---- requests ---- */

/* In the zone, from what the disk says of an append. */
static enum zs_zone_status place_of(const struct zs_zone_disk *d, uint32_t zone, uint32_t blocks, uint64_t said,
				    uint32_t *block)
{
	uint64_t start = start_of(d, zone);

	if (said < start || said - start > d->device.geometry.capacity - blocks)
		return ZS_ZONE_BROKEN; /* it says that it wrote elsewhere */
	*block = (uint32_t)(said - start);
	return ZS_ZONE_DONE;
}

/* One command; *block is where the blocks are. */
static enum zs_zone_status append_piece(struct zs_zone_disk *d, uint32_t zone, void *data, uint32_t blocks,
					uint32_t *block)
{
	__u64 result = 0;
	struct nvme_zns_append_args args = {
		.zslba = start_of(d, zone),
		.result = &result,
		.data = data,
		.args_size = sizeof(args),
		.fd = d->fd,
		.timeout = TIMEOUT_MS,
		.nsid = d->namespace,
		.data_len = blocks * ZS_ZONE_BLOCK_SIZE,
		.nlb = (__u16)(blocks - 1),
	};
	enum zs_zone_status status = status_of(nvme_zns_append(&args));

	if (status != ZS_ZONE_DONE)
		return status;
	return place_of(d, zone, blocks, result, block);
}

static uint8_t *data_at(const struct zs_zone_request *request, uint32_t block)
{
	return (uint8_t *)request->data + (size_t)block * ZS_ZONE_BLOCK_SIZE;
}

/* Blocks of the command that begins at `block` of a request. */
static uint32_t piece_at(const struct zs_zone_disk *d, const struct zs_zone_request *request, uint32_t block)
{
	uint32_t left = request->blocks - block;

	return left < d->piece ? left : d->piece;
}

/* More than the disk takes at once. Nobody else appends to the zone meanwhile, so the pieces are next to each other. */
static enum zs_zone_status append_pieces(struct zs_zone_disk *d, struct zs_zone_request *request)
{
	struct zs_zone found;
	uint32_t block;

	if (report(d, request->zone, 1, &found))
		return ZS_ZONE_BROKEN;
	/* All or nothing, as of one command. Other reasons against it the first piece finds. */
	if (found.state <= ZS_ZONE_FULL && request->blocks > d->device.geometry.capacity - found.written)
		return ZS_ZONE_IS_FULL;
	for (uint32_t i = 0; i < request->blocks; i += piece_at(d, request, i)) {
		enum zs_zone_status status =
		    append_piece(d, request->zone, data_at(request, i), piece_at(d, request, i), &block);

		if (status)
			return i ? ZS_ZONE_WRITE_FAULT : status; /* the pointer has moved */
		if (i && block != request->block + i)
			return ZS_ZONE_WRITE_FAULT; /* somebody else writes, too */
		if (!i)
			request->block = block;
	}
	return ZS_ZONE_DONE;
}

static enum zs_zone_status append(struct zs_zone_disk *d, struct zs_zone_request *request)
{
	if (request->blocks > d->piece)
		return append_pieces(d, request);
	return append_piece(d, request->zone, request->data, request->blocks, &request->block);
}

static enum zs_zone_status read_piece(struct zs_zone_disk *d, const struct zs_zone_request *request, uint32_t block,
				      uint32_t blocks)
{
	struct nvme_io_args args = {
		.slba = start_of(d, request->zone) + request->block + block,
		.data = data_at(request, block),
		.args_size = sizeof(args),
		.fd = d->fd,
		.timeout = TIMEOUT_MS,
		.nsid = d->namespace,
		.data_len = blocks * ZS_ZONE_BLOCK_SIZE,
		.nlb = (__u16)(blocks - 1),
	};

	return status_of(nvme_read(&args));
}

static enum zs_zone_status read_blocks(struct zs_zone_disk *d, struct zs_zone_request *request)
{
	enum zs_zone_status status = ZS_ZONE_DONE;

	for (uint32_t i = 0; i < request->blocks && status == ZS_ZONE_DONE; i += piece_at(d, request, i))
		status = read_piece(d, request, i, piece_at(d, request, i));
	return status;
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

/* ---- through the ring ---- */

static bool command_for(struct zs_zone_disk *d, const struct zs_zone_request *request, struct nvme_uring_cmd *command)
{
	bool appends = request->op == ZS_ZONE_APPEND;
	uint64_t start = start_of(d, request->zone) + (appends ? 0 : request->block);

	if ((!appends && request->op != ZS_ZONE_READ) || request->blocks > d->piece)
		return false;
	/* Appends in pieces need the zone for themselves, so here all take their turn, in the threads. */
	if (appends && d->piece < ZS_ZONE_APPEND_BLOCKS_MAX)
		return false;
	*command = (struct nvme_uring_cmd){
		.opcode = appends ? nvme_zns_cmd_append : nvme_cmd_read,
		.nsid = d->namespace,
		.addr = (uintptr_t)request->data,
		.data_len = request->blocks * ZS_ZONE_BLOCK_SIZE,
		.cdw10 = (uint32_t)start,
		.cdw11 = (uint32_t)(start >> 32),
		.cdw12 = request->blocks - 1,
		.timeout_ms = TIMEOUT_MS,
	};
	return true;
}

static void ended(struct zs_zone_disk *d, const struct zs_zone_ring_end *end)
{
	struct zs_zone_request *request = end->request;

	request->status = status_of(end->result);
	/* Once begun a request is not invalid; zs_zone_reap goes by that. */
	if (request->status == ZS_ZONE_INVALID)
		request->status = ZS_ZONE_BROKEN;
	if (request->op == ZS_ZONE_APPEND && request->status == ZS_ZONE_DONE)
		request->status = place_of(d, request->zone, request->blocks, end->value, &request->block);
}

static const struct zs_zone_driver driver = {
	.name = "NVMe commands",
	.append = append,
	.read = read_blocks,
	.manage = manage,
	.flush = flush,
	.report = report,
	.command = command_for,
	.ended = ended,
};

/* ---- opening ---- */

static int cannot(const char *path, const char *what, char *why, size_t why_size)
{
	if (errno == EACCES || errno == EPERM)
		snprintf(why, why_size,
			 "%s: this user is not permitted to send it NVMe commands, which takes CAP_SYS_ADMIN; as a "
			 "block device (/dev/nvmeXnY) it can do without",
			 path);
	else
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

/* A power of two that the disk says, in pages of its own that have 4096 bytes or more; 0: no limit. */
static uint32_t smaller(uint32_t blocks, uint8_t power)
{
	return power && power < 16 && 1u << power < blocks ? 1u << power : blocks;
}

/* The largest command that the disk takes, an append in particular. 0: it cannot be asked. */
static uint32_t largest_command(int fd)
{
	static _Alignas(4096) struct nvme_id_ctrl controller;
	static _Alignas(4096) struct nvme_zns_id_ctrl zns;

	if (nvme_identify_ctrl(fd, &controller) || nvme_zns_identify_ctrl(fd, &zns))
		return 0;
	return smaller(smaller(ZS_ZONE_APPEND_BLOCKS_MAX, controller.mdts), zns.zasl);
}

/* Which of its formats the namespace has. */
static unsigned format_of(const struct nvme_id_ns *id)
{
	return (id->flbas & 0xfu) | (id->nlbaf >= 16 ? (id->flbas >> 1) & 0x30u : 0);
}

static int learn(const char *path, int fd, uint32_t *namespace, struct zs_zone_disk_facts *facts, char *why,
		 size_t why_size)
{
	static _Alignas(4096) struct nvme_id_ns id;
	static _Alignas(4096) struct nvme_zns_id_ns zns;
	unsigned format;

	errno = 0;
	if (nvme_get_nsid(fd, namespace))
		return cannot(path, "it is no NVMe namespace", why, why_size);
	if (nvme_identify_ns(fd, *namespace, &id))
		return cannot(path, "it cannot be identified", why, why_size);
	if (nvme_zns_identify_ns(fd, *namespace, &zns))
		return cannot(path, "it is not a zoned namespace", why, why_size);
	format = format_of(&id);
	if (id.lbaf[format].ms) {
		snprintf(why, why_size,
			 "%s has %u bytes of metadata beside each block; the warm tier needs it formatted without "
			 "(nvme format --lbaf)",
			 path, le16toh(id.lbaf[format].ms));
		return ZS_ECONFIG;
	}
	*facts = (struct zs_zone_disk_facts){
		.zone_blocks = le64toh(zns.lbafe[format].zsze),
		/* Counted from 0; all ones mean no limit, and 0 here. */
		.open_max = (uint32_t)(le32toh(zns.mor) + 1),
		.active_max = (uint32_t)(le32toh(zns.mar) + 1),
		.block_size = 1u << id.lbaf[format].ds,
		.piece = largest_command(fd),
		.identity = zs_zone_namespace_identity(fd),
	};
	if (!facts->piece)
		return cannot(path, "it does not say how much it takes at once", why, why_size);
	if (facts->block_size != ZS_ZONE_BLOCK_SIZE || !facts->zone_blocks)
		return ZS_OK; /* is refused with the others' reason */
	facts->zones = le64toh(id.nsze) / facts->zone_blocks;
	return look_at_zones(path, fd, *namespace, facts, why, why_size);
}

int zs_zone_nvme_open(const char *path, uint64_t size, struct zs_zone_device **device, char *why, size_t why_size)
{
	struct zs_zone_disk_facts facts;
	struct zs_zone_disk *disk;
	uint32_t namespace;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int claim = -1;
	int error;

	*device = NULL;
	if (fd < 0)
		return zs_zone_disk_cannot_open(path, why, why_size);
	error = learn(path, fd, &namespace, &facts, why, why_size);
	if (!error)
		error = zs_zone_namespace_claim(path, fd, &claim, why, why_size);
	if (error) {
		close(fd);
		return error;
	}
	error = zs_zone_disk_open(path, fd, namespace, &driver, &facts, size, device, why, why_size);
	if (error) {
		if (claim >= 0)
			close(claim);
		return error;
	}
	disk = (struct zs_zone_disk *)*device;
	disk->claim = claim;
	zs_zone_disk_use_ring(disk);
	return ZS_OK;
}
