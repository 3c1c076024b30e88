#include "test/rig/rdma_plain.h"

#include <stdio.h>
#include <string.h>

#include "common/rdma_reader.h"
#include "test/rig/rdma_session.h"

static void plain_opened(void *context, struct zs_rdma_connection *connection)
{
	((struct plain *)context)->over = zs_rdma_connection_is_ready(connection);
}

static void plain_ended(void *context, struct zs_rdma_connection *connection, const char *why)
{
	struct plain *plain = context;

	snprintf(plain->why, sizeof(plain->why), "%s", why);
	plain->connection = NULL;
	plain->over = true;
	zs_rdma_close(connection);
}

static void plain_received(void *context, struct zs_rdma_connection *connection, const uint8_t *data, size_t size)
{
	struct plain *plain = context;
	struct zs_rdma_session answer;

	if (size == sizeof(answer)) {
		memcpy(&answer, data, size);
		plain->over = !zs_rdma_aim(connection, &answer.target);
	}
}

static void plain_writable(void *context, struct zs_rdma_connection *connection)
{
	(void)context;
	(void)connection;
}

static void plain_done(void *context, void *read, bool ok)
{
	(void)read;
	(void)ok;
	((struct plain *)context)->over = true;
}

static void await(const struct plain *plain)
{
	while (!plain->over)
		zs_rdma_pump(plain->rdma);
}

int plain_open(struct plain *plain, const struct sockaddr_in *address)
{
	struct zs_rdma_handler handler = {
		plain_opened, plain_ended, plain_received, plain_writable, plain_done, plain
	};

	if (zs_rdma_connect(plain->rdma, address, &handler, &plain->connection, plain->why, sizeof(plain->why)))
		return -1;
	await(plain);
	if (!plain->connection || !zs_rdma_connection_depth(plain->connection))
		return -1;
	return zs_rdma_memory_add(plain->rdma, plain->bytes, sizeof(plain->bytes), &plain->memory) ? -1 : 0;
}

int plain_ask(struct plain *plain)
{
	static const char request = GRANT;

	plain->over = false;
	if (zs_rdma_send(plain->connection, &request, 1) != 1)
		return -1;
	await(plain);
	return plain->connection ? 0 : -1;
}

uint64_t plain_read(struct plain *plain)
{
	struct zs_fetch fetch = { ZS_FRAME_SIZE, OBJECT_SIZE, plain->bytes };
	const struct zs_clock *clock = zs_rdma_clock(plain->rdma);
	uint64_t began_ns = zs_clock_ns(clock);

	plain->over = false;
	if (zs_rdma_read(plain->connection, plain->memory, &fetch, 1, plain, began_ns))
		return 0;
	await(plain);
	return plain->connection ? zs_clock_ns(clock) - began_ns : 0;
}
