#include "server/net/rdma.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "common/log.h"
#include "common/rdma.h"
#include "server/net/client.h"
#include "server/node/node.h"

/*
 * Messages that follow each other this closely are those of somebody who waits for each answer. For him we look again
 * for a while before we sleep, because waking up takes longer than all else.
 */
#define BRISK_NS 200000u
#define LOOK_NS 100000u

/* Sockets and upkeep are not kept waiting for longer. */
#define LOOK_AT_A_TIME_NS 20000u

/* Buffers for so many messages at a time, of all connections: 4 KB each. Fewer where there are few connections. */
#define RECEIVES_MIN 64u
#define RECEIVES_MAX 1024u
#define SENDS_MIN 32u
#define SENDS_MAX 512u

static uint64_t now_ns(void)
{
	return zs_clock_ns(zs_clock_system());
}

/* ---- carrying a client's bytes ---- */

static void carrier_pause(struct zs_loop *loop, struct zs_connection *connection)
{
	(void)loop;
	zs_rdma_pause(((struct zs_client *)connection)->rdma);
}

static void carrier_resume(struct zs_loop *loop, struct zs_connection *connection)
{
	(void)loop;
	zs_rdma_resume(((struct zs_client *)connection)->rdma);
}

static void send_more(struct zs_client *c)
{
	struct zs_connection *connection = &c->connection;
	size_t sent = zs_rdma_send(c->rdma, connection->send_data, connection->send_size);

	connection->send_data += sent;
	connection->send_size -= sent;
	if (!connection->send_size)
		zs_client_handler.sent(c->worker, connection, 0);
}

static void carrier_send(struct zs_loop *loop, struct zs_connection *connection, const uint8_t *data, size_t size)
{
	(void)loop;
	connection->send_data = data;
	connection->send_size = size;
	send_more((struct zs_client *)connection);
}

static void carrier_close(struct zs_loop *loop, struct zs_connection *connection)
{
	struct zs_client *c = (struct zs_client *)connection;

	connection->send_size = 0;
	zs_rdma_close(c->rdma);
	c->rdma = NULL;
	zs_loop_defer_release(loop, connection);
}

static const struct zs_carrier carrier = { carrier_pause, carrier_resume, carrier_send, carrier_close };

/* ---- what the endpoint tells; of the worker that has it ---- */

static void on_opened(void *context, struct zs_rdma_connection *connection)
{
	struct zs_node *node = context;
	struct zs_client *c = zs_client_adopt(&node->workers[0], connection, &carrier);

	if (c)
		zs_rdma_connection_set_context(connection, c);
	else
		zs_rdma_close(connection);
}

static void on_ended(void *context, struct zs_rdma_connection *connection, const char *why)
{
	struct zs_client *c = context;

	(void)connection;
	zs_log(ZS_LOG_DEBUG, "an RDMA connection ended", zs_log_number("id", (int64_t)c->id), zs_log_text("why", why));
	c->connection.ended = true;
	zs_client_handler.ended(c->worker, &c->connection, ECONNRESET);
}

static void on_received(void *context, struct zs_rdma_connection *connection, const uint8_t *data, size_t size)
{
	struct zs_client *c = context;
	struct zs_rdma_service *service = &c->worker->node->rdma;
	uint64_t now = now_ns();

	(void)connection;
	service->brisk = now - service->heard_ns < BRISK_NS;
	service->heard_ns = now;
	zs_client_handler.received(c->worker, &c->connection, data, size);
}

static void on_writable(void *context, struct zs_rdma_connection *connection)
{
	struct zs_client *c = context;

	(void)connection;
	if (c->connection.send_size)
		send_more(c);
}

/* This end reads nothing. */
static void on_done(void *context, void *read, bool ok)
{
	(void)context;
	(void)read;
	(void)ok;
}

/* ---- turns of the worker ---- */

int zs_rdma_service_attach(struct zs_worker *worker)
{
	struct zs_rdma *endpoint = worker->node->rdma.endpoint;

	if (!endpoint || worker->index != 0)
		return ZS_OK;
	worker->rdma = endpoint;
	return zs_loop_watch(worker->loop, zs_rdma_fd(endpoint));
}

static void publish(struct zs_rdma_service *service)
{
	atomic_store_explicit(&service->connections, zs_rdma_connections(service->endpoint), memory_order_relaxed);
	atomic_store_explicit(&service->pinned, zs_rdma_pinned(service->endpoint), memory_order_relaxed);
	atomic_store_explicit(&service->refused, zs_rdma_refused(service->endpoint), memory_order_relaxed);
}

/* True if it was worth it. */
static bool look(struct zs_worker *worker, uint64_t now)
{
	uint64_t until = now + LOOK_AT_A_TIME_NS;

	while (now < until) {
		if (zs_rdma_pump(worker->rdma))
			return true;
		now = now_ns();
	}
	return false;
}

