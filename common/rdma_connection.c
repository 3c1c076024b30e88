/* The life of a connection; the diagram is in rdma.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "common/layout.h"
#include "common/rdma_internal.h"

enum {
	BACKLOG = 128,
	WHY_MAX = 256,
	STATUS_REFUSED = 28, /* InfiniBand: rejected by the peer's program, whose private data says more */
	/* Waits of the connection manager itself; our own deadline is over before. */
	RESOLVE_MS = 600000,
	/* Without end: a peer has no buffer free while it is stopped, and how long we wait is the request's deadline.
	 */
	RECEIVER_RETRIES = 7,
};

/* ---- making and ending ---- */

static struct zs_rdma_connection *new_connection(struct zs_rdma *rdma)
{
	struct zs_rdma_connection *c;
	unsigned index = 0;

	while (index < rdma->options.connections && rdma->slots[index].connection)
		index++;
	if (index == rdma->options.connections)
		return NULL;
	c = calloc(1, sizeof(*c) + rdma->requests_max * sizeof(c->requests[0]));
	if (!c)
		return NULL;
	c->rdma = rdma;
	c->index = index;
	c->reads_free = rdma->options.reads;
	c->deadline_ns = zs_clock_ns(rdma->options.clock) + rdma->options.connect_timeout_ms * UINT64_C(1000000);
	zs_rdma_expect_by(rdma, c->deadline_ns);
	rdma->slots[index].generation++;
	rdma->slots[index].connection = c;
	rdma->connections++;
	return c;
}

/* After this no request of ours goes on and none of the peer's is answered. */
static void take_apart(struct zs_rdma_connection *c)
{
	zs_rdma_stream_end(c);
	if (c->id && (c->state == ZS_RDMA_READY || c->state == ZS_RDMA_BROKEN))
		zs_verbs.rdma_disconnect(c->id);
	zs_rdma_queue_pair_destroy(c);
	if (c->id)
		zs_verbs.rdma_destroy_id(c->id);
	c->id = NULL;
}

void zs_rdma_close(struct zs_rdma_connection *c)
{
	if (c->closed)
		return;
	c->closed = true;
	c->rdma->reaping = true;
	take_apart(c);
	c->state = ZS_RDMA_BROKEN;
	zs_rdma_fail_requests(c);
}

void zs_rdma_break(struct zs_rdma_connection *c, const char *format, ...)
{
	char why[WHY_MAX];
	va_list arguments;

	if (c->state == ZS_RDMA_BROKEN)
		return;
	if (!c->introduced) {
		zs_rdma_close(c);
		return;
	}
	va_start(arguments, format);
	vsnprintf(why, sizeof(why), format, arguments);
	va_end(arguments);
	take_apart(c);
	c->state = ZS_RDMA_BROKEN;
	zs_rdma_fail_requests(c);
	if (!c->closed)
		c->handler.ended(c->handler.context, c, why);
}

void zs_rdma_reap(struct zs_rdma *rdma)
{
	rdma->reaping = false;
	for (unsigned i = 0; i < rdma->options.connections; i++) {
		struct zs_rdma_connection *c = rdma->slots[i].connection;

		if (!c || !c->closed)
			continue;
		free(c);
		rdma->slots[i].connection = NULL;
		rdma->connections--;
	}
}

void zs_rdma_revoke(struct zs_rdma_connection *c)
{
	struct ibv_qp_attr attributes = { .qp_state = IBV_QPS_ERR };

	if (c->state == ZS_RDMA_BROKEN)
		return;
	if (!c->qp || zs_verbs.ibv_modify_qp(c->qp, &attributes, IBV_QP_STATE)) {
		take_apart(c);
		zs_rdma_fail_requests(c);
	}
	c->state = ZS_RDMA_BROKEN;
}

static void set_windows(struct zs_rdma_connection *c, const struct zs_rdma_hello *peer)
{
	c->peer_window = peer->window;
	c->may_send = peer->window;
}

static void copy_address(const struct sockaddr *from, struct sockaddr_in *to)
{
	*to = (struct sockaddr_in){ .sin_family = AF_INET };
	if (from->sa_family == AF_INET)
		memcpy(to, from, sizeof(*to));
}

