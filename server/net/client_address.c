/* The addresses of a connection's two ends, for people. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "common/rdma.h"
#include "server/net/client.h"
#include "server/node/node.h"

static void print_address(const struct sockaddr_storage *address, char *text, size_t size)
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (address->ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		snprintf(text, size, "[%s]:%u", host, ntohs(v6->sin6_port));
	} else {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;

		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		snprintf(text, size, "%s:%u", host, ntohs(v4->sin_port));
	}
}

static void print_end(const struct zs_client *c, int (*get)(int, struct sockaddr *, socklen_t *),
		      void (*get_rdma)(const struct zs_rdma_connection *, struct sockaddr_in *), char *text,
		      size_t size)
{
	struct sockaddr_storage address = { 0 };
	socklen_t length = sizeof(address);

	if (c->rdma)
		get_rdma(c->rdma, (struct sockaddr_in *)&address);
	if (c->transport == ZS_TRANSPORT_UNIX)
		snprintf(text, size, "%s:0", c->worker->node->listeners.unix_path);
	else if (!c->rdma && get(c->connection.fd, (struct sockaddr *)&address, &length))
		snprintf(text, size, "?:0");
	else
		print_address(&address, text, size);
}

void zs_client_peer(const struct zs_client *c, char *text, size_t size)
{
	print_end(c, getpeername, zs_rdma_connection_peer, text, size);
}

void zs_client_local(const struct zs_client *c, char *text, size_t size)
{
	print_end(c, getsockname, zs_rdma_connection_local, text, size);
}
