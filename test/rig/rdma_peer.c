#include "test/rig/rdma_peer.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"

#define PATIENCE_NS UINT64_C(5000000000)

static uint64_t now_ns(void)
{
	return zs_clock_ns(zs_clock_system());
}

static void on_opened(void *context, struct zs_rdma_connection *connection)
{
	((struct peer *)context)->opened = zs_rdma_connection_is_ready(connection);
}

static void on_ended(void *context, struct zs_rdma_connection *connection, const char *why)
{
	struct peer *peer = context;

	snprintf(peer->why, sizeof(peer->why), "%s", why);
	peer->connection = NULL;
	zs_rdma_close(connection);
}

static void on_received(void *context, struct zs_rdma_connection *connection, const uint8_t *data, size_t size)
{
	struct peer *peer = context;
	size_t room = sizeof(peer->text) - 1 - peer->used;

	(void)connection;
	size = size < room ? size : room;
	memcpy(peer->text + peer->used, data, size);
	peer->used += size;
	peer->text[peer->used] = 0;
}

static void on_writable(void *context, struct zs_rdma_connection *connection)
{
	(void)context;
	(void)connection;
}

static void on_done(void *context, void *read, bool ok)
{
	struct peer *peer = context;

	(void)read;
	peer->read_over = true;
	peer->read_ok = ok;
}

/* Sleeps until something happens: who spins on the node's own machine keeps it from running. */
static void turn(struct peer *peer)
{
	struct pollfd poll_fd = { .fd = zs_rdma_fd(peer->rdma), .events = POLLIN };

	if (zs_rdma_arm(peer->rdma))
		poll(&poll_fd, 1, 10);
	zs_rdma_pump(peer->rdma);
}

int peer_open(struct peer *peer, struct zs_rdma *rdma, const struct sockaddr_in *address)
{
	struct zs_rdma_handler handler = { on_opened, on_ended, on_received, on_writable, on_done, peer };

	*peer = (struct peer){ .rdma = rdma };
	if (zs_rdma_connect(rdma, address, &handler, &peer->connection, peer->why, sizeof(peer->why)))
		return -1;
	while (peer->connection && !peer->opened)
		turn(peer);
	return peer->connection ? 0 : -1;
}

void peer_close(struct peer *peer)
{
	if (peer->connection)
		zs_rdma_close(peer->connection);
	peer->connection = NULL;
}

size_t peer_send(struct peer *peer, const void *data, size_t size)
{
	return peer->connection ? zs_rdma_send(peer->connection, data, size) : 0;
}

static unsigned lines_of(const struct peer *peer)
{
	unsigned lines = 0;

	for (size_t i = 0; i < peer->used; i++)
		lines += peer->text[i] == '\n';
	return lines;
}

int peer_ask(struct peer *peer, const char *command, unsigned lines)
{
	uint64_t until = now_ns() + PATIENCE_NS;

	peer->used = 0;
	peer->text[0] = 0;
	if (peer_send(peer, command, strlen(command)) != strlen(command) || peer_send(peer, "\r\n", 2) != 2)
		return -1;
	/* An error is one line, whatever was expected. */
	while (peer->connection && now_ns() < until && lines_of(peer) < (peer->text[0] == '-' ? 1 : lines))
		turn(peer);
	return lines_of(peer) ? 0 : -1;
}

int peer_attach(struct peer *peer)
{
	unsigned long long size;
	unsigned long long address;
	unsigned rkey;

	if (peer_ask(peer, "ZS.ATTACH 1", 11) ||
	    sscanf(peer->text, "*8\r\n:1\r\n$16\r\n%*16x\r\n:%llu\r\n$16\r\n%16llx\r\n:%u", &size, &address, &rkey) !=
		3)
		return -1;
	peer->target = (struct zs_rdma_target){ address, size, rkey };
	return zs_rdma_aim(peer->connection, &peer->target) ? -1 : 0;
}

int peer_read(struct peer *peer, const struct zs_rdma_memory *memory, void *bytes, uint32_t size)
{
	struct zs_fetch fetch = { 0, size, bytes };

	peer->read_over = false;
	if (!peer->connection || zs_rdma_read(peer->connection, memory, &fetch, 1, peer, now_ns()))
		return -1;
	while (!peer->read_over)
		turn(peer);
	return peer->read_ok ? 0 : -1;
}

int peer_await_end(struct peer *peer, unsigned seconds)
{
	uint64_t until = now_ns() + seconds * UINT64_C(1000000000);

	while (peer->connection && now_ns() < until)
		turn(peer);
	return peer->connection ? -1 : 0;
}