void zs_rdma_become_ready(struct zs_rdma_connection *c)
{
	copy_address(&c->id->route.addr.src_addr, &c->local);
	copy_address(&c->id->route.addr.dst_addr, &c->peer);
	c->state = ZS_RDMA_READY;
	c->introduced = true;
	c->handler.opened(c->handler.context, c);
}

/* An adapter's own default differs from one to the other, up to minutes. */
static int set_patience(struct zs_rdma_connection *c)
{
	uint8_t timeout = (uint8_t)c->rdma->options.ack_timeout;

	return zs_verbs.rdma_set_option(c->id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT, &timeout, sizeof(timeout));
}

/* ---- the node's side ---- */

int zs_rdma_listen(struct zs_rdma *rdma, const struct sockaddr_in *address, const struct zs_rdma_offer *offer,
		   char *why, size_t why_size)
{
	struct sockaddr_in copy = *address;
	int error = ZS_ESYS;

	if (rdma->listener || !offer->arena_size || offer->arena_size % ZS_FRAME_SIZE) {
		snprintf(why, why_size, "an endpoint listens once, and offers whole frames");
		return ZS_EINVAL;
	}
	rdma->offer = *offer;
	if (zs_verbs.rdma_create_id(rdma->events, &rdma->listener, NULL, RDMA_PS_TCP)) {
		snprintf(why, why_size, "cannot listen by RDMA: %s", strerror(errno));
		return ZS_ESYS;
	}
	if (zs_verbs.rdma_bind_addr(rdma->listener, (struct sockaddr *)&copy)) {
		snprintf(why, why_size, "no RDMA device has this address, or the port is in use: %s", strerror(errno));
		goto failed;
	}
	/* Without an address of its own the listener belongs to no device: that is known with the first request. */
	if (rdma->listener->verbs) {
		error = zs_rdma_device_use(rdma, rdma->listener, why, why_size);
		if (!error)
			error = zs_rdma_device_offer(rdma, rdma->listener, why, why_size);
		if (error)
			goto failed;
		error = ZS_ESYS;
	}
	if (zs_verbs.rdma_listen(rdma->listener, BACKLOG)) {
		snprintf(why, why_size, "cannot listen by RDMA: %s", strerror(errno));
		goto failed;
	}
	return ZS_OK;
failed:
	zs_verbs.rdma_destroy_id(rdma->listener);
	rdma->listener = NULL;
	return error;
}

uint64_t zs_rdma_refused(const struct zs_rdma *rdma)
{
	return rdma->refused;
}

static void refuse(struct zs_rdma *rdma, struct rdma_cm_id *id, enum zs_rdma_refused reason)
{
	struct zs_rdma_refusal refusal;

	zs_rdma_refusal_make(&refusal, reason);
	rdma->refused++;
	zs_verbs.rdma_reject(id, &refusal, sizeof(refusal));
	zs_verbs.rdma_destroy_id(id);
}

/* Whether the request is one to be accepted. */
static bool examine(const struct rdma_conn_param *request, struct zs_rdma_hello *hello, enum zs_rdma_refused *reason)
{
	char why[WHY_MAX];

	*hello = (struct zs_rdma_hello){ 0 };
	if (!zs_rdma_hello_check(hello, ZS_RDMA_HELLO, request->private_data, request->private_data_len, why,
				 sizeof(why)))
		return true;
	*reason = hello->prefix.size ? ZS_RDMA_REFUSED_LAYOUT : ZS_RDMA_REFUSED_MESSAGE;
	return false;
}

static int accept_request(struct zs_rdma_connection *c, const struct rdma_conn_param *request)
{
	struct zs_rdma_hello welcome;
	struct rdma_conn_param answer = {
		.private_data = &welcome,
		.private_data_len = sizeof(welcome),
		.rnr_retry_count = RECEIVER_RETRIES,
	};
	int error = zs_rdma_queue_pair_make(c);

	if (!error)
		error = set_patience(c) ? errno : 0;
	c->depth = zs_rdma_least(request->responder_resources, c->rdma->device.depth_in);
	if (!error)
		error = zs_rdma_queue_pair_start(c);
	if (error)
		return error;
	zs_rdma_hello_make(&welcome, ZS_RDMA_WELCOME, c->rdma->options.window);
	answer.responder_resources = (uint8_t)c->depth;
	answer.qp_num = c->qp->qp_num;
	return zs_verbs.rdma_accept(c->id, &answer) ? errno : 0;
}

