/*
 * Do the device's memory windows work? Capability bits have promised more than devices keep, so it is tried once, with
 * two queue pairs of our own that are connected with each other: a READ through a window must bring the bytes, and none
 * may once the window is gone.
 */
#include <arpa/inet.h>
#include <string.h>

#include "common/rdma_internal.h"

enum {
	PAGE = 4096,
	GIDS_MAX = 64,
	PATIENCE_NS = 500000000,
	PATTERN = 0x5a,
};

struct end {
	struct ibv_qp *qp;
	uint32_t number;
};

struct trial {
	const struct zs_rdma_device *device;
	struct ibv_cq *cq;
	struct ibv_mr *region; /* that the window is of */
	struct ibv_mr *landing;
	struct ibv_mw *window;
	struct end node;
	struct end client;
	uint8_t port;
	uint8_t gid_index;
	union ibv_gid gid;
	struct ibv_port_attr attributes;
	_Alignas(PAGE) uint8_t memory[PAGE];
	uint8_t copy[64];
};

/* RoCE: the entry with the address that we listen at. InfiniBand: the first one will do. */
static bool find_gid(struct trial *t, const struct rdma_cm_id *id)
{
	const struct sockaddr_in *local = (const struct sockaddr_in *)(const void *)&id->route.addr.src_addr;

	for (unsigned i = 0; i < GIDS_MAX; i++) {
		if (zs_verbs.ibv_query_gid(t->device->verbs, t->port, (int)i, &t->gid))
			return false;
		t->gid_index = (uint8_t)i;
		if (t->attributes.link_layer != IBV_LINK_LAYER_ETHERNET ||
		    (local->sin_family == AF_INET && !memcmp(&t->gid.raw[12], &local->sin_addr, 4)))
			return true;
	}
	return false;
}

static bool make_end(struct trial *t, struct end *end)
{
	struct ibv_qp_init_attr attributes = {
		.send_cq = t->cq,
		.recv_cq = t->cq,
		.cap = { .max_send_wr = 4, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1 },
		.qp_type = IBV_QPT_RC,
		.sq_sig_all = 1,
	};

	end->qp = zs_verbs.ibv_create_qp(t->device->pd, &attributes);
	if (end->qp)
		end->number = end->qp->qp_num;
	return end->qp != NULL;
}

static bool connect_end(const struct trial *t, const struct end *end, const struct end *other)
{
	struct ibv_qp_attr init = { .qp_state = IBV_QPS_INIT,
				    .port_num = t->port,
				    .qp_access_flags = IBV_ACCESS_REMOTE_READ };
	struct ibv_qp_attr receive = {
		.qp_state = IBV_QPS_RTR,
		.path_mtu = t->attributes.active_mtu,
		.dest_qp_num = other->number,
		.max_dest_rd_atomic = 1,
		.min_rnr_timer = 12,
		.ah_attr = { .is_global = 1,
			     .dlid = t->attributes.lid,
			     .port_num = t->port,
			     .grh = { .dgid = t->gid, .sgid_index = t->gid_index, .hop_limit = 1 } },
	};
	struct ibv_qp_attr send = {
		.qp_state = IBV_QPS_RTS, .timeout = 14, .retry_cnt = 3, .rnr_retry = 3, .max_rd_atomic = 1
	};

	return !zs_verbs.ibv_modify_qp(end->qp, &init,
				       IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS) &&
	       !zs_verbs.ibv_modify_qp(end->qp, &receive,
				       IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
					   IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER) &&
	       !zs_verbs.ibv_modify_qp(end->qp, &send,
				       IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
					   IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
}

/* The library's function is declared for the structure as it was once, of which today's is a longer one. */
static bool query_port(struct trial *t)
{
	return !zs_verbs.ibv_query_port(t->device->verbs, t->port,
					(struct _compat_ibv_port_attr *)(void *)&t->attributes);
}

static bool prepare(struct trial *t, const struct rdma_cm_id *id)
{
	const struct zs_rdma_device *device = t->device;

	t->port = id->port_num;
	if (!query_port(t) || !find_gid(t, id))
		return false;
	t->cq = zs_verbs.ibv_create_cq(device->verbs, 16, NULL, NULL, 0);
	t->region =
	    zs_verbs.ibv_reg_mr(device->pd, t->memory, sizeof(t->memory), IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND);
	t->landing = zs_verbs.ibv_reg_mr(device->pd, t->copy, sizeof(t->copy), IBV_ACCESS_LOCAL_WRITE);
	return t->cq && t->region && t->landing && make_end(t, &t->node) && make_end(t, &t->client) &&
	       connect_end(t, &t->node, &t->client) && connect_end(t, &t->client, &t->node);
}

/* Posts a request and waits for its end. */
static bool perform(struct trial *t, const struct end *end, struct ibv_send_wr *request)
{
	uint64_t until_ns = zs_clock_ns(zs_clock_system()) + PATIENCE_NS;
	struct ibv_send_wr *bad;
	struct ibv_wc completion;
	int count = 0;

	if (ibv_post_send(end->qp, request, &bad))
		return false;
	while (!count && zs_clock_ns(zs_clock_system()) < until_ns)
		count = ibv_poll_cq(t->cq, 1, &completion);
	return count == 1 && completion.status == IBV_WC_SUCCESS;
}

static bool read_through(struct trial *t, uint32_t rkey)
{
	struct ibv_sge place = { (uintptr_t)t->copy, sizeof(t->copy), t->landing->lkey };
	struct ibv_send_wr request = {
		.opcode = IBV_WR_RDMA_READ,
		.sg_list = &place,
		.num_sge = 1,
		.wr.rdma = { (uintptr_t)t->memory, rkey },
	};

	memset(t->copy, 0, sizeof(t->copy));
	return perform(t, &t->client, &request) && !memcmp(t->copy, t->memory, sizeof(t->copy));
}

static bool try_window(struct trial *t)
{
	struct ibv_send_wr bind = { .opcode = IBV_WR_BIND_MW };
	uint32_t rkey;

	t->window = ibv_alloc_mw(t->device->pd, IBV_MW_TYPE_2);
	if (!t->window)
		return false;
	rkey = ibv_inc_rkey(t->window->rkey);
	bind.bind_mw.mw = t->window;
	bind.bind_mw.rkey = rkey;
	bind.bind_mw.bind_info =
	    (struct ibv_mw_bind_info){ t->region, (uintptr_t)t->memory, sizeof(t->memory), IBV_ACCESS_REMOTE_READ };
	if (!perform(t, &t->node, &bind) || !read_through(t, rkey))
		return false;
	if (ibv_dealloc_mw(t->window))
		return false;
	t->window = NULL;
	return !read_through(t, rkey);
}

static void clean_up(struct trial *t)
{
	if (t->window)
		ibv_dealloc_mw(t->window);
	if (t->client.qp)
		zs_verbs.ibv_destroy_qp(t->client.qp);
	if (t->node.qp)
		zs_verbs.ibv_destroy_qp(t->node.qp);
	if (t->landing)
		zs_verbs.ibv_dereg_mr(t->landing);
	if (t->region)
		zs_verbs.ibv_dereg_mr(t->region);
	if (t->cq)
		zs_verbs.ibv_destroy_cq(t->cq);
}

bool zs_rdma_windows_work(const struct zs_rdma_device *device, const struct rdma_cm_id *id)
{
	struct trial t = { .device = device };
	bool work;

	memset(t.memory, PATTERN, sizeof(t.memory));
	work = prepare(&t, id) && try_window(&t);
	clean_up(&t);
	return work;
}
