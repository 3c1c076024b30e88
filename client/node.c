/* One node: its connection for operations, and the requests that wait for it or were sent. */
#include <stdio.h>
#include <string.h>

#include "client/internal.h"

/* Bytes on their way out beyond which requests wait as they are: those can still end by their deadline, unsent. */
#define OUT_MAX 65536u

/* Bytes that are sent even when an answer is awaited. */
#define OUT_EAGER 16384u

/* Requests sent and not answered, skipped ones included. */
#define SENT_MAX 4096u

/* Times that a request is sent. */
#define ATTEMPTS_MAX 4u

/* Between attempts to connect, doubling. */
#define RETRY_FIRST_NS UINT64_C(20000000)
#define RETRY_DOUBLINGS 6

const char *zs_node_transport(const struct zs_node *node)
{
	return node->address.is_unix ? "unix socket" : "tcp";
}

/* ---- ends of requests ---- */

static void end_request(struct zs_node *node, struct zs_request *request, int status)
{
	if (request->op) {
		if (request->op->kind == ZSLAB_MGET && status)
			zs_fail_items(request, status);
		zs_op_part_done(node->client, request->op, status);
	}
	zs_request_free(node->client, request);
}

/* The connection broke before the answer: can the request be sent again? Else it ends. */
static bool may_repeat(struct zs_node *node, const struct zs_request *request, int status)
{
	if (!request->op)
		return false;
	if (request->end > node->channel.sent)
		return true; /* the node cannot have all of it */
	return status != ZSLAB_EPROTO && request->attempts < ATTEMPTS_MAX && zs_op_is_repeatable(request->op);
}

static void lose_request(struct zs_node *node, struct zs_request *request, int status, const char *why)
{
	if (!request->op || zs_op_is_read(request->op)) {
		if (request->op)
			zs_op_explain(node->client, request->op, "node %s (%s): %s", node->address.text,
				      zs_node_transport(node), why);
		end_request(node, request, status);
		return;
	}
	zs_op_explain(
	    node->client, request->op,
	    "outcome unknown: the connection to node %s (%s) broke after the request was sent (%s); read the key "
	    "to see whether it was done",
	    node->address.text, zs_node_transport(node), why);
	end_request(node, request, ZSLAB_EUNKNOWN);
}

/* It will not get better by waiting. */
static void fail_waiting(struct zs_node *node, int status, const char *why)
{
	struct zs_request *request;

	while ((request = zs_queue_pop(&node->waiting))) {
		if (request->op)
			zs_op_explain(node->client, request->op, "node %s (%s): %s", node->address.text,
				      zs_node_transport(node), why);
		end_request(node, request, status);
	}
}

/* ---- what the connection tells ---- */

static void on_ready(struct zs_channel *channel)
{
	struct zs_node *node = channel->owner;

	node->problem = ZSLAB_OK;
	node->why[0] = 0;
	node->client->counters.connects++;
	zs_note(node->client, node, "connected");
	zs_node_pump(node, true);
}

static void retry_later(struct zs_node *node)
{
	unsigned doublings = node->failures < RETRY_DOUBLINGS ? node->failures : RETRY_DOUBLINGS;
	uint64_t delay = RETRY_FIRST_NS << doublings;

	/* A connection that did its work is made anew at once. */
	node->retry_ns = zs_now();
	if (node->failures++)
		node->retry_ns += delay / 2 + zs_random_number(node->client, delay / 2);
}

static void on_broken(struct zs_channel *channel, int status, const char *why)
{
	struct zs_node *node = channel->owner;
	struct zs_queue again = { 0 };
	struct zs_request *request;

	if (channel->was_ready)
		node->client->counters.disconnects++;
	if (channel->was_ready || node->failures <= 1)
		zs_note(node->client, node, "%s; connecting again", why);
	node->problem = status;
	snprintf(node->why, sizeof(node->why), "%s", why);
	while ((request = zs_queue_pop(&node->sent))) {
		if (!may_repeat(node, request, status)) {
			lose_request(node, request, status, why);
			continue;
		}
		node->client->counters.repeated += request->end <= channel->sent;
		request->started = 0;
		zs_queue_push(&again, request);
	}
	zs_queue_prepend(&node->waiting, &again);
	if (status == ZSLAB_EAUTH || status == ZSLAB_EPROTO)
		fail_waiting(node, status, why);
	retry_later(node);
}

static int on_token(struct zs_channel *channel, const struct zs_token *token, char *why, size_t why_size)
{
	struct zs_node *node = channel->owner;
	struct zs_request *request = node->sent.first;
	int status = ZSLAB_OK;
	int error;

	if (!request || request->end > channel->sent) {
		snprintf(why, why_size, "it sends a reply that nobody asked for");
		return ZSLAB_EPROTO;
	}
	if (!request->started)
		request->left = 1;
	request->left--;
	if (token->kind == ZS_TOKEN_ARRAY)
		request->left += (uint32_t)token->number;
	if (request->left > ZS_REPLY_ARRAY_MAX) {
		snprintf(why, why_size, "its reply has no end");
		return ZSLAB_EPROTO;
	}
	if (request->kind == ZS_REQUEST_FEEDBACK)
		node->feedback.refused |= token->kind == ZS_TOKEN_ERROR;
	error = request->op ? zs_answer(node, request, token, &status, why, why_size) : ZSLAB_OK;
	if (error)
		return error;
	request->started = 1;
	node->failures = 0;
	if (!request->left)
		end_request(node, zs_queue_pop(&node->sent), status);
	return ZSLAB_OK;
}

/* ---- sending ---- */

