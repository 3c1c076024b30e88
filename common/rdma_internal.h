/* What the parts of an endpoint share; for rdma*.c only. */
#ifndef ZS_COMMON_RDMA_INTERNAL_H
#define ZS_COMMON_RDMA_INTERNAL_H

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include "common/rdma.h"

enum zs_rdma_state {
	ZS_RDMA_RESOLVING,
	ZS_RDMA_CONNECTING,
	ZS_RDMA_ACCEPTING,
	ZS_RDMA_READY,
	ZS_RDMA_BROKEN,
};

/* The READs of one zs_rdma_read. They end in the order in which they were posted. */
struct zs_rdma_batch {
	void *read;
	unsigned count;
	uint64_t deadline_ns;
};

struct zs_rdma_connection {
	struct zs_rdma *rdma;
	unsigned index; /* of its slot */
	enum zs_rdma_state state;
	bool introduced; /* the owner knows of it */
	bool closed;	 /* the owner has let go of it */
	struct rdma_cm_id *id;
	struct ibv_qp *qp;
	struct zs_rdma_handler handler;
	struct zs_rdma_hello hello;
	struct zs_rdma_welcome welcome;
	unsigned depth;
	uint64_t begun_ns;
	uint64_t deadline_ns; /* until it has to be ready */
	unsigned reads_free;
	uint32_t first; /* batches under way: [first, next), at their number modulo options.reads */
	uint32_t next;
	struct zs_rdma_batch batches[];
};

struct zs_rdma_memory {
	struct ibv_mr *mr;
};

/* The one device of an endpoint. All NULL before it is known. */
struct zs_rdma_device {
	struct ibv_context *verbs;
	struct ibv_pd *pd;
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	unsigned depth_in;  /* READs it answers at a time for one queue pair */
	unsigned depth_out; /* READs it has under way at a time for one queue pair */
	bool armed;	    /* the next completion makes the channel readable */
};

struct zs_rdma_slot {
	struct zs_rdma_connection *connection; /* NULL: free */
	uint16_t generation;		       /* of completions that belong to the present one */
};

struct zs_rdma {
	struct zs_rdma_options options;
	struct rdma_event_channel *events;
	int epoll;
	int timer;
	struct zs_rdma_device device;
	struct rdma_cm_id *listener;
	struct zs_rdma_offer offer;
	struct ibv_mr *arena;
	uint64_t refused;
	uint64_t looked_ns;	   /* when the descriptors were looked at last */
	uint64_t next_deadline_ns; /* none is over before */
	bool reaping;		   /* some connection is closed and not freed yet */
	struct zs_rdma_slot slots[];
};

/* ---- rdma_device.c ---- */

/* Takes a device into use, or sees that it is the one in use. ZS_OK, ZS_ESYS, ZS_ENOMEM or ZS_EINVAL, and `why`. */
int zs_rdma_device_use(struct zs_rdma *rdma, struct ibv_context *verbs, char *why, size_t why_size);
void zs_rdma_device_release(struct zs_rdma *rdma);

/* Registers the offer's arena, if that is still to be done. */
int zs_rdma_device_offer(struct zs_rdma *rdma, char *why, size_t why_size);

/* Descriptors are made so that pumping never blocks, and waking the endpoint. 0 or -1 (errno). */
int zs_rdma_watch(struct zs_rdma *rdma, int fd);

/* ---- rdma_connection.c ---- */

void zs_rdma_on_event(struct zs_rdma *rdma, const struct rdma_cm_event *event);

/* The end of a connection, unless it is broken already. */
__attribute__((format(printf, 2, 3))) void zs_rdma_break(struct zs_rdma_connection *connection, const char *format,
							 ...);

/* An event of the adapter about a connection's queue pair. */
void zs_rdma_on_async(struct zs_rdma_connection *connection, enum ibv_event_type type);

/* Lowers the endpoint's next deadline. */
void zs_rdma_expect_by(struct zs_rdma *rdma, uint64_t deadline_ns);

/* Frees what was closed. */
void zs_rdma_reap(struct zs_rdma *rdma);

/* ---- rdma_read.c ---- */

/* Takes what has completed; how many. */
unsigned zs_rdma_take_completions(struct zs_rdma *rdma);

/* Reports all reads of a connection without a queue pair as failed. */
void zs_rdma_fail_reads(struct zs_rdma_connection *connection);

#endif
