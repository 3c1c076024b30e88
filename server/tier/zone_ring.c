#include "server/tier/zone_ring.h"

#include <assert.h>
#include <linux/nvme_ioctl.h>
#include <string.h>

#include "common/error.h"

/* Of an entry of twice the usual size, as NVMe commands need it. */
#define ENTRY_SIZE (2 * sizeof(struct io_uring_sqe))

static bool has_commands(struct io_uring *ring)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	bool has = probe && io_uring_opcode_supported(probe, IORING_OP_URING_CMD);

	io_uring_free_probe(probe);
	return has;
}

int zs_zone_ring_open(struct zs_zone_ring *ring)
{
	*ring = (struct zs_zone_ring){ .under_way = 0 };
	if (io_uring_queue_init(ZS_ZONE_QUEUE_DEPTH, &ring->ring, IORING_SETUP_SQE128 | IORING_SETUP_CQE32))
		return ZS_ESYS;
	if (has_commands(&ring->ring))
		return ZS_OK;
	io_uring_queue_exit(&ring->ring);
	return ZS_ESYS;
}

/* What the kernel does not take now, because it has no memory, it is asked to take with the next call. */
static void submit(struct zs_zone_ring *ring)
{
	int taken = io_uring_submit(&ring->ring);

	if (taken > 0)
		ring->waiting -= (unsigned)taken;
}

void zs_zone_ring_put(struct zs_zone_ring *ring, int fd, const struct nvme_uring_cmd *command,
		      struct zs_zone_request *request)
{
	/* There is one: the ring has as many as may be under way. */
	struct io_uring_sqe *entry = io_uring_get_sqe(&ring->ring);

	assert(entry);
	memset(entry, 0, ENTRY_SIZE);
	entry->opcode = IORING_OP_URING_CMD;
	entry->fd = fd;
	entry->cmd_op = NVME_URING_CMD_IO;
	/* The command fills the second half and the end of the first. */
	memcpy((uint8_t *)entry + offsetof(struct io_uring_sqe, cmd), command, sizeof(*command));
	io_uring_sqe_set_data(entry, request);
	ring->under_way++;
	ring->waiting++;
	submit(ring);
}

bool zs_zone_ring_take(struct zs_zone_ring *ring, struct zs_zone_ring_end *end)
{
	struct io_uring_cqe *entry;

	if (ring->waiting)
		submit(ring);
	if (io_uring_peek_cqe(&ring->ring, &entry))
		return false;
	*end = (struct zs_zone_ring_end){
		.request = io_uring_cqe_get_data(entry),
		.result = entry->res,
		.value = entry->big_cqe[0],
	};
	io_uring_cqe_seen(&ring->ring, entry);
	ring->under_way--;
	return true;
}

int zs_zone_ring_fd(const struct zs_zone_ring *ring)
{
	return ring->ring.ring_fd;
}

void zs_zone_ring_close(struct zs_zone_ring *ring)
{
	struct zs_zone_ring_end ignored;

	while (ring->under_way) {
		int taken = io_uring_submit_and_wait(&ring->ring, 1);

		if (taken > 0)
			ring->waiting -= (unsigned)taken;
		while (zs_zone_ring_take(ring, &ignored)) {
		}
	}
	io_uring_queue_exit(&ring->ring);
}