static void on_request(struct zs_rdma *rdma, struct rdma_cm_id *id, const struct rdma_conn_param *request)
{
	enum zs_rdma_refused reason;
	struct zs_rdma_connection *c;
	struct zs_rdma_hello hello;
	char why[WHY_MAX];

	if (!examine(request, &hello, &reason)) {
		refuse(rdma, id, reason);
		return;
	}
	if (zs_rdma_device_use(rdma, id, why, sizeof(why)) || zs_rdma_device_offer(rdma, id, why, sizeof(why))) {
		refuse(rdma, id, ZS_RDMA_REFUSED_FAILED);
		return;
	}
	c = new_connection(rdma);
	if (!c) {
		refuse(rdma, id, ZS_RDMA_REFUSED_FULL);
		return;
	}
	c->state = ZS_RDMA_ACCEPTING;
	c->accepted = true;
	set_windows(c, &hello);
	c->handler = rdma->offer.handler;
	c->id = id;
	id->context = c;
	if (accept_request(c, request)) {
		c->id = NULL;
		zs_rdma_close(c);
		refuse(rdma, id, ZS_RDMA_REFUSED_FAILED);
	}
}

/* ---- the client's side ---- */

int zs_rdma_connect(struct zs_rdma *rdma, const struct sockaddr_in *address, const struct zs_rdma_handler *handler,
		    struct zs_rdma_connection **connection, char *why, size_t why_size)
{
	struct sockaddr_in copy = *address;
	struct zs_rdma_connection *c = new_connection(rdma);

	*connection = NULL;
	if (!c) {
		snprintf(why, why_size, "all of this endpoint's %u connections are in use", rdma->options.connections);
		return ZS_EAGAIN;
	}
	c->introduced = true;
	c->handler = *handler;
	if (zs_verbs.rdma_create_id(rdma->events, &c->id, c, RDMA_PS_TCP) ||
	    zs_verbs.rdma_resolve_addr(c->id, NULL, (struct sockaddr *)&copy, RESOLVE_MS)) {
		snprintf(why, why_size, "no RDMA device leads to this address: %s", strerror(errno));
		zs_rdma_close(c);
		return ZS_ESYS;
	}
	*connection = c;
	return ZS_OK;
}

static void on_address(struct zs_rdma_connection *c)
{
	char why[WHY_MAX] = "";

	if (zs_rdma_device_use(c->rdma, c->id, why, sizeof(why)))
		zs_rdma_break(c, "%s", why);
	else if (set_patience(c) || zs_verbs.rdma_resolve_route(c->id, RESOLVE_MS))
		zs_rdma_break(c, "cannot look for a route: %s", strerror(errno));
}

static void on_route(struct zs_rdma_connection *c)
{
	struct zs_rdma_hello hello;
	struct rdma_conn_param request = {
		.private_data = &hello,
		.private_data_len = sizeof(hello),
		.initiator_depth = (uint8_t)c->rdma->device.depth_out,
		.retry_count = (uint8_t)c->rdma->options.retry_count,
		.rnr_retry_count = RECEIVER_RETRIES,
	};
	int error = zs_rdma_queue_pair_make(c);

	if (error) {
		zs_rdma_break(c, "cannot make a queue pair: %s", strerror(error));
		return;
	}
	zs_rdma_hello_make(&hello, ZS_RDMA_HELLO, c->rdma->options.window);
	request.qp_num = c->qp->qp_num;
	c->state = ZS_RDMA_CONNECTING;
	if (zs_verbs.rdma_connect(c->id, &request))
		zs_rdma_break(c, "cannot ask for a connection: %s", strerror(errno));
}

