#include "client/conn_rdma.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "client/internal.h"
#include "common/error.h"

static struct zs_rdma_link *link_of(struct zs_link *link)
{
	return (struct zs_rdma_link *)(void *)link;
}

/* ---- what the endpoint tells ---- */

static void on_opened(void *context, struct zs_rdma_connection *connection)
{
	struct zs_rdma_link *l = context;

	(void)connection;
	zs_channel_connected(l->link.channel);
}

static void on_ended(void *context, struct zs_rdma_connection *connection, const char *why)
{
	struct zs_rdma_link *l = context;

	(void)connection;
	zs_channel_break(l->link.channel, ZSLAB_EUNREACHABLE, why);
}

static void on_received(void *context, struct zs_rdma_connection *connection, const uint8_t *data, size_t size)
{
	struct zs_rdma_link *l = context;
	uint8_t *to;

	(void)connection;
	if (!l->connection)
		return; /* closed, by what came before */
	to = zs_channel_room(l->link.channel, size);
	if (!to)
		return;
	memcpy(to, data, size);
	zs_channel_received(l->link.channel, size);
}

static void on_writable(void *context, struct zs_rdma_connection *connection)
{
	struct zs_rdma_link *l = context;

	(void)connection;
	zs_channel_flush(l->link.channel);
}

static void on_done(void *context, void *read, bool ok)
{
	struct zs_rdma_link *l = context;

	zs_rdma_reader_done(l->reader, read, ok);
}

/* ---- what the channel wants ---- */

static int start(struct zs_link *link, const struct zs_endpoint *endpoint, char *why, size_t why_size)
{
	struct zs_rdma_link *l = link_of(link);
	struct zs_rdma_handler handler = { on_opened, on_ended, on_received, on_writable, on_done, l };
	struct sockaddr_in address;
	int status;

	if (endpoint->address.ss_family != AF_INET) {
		snprintf(why, why_size, "RDMA takes IPv4 addresses, and the node was reached by another one");
		return ZSLAB_ETRANSPORT;
	}
	status = zs_adapter_open(l->client, why, why_size);
	if (status)
		return status;
	memcpy(&address, &endpoint->address, sizeof(address));
	if (!zs_rdma_connect(l->client->adapter.rdma, &address, &handler, &l->connection, why, why_size))
		return ZSLAB_OK;
	l->connection = NULL;
	return ZSLAB_EUNREACHABLE;
}

static ssize_t send_bytes(struct zs_link *link, const void *data, size_t size)
{
	return (ssize_t)zs_rdma_send(link_of(link)->connection, data, size);
}

static void receive(struct zs_link *link)
{
	zs_adapter_pump(&link_of(link)->client->adapter);
}

static void stop(struct zs_link *link)
{
	struct zs_rdma_link *l = link_of(link);
	struct zs_rdma_connection *connection = l->connection;

	l->connection = NULL;
	if (l->reader)
		zs_rdma_reader_end(l->reader);
	if (connection)
		zs_rdma_close(connection);
}

void zs_rdma_link_init(struct zs_rdma_link *l, struct zs_channel *channel, struct zslab *client)
{
	static const struct zs_transport transport = { start, send_bytes, receive, stop };

	*l = (struct zs_rdma_link){ .link = { &transport, channel }, .client = client };
	channel->link = &l->link;
}