/* Moves requests from `waiting` to the channel. */
static void fill(struct zs_node *node)
{
	struct zs_channel *channel = &node->channel;

	while (node->waiting.first && zs_buffer_size(&channel->out) < OUT_MAX && node->sent.count < SENT_MAX) {
		struct zs_request *request = zs_queue_pop(&node->waiting);

		if (zs_encode(request, &channel->out)) {
			zs_op_explain(node->client, request->op, "not enough memory for the request");
			end_request(node, request, ZSLAB_ENOMEM);
			continue;
		}
		request->end = zs_channel_end(channel);
		request->attempts++;
		node->client->counters.requests++;
		zs_queue_push(&node->sent, request);
	}
}

void zs_node_pump(struct zs_node *node, bool eager)
{
	struct zs_channel *channel = &node->channel;

	if (channel->state != ZS_CHANNEL_READY)
		return;
	/* A connection that was idle may be closed without our knowing. What must not be done twice is sent over one
	 * that is not. */
	if (node->waiting.first && !node->sent.first && !zs_op_is_repeatable(node->waiting.first->op))
		zs_channel_receive(channel);
	if (channel->state != ZS_CHANNEL_READY)
		return;
	if (node->waiting.first)
		fill(node);
	if (!zs_buffer_size(&channel->out))
		return;
	if (eager || zs_buffer_size(&channel->out) >= OUT_EAGER ||
	    (node->sent.first && node->sent.first->end > channel->sent))
		zs_channel_flush(channel);
}

/* ---- time ---- */

uint64_t zs_node_next(const struct zs_node *node)
{
	uint64_t shm = zs_shm_next(node);
	uint64_t next = UINT64_MAX;

	if (node->channel.state == ZS_CHANNEL_CLOSED)
		next = node->retry_ns;
	else if (node->channel.state != ZS_CHANNEL_READY)
		next = node->channel.deadline_ns;
	return next < shm ? next : shm;
}

void zs_node_tick(struct zs_node *node, uint64_t now_ns)
{
	if (node->channel.state == ZS_CHANNEL_CLOSED && now_ns >= node->retry_ns)
		zs_channel_open(&node->channel, now_ns + node->client->connect_timeout_ns);
	else
		zs_channel_expire(&node->channel, now_ns);
	zs_shm_tick(node, now_ns);
}

static void expire_waiting(struct zs_node *node, struct zs_request *request)
{
	int status = node->problem ? ZSLAB_EUNREACHABLE : ZSLAB_ETIMEDOUT;

	if (node->problem)
		zs_op_explain(node->client, request->op, "node %s (%s) cannot be reached: %s; is it running there?",
			      node->address.text, zs_node_transport(node), node->why);
	else
		zs_op_explain(
		    node->client, request->op,
		    "the deadline has passed before the request could be sent to node %s (%s); nothing was done",
		    node->address.text, zs_node_transport(node));
	end_request(node, request, status);
}

/* The request stays, without its operation, for its answer may still come. */
static void expire_sent(struct zs_node *node, struct zs_request *request)
{
	int status = zs_op_is_read(request->op) ? ZSLAB_ETIMEDOUT : ZSLAB_EUNKNOWN;
	struct zslab_op *op = request->op;

	zs_op_explain(node->client, op,
		      "%snode %s (%s) did not answer before the deadline; is it overloaded or stopped?",
		      status == ZSLAB_EUNKNOWN ? "outcome unknown: " : "", node->address.text, zs_node_transport(node));
	if (op->kind == ZSLAB_MGET)
		zs_fail_items(request, status);
	request->op = NULL;
	zs_op_part_done(node->client, op, status);
}

void zs_node_expire(struct zs_node *node, uint64_t now_ns)
{
	struct zs_queue waiting = node->waiting;
	struct zs_request *request;

	node->waiting = (struct zs_queue){ 0 };
	while ((request = zs_queue_pop(&waiting))) {
		if (request->op->own.deadline_ns <= now_ns)
			expire_waiting(node, request);
		else
			zs_queue_push(&node->waiting, request);
	}
	for (request = node->sent.first; request; request = request->next) {
		if (request->op && request->op->own.deadline_ns <= now_ns)
			expire_sent(node, request);
	}
}

/* ---- life ---- */

int zs_node_init(struct zs_node *node, struct zslab *client, unsigned index, const char *address, char *why,
		 size_t why_size)
{
	static const struct zs_channel_events events = { on_ready, on_token, on_broken };
	int status;

	node->client = client;
	node->index = index;
	node->channel = (struct zs_channel){
		.events = &events,
		.transport = &zs_transport_socket,
		.address = &node->address,
		.greeting = &client->greeting,
		.epoll = client->epoll,
		.owner = node,
		.fd = -1,
		.passed_fd = -1,
		.endpoint = ZS_CHANNEL_NO_ENDPOINT,
	};
	snprintf(node->why, sizeof(node->why), "it is not connected yet");
	zs_shm_init(node);
	status = zs_address_init(&node->address, address, why, why_size);
	if (status)
		return status;
	node->shm.wanted = node->address.is_unix && (client->via == ZSLAB_VIA_AUTO || client->via == ZSLAB_VIA_SHM);
	node->shm.settled = !node->shm.wanted;
	if (client->via == ZSLAB_VIA_SHM && !node->shm.wanted) {
		snprintf(why, why_size, "shared memory is for nodes on this host, by 'unix:/path'; '%.200s' is not one",
			 address);
		return ZSLAB_EINVAL;
	}
	return ZSLAB_OK;
}

void zs_node_free(struct zs_node *node)
{
	struct zs_request *request;

	zs_shm_free(node);
	zs_channel_free(&node->channel);
	while ((request = zs_queue_pop(&node->waiting)) || (request = zs_queue_pop(&node->sent)))
		zs_request_free(node->client, request);
	zs_address_free(&node->address);
}
