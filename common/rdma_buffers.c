/* The buffers of messages: one mapping, registered once, for all connections of an endpoint. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "common/error.h"
#include "common/rdma_internal.h"

static size_t count_of(const struct zs_rdma *rdma)
{
	return (size_t)rdma->options.receives + rdma->options.sends;
}

int zs_rdma_buffers_make(struct zs_rdma *rdma)
{
	size_t count = count_of(rdma);
	void *bytes =
	    mmap(NULL, count * ZS_RDMA_MESSAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (bytes == MAP_FAILED)
		return ZS_ENOMEM;
	rdma->bytes = bytes;
	rdma->buffers = calloc(count, sizeof(rdma->buffers[0]));
	if (!rdma->buffers)
		return ZS_ENOMEM;
	for (size_t i = 0; i < count; i++) {
		rdma->buffers[i].bytes = rdma->bytes + i * ZS_RDMA_MESSAGE_SIZE;
		if (i >= rdma->options.receives)
			zs_rdma_buffer_return(rdma, &rdma->buffers[i]);
	}
	return ZS_OK;
}

void zs_rdma_buffers_free(struct zs_rdma *rdma)
{
	if (rdma->bytes)
		munmap(rdma->bytes, count_of(rdma) * ZS_RDMA_MESSAGE_SIZE);
	free(rdma->buffers);
}

int zs_rdma_buffers_register(struct zs_rdma *rdma)
{
	size_t size = count_of(rdma) * ZS_RDMA_MESSAGE_SIZE;

	rdma->device.buffers_mr = zs_verbs.ibv_reg_mr(rdma->device.pd, rdma->bytes, size, IBV_ACCESS_LOCAL_WRITE);
	if (!rdma->device.buffers_mr)
		return errno;
	rdma->pinned += size;
	for (unsigned i = 0; i < rdma->options.receives; i++) {
		int error = zs_rdma_buffer_post(rdma, &rdma->buffers[i]);

		if (error)
			return error;
	}
	return 0;
}

int zs_rdma_buffer_post(struct zs_rdma *rdma, struct zs_rdma_buffer *buffer)
{
	struct ibv_sge place = { (uintptr_t)buffer->bytes, ZS_RDMA_MESSAGE_SIZE, rdma->device.buffers_mr->lkey };
	struct ibv_recv_wr request = {
		.wr_id = ZS_RDMA_RECEIVE_NAME | (uint64_t)(buffer - rdma->buffers),
		.sg_list = &place,
		.num_sge = 1,
	};
	struct ibv_recv_wr *bad;

	return ibv_post_srq_recv(rdma->device.srq, &request, &bad);
}

struct zs_rdma_buffer *zs_rdma_buffer_take(struct zs_rdma *rdma)
{
	struct zs_rdma_buffer *buffer = rdma->free_buffers;

	if (buffer)
		rdma->free_buffers = buffer->next;
	return buffer;
}

void zs_rdma_buffer_return(struct zs_rdma *rdma, struct zs_rdma_buffer *buffer)
{
	buffer->next = rdma->free_buffers;
	rdma->free_buffers = buffer;
}
