/* READs: posting them, and what becomes of them. */
#include <assert.h>
#include <errno.h>

#include "common/error.h"
#include "common/rdma_internal.h"

enum {
	POST_MAX = 8,  /* READs in one batch */
	POLL_MAX = 16, /* completions taken at a time */
};

/* A completion tells the slot, which connection of that slot, and the batch: one that comes late belongs to nobody. */
static uint64_t name_of(const struct zs_rdma_connection *c, uint32_t batch)
{
	return (uint64_t)c->index << 48 | (uint64_t)c->rdma->slots[c->index].generation << 32 | batch;
}

static struct zs_rdma_batch *batch_at(struct zs_rdma_connection *c, uint32_t number)
{
	return &c->batches[number % c->rdma->options.reads];
}

static bool lies_within(uint64_t start, uint64_t length, uint64_t base, uint64_t size)
{
	return start >= base && start - base <= size && length <= size - (start - base);
}

int zs_rdma_read(struct zs_rdma_connection *c, const struct zs_rdma_memory *memory, const struct zs_fetch *reads,
		 unsigned count, void *read)
{
	struct ibv_send_wr requests[POST_MAX];
	struct ibv_sge places[POST_MAX];
	struct ibv_send_wr *bad;
	const struct ibv_mr *mr = memory->mr;
	uint64_t deadline_ns;

	if (!count || count > POST_MAX)
		return ZS_EINVAL;
	if (c->state != ZS_RDMA_READY)
		return ZS_EPROTO;
	if (count > c->reads_free)
		return ZS_EAGAIN;
	for (unsigned i = 0; i < count; i++) {
		if (!lies_within(reads[i].address, reads[i].length, 0, c->welcome.arena_size) ||
		    !lies_within((uintptr_t)reads[i].destination, reads[i].length, (uintptr_t)mr->addr, mr->length))
			return ZS_EINVAL;
		places[i] = (struct ibv_sge){ (uintptr_t)reads[i].destination, reads[i].length, mr->lkey };
		/* They end in order, so the end of the last one is that of all; a failed one completes anyway. */
		requests[i] = (struct ibv_send_wr){
			.wr_id = name_of(c, c->next),
			.next = i + 1 < count ? &requests[i + 1] : NULL,
			.sg_list = &places[i],
			.num_sge = 1,
			.opcode = IBV_WR_RDMA_READ,
			.send_flags = i + 1 < count ? 0 : IBV_SEND_SIGNALED,
			.wr.rdma = { c->welcome.arena_address + reads[i].address, c->welcome.arena_rkey },
		};
	}
	deadline_ns = zs_clock_ns(c->rdma->options.clock) + c->rdma->options.read_timeout_ms * UINT64_C(1000000);
	*batch_at(c, c->next) = (struct zs_rdma_batch){ read, count, deadline_ns };
	c->next++;
	c->reads_free -= count;
	zs_rdma_expect_by(c->rdma, deadline_ns);
	/*
	 * Some may have been posted before one could not. Then the connection cannot be used any more; the deadline of
	 * the batch ends it, from within the pump, as if no answer had come.
	 */
	if (ibv_post_send(c->qp, requests, &bad)) {
		batch_at(c, c->next - 1)->deadline_ns = 0;
		zs_rdma_expect_by(c->rdma, 0);
	}
	return ZS_OK;
}

static void end_first(struct zs_rdma_connection *c, bool ok)
{
	struct zs_rdma_batch batch = *batch_at(c, c->first);

	assert(c->first != c->next);
	c->first++;
	c->reads_free += batch.count;
	c->handler.done(c->handler.context, batch.read, ok);
}

void zs_rdma_fail_reads(struct zs_rdma_connection *c)
{
	assert(!c->qp);
	while (c->first != c->next)
		end_first(c, false);
}

static void take(struct zs_rdma *rdma, const struct ibv_wc *completion)
{
	unsigned index = (unsigned)(completion->wr_id >> 48);
	uint16_t generation = (uint16_t)(completion->wr_id >> 32);
	struct zs_rdma_connection *c;

	if (index >= rdma->options.connections || rdma->slots[index].generation != generation)
		return;
	c = rdma->slots[index].connection;
	if (!c || c->state != ZS_RDMA_READY)
		return;
	if (completion->status != IBV_WC_SUCCESS)
		zs_rdma_break(c, "a read failed: %s", ibv_wc_status_str(completion->status));
	else if (c->first != c->next && c->first == (uint32_t)completion->wr_id)
		end_first(c, true);
	else
		zs_rdma_break(c, "the adapter reported a read that is not under way");
}

unsigned zs_rdma_take_completions(struct zs_rdma *rdma)
{
	struct ibv_wc completions[POLL_MAX];
	unsigned all = 0;
	int count;

	if (!rdma->device.cq)
		return 0;
	do {
		count = ibv_poll_cq(rdma->device.cq, POLL_MAX, completions);
		for (int i = 0; i < count; i++)
			take(rdma, &completions[i]);
		all += count > 0 ? (unsigned)count : 0;
	} while (count == POLL_MAX);
	return all;
}