static void on_response(struct zs_rdma_connection *c, const struct rdma_conn_param *response)
{
	struct zs_rdma_hello welcome;
	char why[WHY_MAX];
	int error;

	if (zs_rdma_hello_check(&welcome, ZS_RDMA_WELCOME, response->private_data, response->private_data_len, why,
				sizeof(why))) {
		zs_rdma_break(c, "%s", why);
		return;
	}
	set_windows(c, &welcome);
	c->depth = zs_rdma_least(response->initiator_depth, c->rdma->device.depth_out);
	if (!c->depth) {
		zs_rdma_break(c, "the node's device answers no READs");
		return;
	}
	error = zs_rdma_queue_pair_start(c);
	if (!error && zs_verbs.rdma_establish(c->id))
		error = errno;
	if (error)
		zs_rdma_break(c, "cannot set up the queue pair: %s", strerror(error));
	else
		zs_rdma_become_ready(c);
}

static void on_refusal(struct zs_rdma_connection *c, int status, const struct rdma_conn_param *answer)
{
	struct zs_rdma_refusal refusal;
	char why[WHY_MAX];

	if (status != STATUS_REFUSED)
		zs_rdma_break(c, "refused with status %d: no node listens there", status);
	else if (zs_rdma_refusal_check(&refusal, answer->private_data, answer->private_data_len, why, sizeof(why)))
		zs_rdma_break(c, "refused, but %s", why);
	else
		zs_rdma_break(c, "refused: %s", zs_rdma_refused_text((enum zs_rdma_refused)refusal.reason));
}

/* ---- events ---- */

static void on_connection_event(struct zs_rdma_connection *c, const struct rdma_cm_event *event)
{
	const struct rdma_conn_param *data = &event->param.conn;

	switch (event->event) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
		on_address(c);
		break;
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		on_route(c);
		break;
	case RDMA_CM_EVENT_CONNECT_RESPONSE:
		on_response(c, data);
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		if (c->state == ZS_RDMA_ACCEPTING)
			zs_rdma_become_ready(c);
		break;
	case RDMA_CM_EVENT_REJECTED:
		on_refusal(c, event->status, data);
		break;
	case RDMA_CM_EVENT_UNREACHABLE:
		/* Seen also after a cable was out for a while and the queue pair went on: its reads will tell. */
		if (c->state != ZS_RDMA_READY)
			zs_rdma_break(c, "the peer does not answer");
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
		zs_rdma_break(c, "the peer ended the connection");
		break;
	case RDMA_CM_EVENT_TIMEWAIT_EXIT:
	case RDMA_CM_EVENT_ADDR_CHANGE:
		break;
	default:
		zs_rdma_break(c, "%s (%s)", zs_verbs.rdma_event_str(event->event),
			      strerror(event->status < 0 ? -event->status : event->status));
		break;
	}
}

void zs_rdma_on_event(struct zs_rdma *rdma, const struct rdma_cm_event *event)
{
	struct zs_rdma_connection *c = event->id->context;

	if (event->event == RDMA_CM_EVENT_CONNECT_REQUEST)
		on_request(rdma, event->id, &event->param.conn);
	else if (c && c->state != ZS_RDMA_BROKEN)
		on_connection_event(c, event);
}

void zs_rdma_on_async(struct zs_rdma_connection *c, enum ibv_event_type type)
{
	/* The peer's first message came before the last one of the connection manager, which may be lost. */
	if (type == IBV_EVENT_COMM_EST && c->accepted && c->id)
		zs_verbs.rdma_notify(c->id, type);
	else if (type == IBV_EVENT_QP_FATAL || type == IBV_EVENT_QP_REQ_ERR || type == IBV_EVENT_QP_ACCESS_ERR)
		zs_rdma_break(c, "%s", zs_verbs.ibv_event_type_str(type));
}

/* ---- what is known of one ---- */

unsigned zs_rdma_connection_depth(const struct zs_rdma_connection *c)
{
	return c->depth;
}

bool zs_rdma_connection_is_ready(const struct zs_rdma_connection *c)
{
	return c->state == ZS_RDMA_READY;
}

void zs_rdma_connection_set_context(struct zs_rdma_connection *c, void *context)
{
	c->handler.context = context;
}

void zs_rdma_connection_peer(const struct zs_rdma_connection *c, struct sockaddr_in *address)
{
	*address = c->peer;
}

void zs_rdma_connection_local(const struct zs_rdma_connection *c, struct sockaddr_in *address)
{
	*address = c->local;
}