unsigned zs_rdma_service_before_wait(struct zs_worker *worker, unsigned timeout_ms)
{
	struct zs_rdma_service *service = &worker->node->rdma;
	uint64_t now;

	if (!worker->rdma || !timeout_ms)
		return timeout_ms;
	now = now_ns();
	if (service->brisk && now - service->heard_ns < LOOK_NS) {
		look(worker, now);
		return 0;
	}
	if (!zs_rdma_arm(worker->rdma))
		return 0;
	publish(service);
	return timeout_ms;
}

unsigned zs_rdma_service_pump(struct zs_worker *worker)
{
	return worker->rdma ? zs_rdma_pump(worker->rdma) : 0;
}

/* ---- opening ---- */

/* The first address of 'bind' by which RDMA is possible. False: there is none. */
static bool choose_address(struct zs_node *node, struct sockaddr_in *address, char *text, size_t text_size)
{
	char list[ZS_OPTION_TEXT_MAX];
	char *rest = NULL;

	*address = (struct sockaddr_in){ .sin_family = AF_INET,
					 .sin_port = htons((uint16_t)zs_node_setting(node, ZS_SET_PORT)) };
	zs_options_text(&node->options, ZS_SET_BIND, list);
	for (const char *a = strtok_r(list, " \t", &rest); a; a = strtok_r(NULL, " \t", &rest)) {
		bool all = strcmp(a, "*") == 0;

		if (!all && (inet_pton(AF_INET, a, &address->sin_addr) != 1 ||
			     ntohl(address->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET))
			continue;
		if (all)
			address->sin_addr.s_addr = htonl(INADDR_ANY);
		snprintf(text, text_size, "%s:%u", a, ntohs(address->sin_port));
		return address->sin_port != 0;
	}
	return false;
}

static unsigned within(unsigned number, unsigned low, unsigned high)
{
	return number < low ? low : number > high ? high : number;
}

static int open_endpoint(struct zs_node *node, const struct sockaddr_in *address, char *why, size_t why_size)
{
	struct zs_rdma_service *service = &node->rdma;
	struct zs_rdma_offer offer = { .handler = { on_opened, on_ended, on_received, on_writable, on_done, node } };
	struct zs_rdma_options options;
	struct zs_share share;
	int result = zs_engine_share(node->engine, &share);

	if (result) {
		snprintf(why, why_size, "this kernel cannot seal memory (F_SEAL_FUTURE_WRITE, Linux 5.1)");
		return result;
	}
	offer.arena = share.base;
	offer.arena_size = share.size;
	zs_rdma_options_init(&options);
	options.connections = (unsigned)zs_node_setting(node, ZS_SET_RDMA_CONNECTIONS);
	options.reads = 1;
	options.receives = within(2 * options.connections, RECEIVES_MIN, RECEIVES_MAX);
	options.sends = within(options.connections, SENDS_MIN, SENDS_MAX);
	result = zs_rdma_open(&service->endpoint, &options, why, why_size);
	if (!result)
		result = zs_rdma_listen(service->endpoint, address, &offer, why, why_size);
	if (result)
		zs_rdma_service_close(node);
	return result;
}

int zs_rdma_service_open(struct zs_node *node, char *why, size_t why_size)
{
	enum zs_rdma_setting wanted = (enum zs_rdma_setting)zs_node_setting(node, ZS_SET_RDMA);
	struct zs_rdma_service *service = &node->rdma;
	struct sockaddr_in address;
	char reason[ZS_OPTION_WHY_MAX / 2];
	int result;

	if (wanted == ZS_RDMA_NO)
		return ZS_OK;
	if (!zs_node_setting(node, ZS_SET_QUARANTINE)) {
		snprintf(reason, sizeof(reason), "'quarantine' is 0, and readers outside of the process need one");
		result = ZS_ECONFIG;
	} else if (!choose_address(node, &address, service->address, sizeof(service->address))) {
		snprintf(reason, sizeof(reason), "'bind' has no IPv4 address that other hosts can reach");
		result = ZS_ECONFIG;
	} else {
		result = open_endpoint(node, &address, reason, sizeof(reason));
	}
	if (!result) {
		zs_log(ZS_LOG_INFO, "listening by RDMA", zs_log_text("address", service->address),
		       zs_log_text("device", zs_rdma_device_name(service->endpoint)),
		       zs_log_text("windows", zs_rdma_has_windows(service->endpoint) ? "yes" : "no"));
		return ZS_OK;
	}
	if (wanted == ZS_RDMA_YES) {
		snprintf(why, why_size, "'rdma = yes' is not possible: %s", reason);
		return result;
	}
	zs_log(result == ZS_ECONFIG ? ZS_LOG_DEBUG : ZS_LOG_INFO, "no RDMA", zs_log_text("why", reason));
	return ZS_OK;
}

void zs_rdma_service_close(struct zs_node *node)
{
	zs_rdma_free(node->rdma.endpoint);
	node->rdma.endpoint = NULL;
}
