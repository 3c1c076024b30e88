/* The one device, its memory regions and its windows. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "test/fake/soft/soft.h"

static struct ibv_device device = {
	.node_type = IBV_NODE_CA,
	.transport_type = IBV_TRANSPORT_IB,
	.name = "soft0",
};

static struct ibv_context context;
static bool is_open;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static struct ibv_mw *alloc_window(struct ibv_pd *pd, enum ibv_mw_type type);
static int free_window(struct ibv_mw *mw);

static void open_context(void)
{
	context.device = &device;
	context.num_comp_vectors = 1;
	context.cmd_fd = -1;
	context.ops.alloc_mw = alloc_window;
	context.ops.dealloc_mw = free_window;
	context.ops.poll_cq = soft_poll;
	context.ops.req_notify_cq = soft_notify;
	context.ops.post_srq_recv = soft_post_receive;
	context.ops.post_send = soft_post_send;
	pthread_mutex_init(&context.mutex, NULL);
	is_open = soft_self()->memory >= 0 && !soft_async_open(&context);
}

struct ibv_context *soft_context(void)
{
	pthread_once(&once, open_context);
	return is_open ? &context : NULL;
}

const char *ibv_get_device_name(struct ibv_device *of)
{
	return of->name;
}

int ibv_query_device(struct ibv_context *of, struct ibv_device_attr *attributes)
{
	int depth = (int)soft_get(soft_depth);

	(void)of;
	*attributes = (struct ibv_device_attr){
		.max_mr_size = UINT64_MAX,
		.max_qp = 4096,
		.max_qp_wr = 16384,
		.max_sge = 1,
		.max_cq = 4096,
		.max_cqe = 4 << 20,
		.max_mr = 4096,
		.max_pd = 4096,
		.max_qp_rd_atom = depth,
		.max_qp_init_rd_atom = depth,
		.max_srq = 4096,
		.max_srq_wr = 65536,
		.max_srq_sge = 1,
		.phys_port_cnt = 1,
	};
	return 0;
}

/* The library's function is declared for the structure as it was once, of which today's is a longer one. */
int ibv_query_port(struct ibv_context *of, uint8_t port, struct _compat_ibv_port_attr *attributes)
{
	struct ibv_port_attr *a = (struct ibv_port_attr *)(void *)attributes;

	(void)of;
	if (port != 1)
		return EINVAL;
	*a = (struct ibv_port_attr){
		.state = IBV_PORT_ACTIVE,
		.max_mtu = IBV_MTU_4096,
		.active_mtu = IBV_MTU_4096,
		.gid_tbl_len = 1,
		.lid = 1,
		.link_layer = IBV_LINK_LAYER_INFINIBAND,
	};
	return 0;
}

int ibv_query_gid(struct ibv_context *of, uint8_t port, int index, union ibv_gid *gid)
{
	(void)of;
	if (port != 1 || index) {
		errno = EINVAL;
		return -1;
	}
	soft_gid_of(NULL, gid);
	return 0;
}

struct ibv_pd *ibv_alloc_pd(struct ibv_context *of)
{
	struct ibv_pd *pd = calloc(1, sizeof(*pd));

	if (pd)
		pd->context = of;
	return pd;
}

int ibv_dealloc_pd(struct ibv_pd *pd)
{
	free(pd);
	return 0;
}

/* ---- memory regions ---- */

struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *address, size_t length, int rights)
{
	struct soft_region *region;
	uint32_t key;

	/* A rule of the verbs: what others write to must be writable for the adapter at all. */
	if (!length || (rights & IBV_ACCESS_REMOTE_WRITE && !(rights & IBV_ACCESS_LOCAL_WRITE))) {
		errno = EINVAL;
		return NULL;
	}
	region = calloc(1, sizeof(*region));
	key = region ? soft_key_new() : 0;
	if (!key) {
		free(region);
		errno = ENOMEM;
		return NULL;
	}
	region->mr = (struct ibv_mr){
		.context = pd->context, .pd = pd, .addr = address, .length = length, .lkey = key, .rkey = key
	};
	region->rights = (unsigned)rights;
	soft_key_set(key, (uintptr_t)address, length, region->rights, 0);
	return &region->mr;
}

int ibv_dereg_mr(struct ibv_mr *mr)
{
	struct soft_region *region = (struct soft_region *)mr;

	if (region->windows)
		return EBUSY;
	soft_key_free(mr->lkey);
	free(region);
	return 0;
}

/* ---- memory windows ---- */

static struct ibv_mw *alloc_window(struct ibv_pd *pd, enum ibv_mw_type type)
{
	struct soft_window *window;
	uint32_t key;

	if (!soft_get(soft_windows) || type != IBV_MW_TYPE_2) {
		errno = EOPNOTSUPP;
		return NULL;
	}
	window = calloc(1, sizeof(*window));
	key = window ? soft_key_new() : 0;
	if (!key) {
		free(window);
		errno = ENOMEM;
		return NULL;
	}
	window->mw = (struct ibv_mw){ .context = pd->context, .pd = pd, .rkey = key, .type = type };
	return &window->mw;
}

static int free_window(struct ibv_mw *mw)
{
	struct soft_window *window = (struct soft_window *)mw;

	soft_key_free(mw->rkey);
	if (window->region)
		window->region->windows--;
	free(window);
	return 0;
}

enum ibv_wc_status soft_window_bind(struct soft_window *window, uint32_t key, const struct ibv_mw_bind_info *info,
				    uint32_t number)
{
	struct soft_region *region = (struct soft_region *)info->mr;

	/* A new key differs from the old one in its last byte. */
	if (window->region || (key ^ window->mw.rkey) >> 8 || key == window->mw.rkey ||
	    !(region->rights & IBV_ACCESS_MW_BIND) || !soft_key_allows(region->mr.lkey, info->addr, info->length, 0))
		return IBV_WC_MW_BIND_ERR;
	window->mw.rkey = key;
	window->region = region;
	region->windows++;
	soft_key_set(key, info->addr, info->length, (unsigned)info->mw_access_flags, number);
	return IBV_WC_SUCCESS;
}

/* ---- names ---- */

const char *ibv_wc_status_str(enum ibv_wc_status status)
{
	switch (status) {
	case IBV_WC_SUCCESS:
		return "success";
	case IBV_WC_WR_FLUSH_ERR:
		return "flushed";
	case IBV_WC_REM_ACCESS_ERR:
		return "the peer refuses access";
	case IBV_WC_RETRY_EXC_ERR:
		return "the peer does not answer";
	default:
		return "local error";
	}
}

const char *ibv_event_type_str(enum ibv_event_type type)
{
	switch (type) {
	case IBV_EVENT_QP_FATAL:
		return "the queue pair failed";
	case IBV_EVENT_DEVICE_FATAL:
		return "the device failed";
	default:
		return "event";
	}
}
