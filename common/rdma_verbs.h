/*
 * libibverbs and librdmacm, loaded when they are first needed: programs that can use RDMA start, and work otherwise, on
 * machines without them. What those libraries define inline in their headers (posting, polling) is used as it is.
 */
#ifndef ZS_COMMON_RDMA_VERBS_H
#define ZS_COMMON_RDMA_VERBS_H

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

/* As macros these lead around the table. */
#undef ibv_reg_mr
#undef ibv_query_port

/* Each name is the function's and the field's. */
#define ZS_VERBS_IBV(X)             \
	X(ibv_ack_async_event)      \
	X(ibv_ack_cq_events)        \
	X(ibv_alloc_pd)             \
	X(ibv_create_comp_channel)  \
	X(ibv_create_cq)            \
	X(ibv_create_qp)            \
	X(ibv_create_srq)           \
	X(ibv_dealloc_pd)           \
	X(ibv_dereg_mr)             \
	X(ibv_destroy_comp_channel) \
	X(ibv_destroy_cq)           \
	X(ibv_destroy_qp)           \
	X(ibv_destroy_srq)          \
	X(ibv_event_type_str)       \
	X(ibv_get_async_event)      \
	X(ibv_get_cq_event)         \
	X(ibv_get_device_name)      \
	X(ibv_modify_qp)            \
	X(ibv_query_device)         \
	X(ibv_query_gid)            \
	X(ibv_query_port)           \
	X(ibv_reg_mr)               \
	X(ibv_wc_status_str)
#define ZS_VERBS_CM(X)                \
	X(rdma_accept)                \
	X(rdma_ack_cm_event)          \
	X(rdma_bind_addr)             \
	X(rdma_connect)               \
	X(rdma_create_event_channel)  \
	X(rdma_create_id)             \
	X(rdma_destroy_event_channel) \
	X(rdma_destroy_id)            \
	X(rdma_disconnect)            \
	X(rdma_establish)             \
	X(rdma_event_str)             \
	X(rdma_get_cm_event)          \
	X(rdma_init_qp_attr)          \
	X(rdma_listen)                \
	X(rdma_notify)                \
	X(rdma_reject)                \
	X(rdma_resolve_addr)          \
	X(rdma_resolve_route)         \
	X(rdma_set_option)

struct zs_verbs {
#define ZS_VERBS_FIELD(name) __typeof__(name) *(name);
	ZS_VERBS_IBV(ZS_VERBS_FIELD)
	ZS_VERBS_CM(ZS_VERBS_FIELD)
#undef ZS_VERBS_FIELD
};

/* The functions, once they are loaded; all of them are there then. */
extern struct zs_verbs zs_verbs;

/* Loads the libraries, once for the process. Any thread. ZS_OK, or ZS_ESYS and a sentence in `why`. */
int zs_verbs_load(char *why, size_t why_size);

#endif
