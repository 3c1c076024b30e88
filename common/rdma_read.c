/* READs of the peer's memory. */
#include "common/error.h"
#include "common/rdma_internal.h"

enum {
	POST_MAX = 8, /* READs in one post */
	/* No adapter reaches further, and no machine has more. */
	ADDRESS_BITS = 57,
};

static bool lies_within(uint64_t start, uint64_t length, uint64_t base, uint64_t size)
{
	return start >= base && start - base <= size && length <= size - (start - base);
}

int zs_rdma_aim(struct zs_rdma_connection *c, const struct zs_rdma_target *target)
{
	if (!target->size || target->size >> ADDRESS_BITS || target->address >> ADDRESS_BITS)
		return ZS_EINVAL;
	c->target = *target;
	return ZS_OK;
}

/* Fills what a READ has; the rest of so large a structure is for other operations, and not even cleared. */
static void fill(struct ibv_send_wr *request, struct ibv_sge *place, uint64_t address, uint32_t rkey)
{
	request->next = request + 1;
	request->sg_list = place;
	request->num_sge = 1;
	request->opcode = IBV_WR_RDMA_READ;
	request->send_flags = 0;
	request->wr.rdma.remote_addr = address;
	request->wr.rdma.rkey = rkey;
}

int zs_rdma_read(struct zs_rdma_connection *c, const struct zs_rdma_memory *memory, const struct zs_fetch *reads,
		 unsigned count, void *read, uint64_t now_ns)
{
	struct ibv_send_wr requests[POST_MAX];
	struct ibv_sge places[POST_MAX];
	struct ibv_send_wr *bad;
	const struct ibv_mr *mr = memory->mr;

	if (!count || count > POST_MAX)
		return ZS_EINVAL;
	if (c->state != ZS_RDMA_READY)
		return ZS_EPROTO;
	if (count > c->reads_free)
		return ZS_EAGAIN;
	for (unsigned i = 0; i < count; i++) {
		if (!lies_within(reads[i].address, reads[i].length, 0, c->target.size) ||
		    !lies_within((uintptr_t)reads[i].destination, reads[i].length, (uintptr_t)mr->addr, mr->length))
			return ZS_EINVAL;
		places[i] = (struct ibv_sge){ (uintptr_t)reads[i].destination, reads[i].length, mr->lkey };
		fill(&requests[i], &places[i], c->target.address + reads[i].address, c->target.rkey);
	}
	c->reads_free -= count;
	/* They end in order, so the end of the last one is that of all. A failed one completes in any case. */
	requests[count - 1].next = NULL;
	requests[count - 1].send_flags = IBV_SEND_SIGNALED;
	requests[count - 1].wr_id = zs_rdma_request_begin(
	    c, (struct zs_rdma_request){ .kind = ZS_RDMA_READS, .count = count, .read = read }, now_ns);
	for (unsigned i = 0; i + 1 < count; i++)
		requests[i].wr_id = requests[count - 1].wr_id;
	if (ibv_post_send(c->qp, requests, &bad))
		zs_rdma_request_failed(c);
	return ZS_OK;
}
