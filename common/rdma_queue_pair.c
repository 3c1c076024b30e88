/* Queue pairs: made without rights for the peer, and found by their numbers. */
#include <errno.h>
#include <stdlib.h>

#include "common/error.h"
#include "common/rdma_internal.h"

enum {
	/* Small messages need no buffer where the device takes them along with the request. */
	INLINE_WANTED = 256,
	/* 0.64 ms until a message is sent again for which no receive buffer was there. The default is 655 ms. */
	RECEIVER_NOT_READY_TIMER = 12,
};

/* ---- by number ---- */

static struct zs_rdma_connection **chain_of(const struct zs_rdma *rdma, uint32_t number)
{
	return &rdma->by_number[(number * 0x9e3779b1u >> 16) & rdma->number_mask];
}

struct zs_rdma_connection *zs_rdma_of_number(const struct zs_rdma *rdma, uint32_t number)
{
	struct zs_rdma_connection *c = *chain_of(rdma, number);

	while (c && c->qp->qp_num != number)
		c = c->next_of_number;
	return c;
}

static void enter(struct zs_rdma_connection *c)
{
	struct zs_rdma_connection **chain = chain_of(c->rdma, c->qp->qp_num);

	c->next_of_number = *chain;
	*chain = c;
}

static void leave(struct zs_rdma_connection *c)
{
	struct zs_rdma_connection **link = chain_of(c->rdma, c->qp->qp_num);

	while (*link != c)
		link = &(*link)->next_of_number;
	*link = c->next_of_number;
}

/* ---- life ---- */

int zs_rdma_queue_pair_make(struct zs_rdma_connection *c)
{
	struct ibv_qp_init_attr attributes = {
		.qp_context = c,
		.send_cq = c->rdma->device.cq,
		.recv_cq = c->rdma->device.cq,
		.srq = c->rdma->device.srq,
		.cap = { .max_send_wr = c->rdma->requests_max, .max_send_sge = 1, .max_inline_data = INLINE_WANTED },
		.qp_type = IBV_QPT_RC,
	};

	/* What a queue pair left in the completion queue must be gone before its number may be given out again. */
	zs_rdma_take_completions(c->rdma, zs_rdma_completions(c->rdma));
	c->qp = zs_verbs.ibv_create_qp(c->rdma->device.pd, &attributes);
	if (!c->qp) {
		attributes.cap.max_inline_data = 0;
		c->qp = zs_verbs.ibv_create_qp(c->rdma->device.pd, &attributes);
	}
	if (!c->qp)
		return errno;
	c->inline_max = attributes.cap.max_inline_data;
	enter(c);
	return 0;
}

void zs_rdma_queue_pair_destroy(struct zs_rdma_connection *c)
{
	if (!c->qp)
		return;
	leave(c);
	/* In this order: a queue pair with a bound window takes long to go. */
	if (c->window)
		ibv_dealloc_mw(c->window);
	c->window = NULL;
	zs_verbs.ibv_destroy_qp(c->qp);
	c->qp = NULL;
}

/* By the connection manager's values, but for the peer's rights and the depth of READs. */
static int move_to(struct zs_rdma_connection *c, enum ibv_qp_state state)
{
	struct ibv_qp_attr attributes = { .qp_state = state };
	int mask;

	if (zs_verbs.rdma_init_qp_attr(c->id, &attributes, &mask))
		return errno;
	attributes.qp_access_flags = 0;
	attributes.min_rnr_timer = RECEIVER_NOT_READY_TIMER;
	if (mask & IBV_QP_MAX_DEST_RD_ATOMIC)
		attributes.max_dest_rd_atomic = c->accepted ? (uint8_t)c->depth : 0;
	if (mask & IBV_QP_MAX_QP_RD_ATOMIC)
		attributes.max_rd_atomic = c->accepted ? 0 : (uint8_t)c->depth;
	return zs_verbs.ibv_modify_qp(c->qp, &attributes, mask);
}

int zs_rdma_queue_pair_start(struct zs_rdma_connection *c)
{
	static const enum ibv_qp_state states[] = { IBV_QPS_INIT, IBV_QPS_RTR, IBV_QPS_RTS };

	for (unsigned i = 0; i < 3; i++) {
		int error = move_to(c, states[i]);

		if (error)
			return error;
	}
	return 0;
}

/* ---- rights ---- */

/* Binds a window to the queue pair. Requests are worked on in order: what is sent after it finds it bound. */
static int bind_window(struct zs_rdma_connection *c)
{
	struct ibv_mr *arena = c->rdma->arena;
	struct ibv_send_wr request = { .opcode = IBV_WR_BIND_MW, .send_flags = IBV_SEND_SIGNALED };
	struct ibv_send_wr *bad;

	c->window = ibv_alloc_mw(c->rdma->device.pd, IBV_MW_TYPE_2);
	if (!c->window)
		return ZS_ESYS;
	c->target.rkey = ibv_inc_rkey(c->window->rkey);
	request.wr_id = zs_rdma_request_begin(c, (struct zs_rdma_request){ .kind = ZS_RDMA_BIND },
					      zs_clock_ns(c->rdma->options.clock));
	request.bind_mw.mw = c->window;
	request.bind_mw.rkey = c->target.rkey;
	request.bind_mw.bind_info = (struct ibv_mw_bind_info){ arena, (uintptr_t)c->rdma->offer.arena,
							       c->rdma->offer.arena_size, IBV_ACCESS_REMOTE_READ };
	if (ibv_post_send(c->qp, &request, &bad))
		zs_rdma_request_failed(c);
	return ZS_OK;
}

int zs_rdma_grant(struct zs_rdma_connection *c, struct zs_rdma_target *target)
{
	struct ibv_qp_attr attributes = { .qp_state = IBV_QPS_RTS, .qp_access_flags = IBV_ACCESS_REMOTE_READ };
	int error = ZS_OK;

	if (c->state != ZS_RDMA_READY || !c->rdma->arena)
		return ZS_EPROTO;
	if (!c->target.size) {
		if (zs_verbs.ibv_modify_qp(c->qp, &attributes, IBV_QP_STATE | IBV_QP_ACCESS_FLAGS))
			return ZS_ESYS;
		c->target.rkey = c->rdma->arena->rkey;
		if (c->rdma->device.has_windows)
			error = bind_window(c);
		if (error)
			return error;
		c->target.address = (uintptr_t)c->rdma->offer.arena;
		c->target.size = c->rdma->offer.arena_size;
	}
	*target = c->target;
	return ZS_OK;
}
