/*
 * Peers over RDMA that may do anything: what they say when connecting, and their messages in any order beside ours,
 * over an adapter that is none (test/fake/rdma_device.h). Windows and buffers must stay right, and nothing may be
 * touched that does not belong to the peer's connection.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "common/rdma_message.h"
#include "test/fake/rdma_device.h"

enum { WINDOW = 4, RECEIVES = 6, SENDS = 2 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t size;
};

static struct fake_device device;
static uint8_t landing[4096];

static unsigned next(struct input *in)
{
	if (!in->size)
		return 0;
	in->size--;
	return *in->data++;
}

static void require(bool holds)
{
	if (!holds)
		abort();
}

/* ---- what is said when connecting ---- */

static void check_greetings(const uint8_t *data, size_t size)
{
	struct zs_rdma_hello hello = { 0 };
	struct zs_rdma_refusal refusal;
	char why[256] = "";

	for (int kind = ZS_RDMA_HELLO; kind <= ZS_RDMA_WELCOME; kind++) {
		if (!zs_rdma_hello_check(&hello, (enum zs_rdma_greeting)kind, data, size, why, sizeof(why)))
			require(hello.window >= ZS_RDMA_WINDOW_MIN && hello.window <= ZS_RDMA_WINDOW_MAX);
		else
			require(why[0]);
	}
	if (!zs_rdma_refusal_check(&refusal, data, size, why, sizeof(why)))
		require(strcmp(zs_rdma_refused_text((enum zs_rdma_refused)refusal.reason), "?") != 0);
}

/* ---- the connection's owner ---- */

static void on_ended(void *context, struct zs_rdma_connection *connection, const char *why)
{
	(void)context;
	require(why[0]);
	require(!zs_rdma_connection_is_ready(connection));
}

static void on_received(void *context, struct zs_rdma_connection *connection, const uint8_t *bytes, size_t size)
{
	volatile uint8_t sum = 0;

	(void)context;
	require(size > 0 && size <= ZS_RDMA_MESSAGE_SIZE);
	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + bytes[i]);
	/* Some answer, some pause, some have enough. */
	if (bytes[0] < 64)
		zs_rdma_send(connection, bytes, size);
	else if (bytes[0] < 96)
		zs_rdma_pause(connection);
	else if (bytes[0] == 255)
		zs_rdma_close(connection);
}

static void on_writable(void *context, struct zs_rdma_connection *connection)
{
	(void)context;
	zs_rdma_send(connection, "more", 4);
}

static void on_done(void *context, void *read, bool ok)
{
	(void)context;
	(void)ok;
	require(read == landing);
}

/* ---- steps ---- */

static void arrive(struct input *in)
{
	static uint8_t bytes[ZS_RDMA_MESSAGE_SIZE];
	unsigned flags = next(in);
	uint32_t size = flags & 2 ? ZS_RDMA_MESSAGE_SIZE : next(in);
	uint32_t credit = flags & 4 ? next(in) << 24 : next(in) % 8;

	memset(bytes, (int)next(in), sizeof(bytes));
	(void)fake_arrive(&device, flags & 1, bytes, size, credit, !(flags & 8));
}

static void send_some(struct zs_rdma_connection *c, struct input *in)
{
	static const uint8_t bytes[3 * ZS_RDMA_MESSAGE_SIZE];
	size_t size = next(in) * 50u;

	c->inline_max = next(in) % 2 ? 64 : 0;
	require(zs_rdma_send(c, bytes, size) <= size);
}

static void read_some(struct zs_rdma_connection *c, struct input *in)
{
	struct zs_rdma_memory memory = { device.rdma, &(struct ibv_mr){ .addr = landing, .length = sizeof(landing) } };
	struct zs_rdma_target target = { (uint64_t)next(in) << 52, (uint64_t)next(in) << 54 | next(in), next(in) };
	struct zs_fetch fetch = { (uint64_t)next(in) << (next(in) % 64), next(in) * 17, landing + next(in) };

	if (zs_rdma_aim(c, &target))
		return;
	if (!zs_rdma_read(c, &memory, &fetch, 1, landing, zs_clock_ns(zs_clock_system())))
		require(fetch.address + fetch.length <= target.size);
}

static void complete(struct input *in)
{
	const struct fake_request *request = fake_take(&device);

	if (request)
		fake_complete(&device, request, next(in) % 16 ? IBV_WC_SUCCESS : IBV_WC_RETRY_EXC_ERR);
}

static void step(struct input *in)
{
	unsigned what = next(in);
	struct zs_rdma_connection *c = device.connections[what / 8 % FAKE_PEERS];

	switch (what % 8) {
	case 0:
	case 1:
		arrive(in);
		break;
	case 2:
		send_some(c, in);
		break;
	case 3:
		complete(in);
		break;
	case 4:
		zs_rdma_pause(c);
		break;
	case 5:
		zs_rdma_resume(c);
		break;
	case 6:
		read_some(c, in);
		break;
	default:
		zs_rdma_take_completions(device.rdma, 64);
		break;
	}
}

static void check_state(void)
{
	unsigned free_buffers = 0;
	unsigned under_way = 0;

	for (const struct zs_rdma_buffer *b = device.rdma->free_buffers; b; b = b->next)
		free_buffers++;
	for (unsigned i = 0; i < FAKE_PEERS; i++) {
		const struct zs_rdma_connection *c = device.connections[i];

		require(c->taken <= WINDOW && c->may_send <= c->peer_window);
		for (uint32_t r = c->first; r != c->next; r++)
			under_way += c->requests[r % device.rdma->requests_max].buffer != NULL;
	}
	require(free_buffers + under_way == SENDS);
	require(device.receive_count + (device.completed_next - device.completed_first) >= RECEIVES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zs_rdma_handler handler = {
		.ended = on_ended, .received = on_received, .writable = on_writable, .done = on_done
	};
	struct input in = { data, size };
	struct zs_rdma_options options;

	check_greetings(data, size);
	zs_rdma_options_init(&options);
	options.connections = FAKE_PEERS;
	options.reads = 2;
	options.window = WINDOW;
	options.receives = RECEIVES;
	options.sends = SENDS;
	if (!fake_open(&device, &options, &handler, 2 + next(&in) % 4))
		return 0;
	while (in.size) {
		step(&in);
		check_state();
	}
	fake_close(&device);
	return 0;
}
