/*
 * An RDMA adapter that is none: what is posted to it is kept for the test to look at, and what the test says has
 * completed is what the endpoint sees. For the parts of common/rdma*.c above the verbs.
 */
#ifndef ZS_TEST_FAKE_RDMA_DEVICE_H
#define ZS_TEST_FAKE_RDMA_DEVICE_H

#include "common/rdma_internal.h"

enum {
	FAKE_QUEUE = 64, /* more than two connections can have under way */
	FAKE_PEERS = 2,
};

/* A message, or another request, that an endpoint has posted. */
struct fake_request {
	uint64_t name;
	uint32_t number; /* of the queue pair */
	enum ibv_wr_opcode opcode;
	uint32_t credit;
	uint32_t size;
	uint8_t bytes[ZS_RDMA_MESSAGE_SIZE];
};

struct fake_device {
	struct ibv_context context;
	struct ibv_qp queue_pairs[FAKE_PEERS];
	struct ibv_srq srq;
	struct ibv_cq cq;
	struct ibv_mr mr;
	struct zs_rdma *rdma;
	struct zs_rdma_connection *connections[FAKE_PEERS];
	struct fake_request *posted; /* [posted_first, posted_next) */
	unsigned posted_first, posted_next;
	uint64_t receives[FAKE_QUEUE]; /* names of free receive buffers */
	unsigned receive_count;
	struct ibv_wc completions[FAKE_QUEUE]; /* [completed_first, completed_next) */
	unsigned completed_first, completed_next;
	bool refuses;  /* the next post fails */
	bool notifies; /* of the next completion, by the channel */
	struct ibv_comp_channel channel;
	struct rdma_event_channel events; /* of which none ever comes */
	unsigned destroyed;
};

/*
 * An endpoint with this device and two connections that are ready, whose peers have this window. One at a time for a
 * process. False: no memory.
 */
bool fake_open(struct fake_device *device, const struct zs_rdma_options *options, const struct zs_rdma_handler *handler,
	       unsigned peer_window);
void fake_close(struct fake_device *device);

/* Whether a wait for the endpoint would end. */
bool fake_is_awake(const struct fake_device *device);

/* The oldest request that was posted and not taken yet; NULL: none. Valid until the next post. */
const struct fake_request *fake_take(struct fake_device *device);

/* Completes a request. */
void fake_complete(struct fake_device *device, const struct fake_request *request, enum ibv_wc_status status);

/* The peer's message arrives, of at most ZS_RDMA_MESSAGE_SIZE bytes. False: no receive buffer is free. */
bool fake_arrive(struct fake_device *device, unsigned peer, const void *bytes, uint32_t size, uint32_t credit,
		 bool has_credit);

#endif
