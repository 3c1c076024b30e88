/* Peers that do not behave, made with librdmacm alone. Its calls block here, as an identifier without a channel does.
 */
#include <errno.h>
#include <rdma/rdma_cma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test/rig/rdma_truth.h"

enum {
	RESOLVE_MS = 2000,
	STATUS_REFUSED = 28,
	NO_QUEUE_PAIR = 0x123,
};

static uint64_t randomness = 0x57a4;

static void fill_randomly(uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)draw(&randomness, 256);
}

static int resolve(const struct truth *truth, struct rdma_event_channel *channel, struct rdma_cm_id **id)
{
	struct sockaddr_in address = truth->address;

	if (rdma_create_id(channel, id, NULL, RDMA_PS_TCP))
		return -1;
	return rdma_resolve_addr(*id, NULL, (struct sockaddr *)&address, RESOLVE_MS);
}

/* A request with this private data must be refused by the node's program. */
static int expect_refusal(const struct truth *truth, const void *data, size_t size, const char *what)
{
	struct rdma_conn_param request = {
		.private_data = data,
		.private_data_len = (uint8_t)size,
		.initiator_depth = 1,
		.retry_count = 3,
		.qp_num = NO_QUEUE_PAIR,
	};
	struct rdma_cm_id *id = NULL;
	int result = -1;

	if (resolve(truth, NULL, &id) || rdma_resolve_route(id, RESOLVE_MS))
		fprintf(stderr, "FAILED: a stranger cannot resolve the node: %s\n", strerror(errno));
	else if (!rdma_connect(id, &request))
		fprintf(stderr, "FAILED: the node accepted %zu bytes: %s\n", size, what);
	else if (!id->event || id->event->event != RDMA_CM_EVENT_REJECTED || id->event->status != STATUS_REFUSED)
		fprintf(stderr, "FAILED: the node did not refuse %zu bytes (%s), but: %s, status %d\n", size, what,
			id->event ? rdma_event_str(id->event->event) : "no event", id->event ? id->event->status : 0);
	else
		result = 0;
	if (id)
		rdma_destroy_id(id);
	return result;
}

/* One that counts: some windows are as good as others. */
static void flip_one_bit(uint8_t *hello)
{
	size_t byte;

	do {
		byte = draw(&randomness, sizeof(struct zs_rdma_hello));
	} while (byte == offsetof(struct zs_rdma_hello, window));
	hello[byte] ^= (uint8_t)(1u << draw(&randomness, 8));
}

int send_nonsense(const struct truth *truth, unsigned rounds)
{
	uint8_t bytes[ZS_RDMA_REQUEST_MAX];
	struct zs_rdma_hello hello;

	for (unsigned i = 0; i < rounds; i++) {
		size_t size = i <= sizeof(bytes) ? i : draw(&randomness, sizeof(bytes) + 1);

		fill_randomly(bytes, size);
		if (expect_refusal(truth, bytes, size, "random ones"))
			return -1;
		zs_rdma_hello_make(&hello, ZS_RDMA_HELLO, 8);
		/* What is missing arrives as zeros, so a window cut short may be one. */
		if (expect_refusal(truth, &hello, i % (offsetof(struct zs_rdma_hello, window) + 1),
				   "a hello cut short"))
			return -1;
		memcpy(bytes, &hello, sizeof(hello));
		flip_one_bit(bytes);
		if (expect_refusal(truth, bytes, sizeof(hello), "a hello with one bit changed"))
			return -1;
		memcpy(bytes, &hello, sizeof(hello));
		memset(bytes + sizeof(hello), 1 + (int)draw(&randomness, 255), sizeof(bytes) - sizeof(hello));
		if (expect_refusal(truth, bytes, sizeof(bytes), "a hello that goes on"))
			return -1;
	}
	return 0;
}

/* Waits for this event of the identifier; all others end it. */
static int await_event(struct rdma_event_channel *channel, enum rdma_cm_event_type wanted)
{
	struct rdma_cm_event *event;
	int result;

	if (rdma_get_cm_event(channel, &event))
		return -1;
	result = event->event == wanted ? 0 : -1;
	if (result)
		fprintf(stderr, "FAILED: a stranger got %s instead of %s\n", rdma_event_str(event->event),
			rdma_event_str(wanted));
	rdma_ack_cm_event(event);
	return result;
}

int send_hello_and_vanish(const struct truth *truth)
{
	struct zs_rdma_hello hello;
	struct rdma_conn_param request = {
		.private_data = &hello,
		.private_data_len = sizeof(hello),
		.initiator_depth = 1,
		.retry_count = 3,
		.qp_num = NO_QUEUE_PAIR,
	};
	struct rdma_event_channel *channel = rdma_create_event_channel();
	struct rdma_cm_id *id = NULL;
	int result = -1;

	if (!channel)
		return -1;
	zs_rdma_hello_make(&hello, ZS_RDMA_HELLO, 8);
	if (!resolve(truth, channel, &id) && !await_event(channel, RDMA_CM_EVENT_ADDR_RESOLVED) &&
	    !rdma_resolve_route(id, RESOLVE_MS) && !await_event(channel, RDMA_CM_EVENT_ROUTE_RESOLVED) &&
	    !rdma_connect(id, &request))
		result = await_event(channel, RDMA_CM_EVENT_CONNECT_RESPONSE);
	if (id)
		rdma_destroy_id(id);
	rdma_destroy_event_channel(channel);
	return result;
}

/* Whatever it says ends with the client going away. */
static void answer_with_nonsense(struct rdma_cm_id *id, unsigned round)
{
	uint8_t bytes[148];
	size_t size = draw(&randomness, sizeof(bytes) + 1);
	struct rdma_conn_param answer = { .private_data = bytes, .responder_resources = 1, .qp_num = NO_QUEUE_PAIR };

	fill_randomly(bytes, size);
	if (round % 4 == 3) {
		/* The right prefix, and the rest random. */
		struct zs_rdma_hello welcome;

		size = sizeof(welcome);
		zs_rdma_hello_make(&welcome, ZS_RDMA_WELCOME, (uint32_t)draw(&randomness, UINT32_MAX));
		memcpy(bytes, &welcome, size);
	}
	answer.private_data_len = (uint8_t)size;
	if (round % 2)
		rdma_accept(id, &answer);
	else
		rdma_reject(id, bytes, (uint8_t)size);
	rdma_destroy_id(id);
}

void run_impostor(const struct truth *truth)
{
	struct sockaddr_in address = truth->address;
	struct rdma_cm_id *listener;
	struct rdma_cm_id *id;

	address.sin_port = htons((uint16_t)(ntohs(address.sin_port) + 1));
	if (rdma_create_id(NULL, &listener, NULL, RDMA_PS_TCP) ||
	    rdma_bind_addr(listener, (struct sockaddr *)&address) || rdma_listen(listener, 8)) {
		fprintf(stderr, "FAILED: the impostor cannot listen: %s\n", strerror(errno));
		_exit(1);
	}
	for (unsigned round = 0; !rdma_get_request(listener, &id); round++)
		answer_with_nonsense(id, round);
	_exit(1);
}
