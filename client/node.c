/* One node: its ways for operations, and the requests that wait for one of them. */
#include <stdio.h>
#include <string.h>

#include "client/internal.h"

/* Between attempts to connect, doubling. */
#define RETRY_FIRST_NS UINT64_C(20000000)
#define RETRY_DOUBLINGS 6

const char *zs_node_transport(const struct zs_node *node)
{
	return node->lane->name;
}

/* ---- the socket ---- */

/* It will not get better by waiting. */
static void fail_waiting(struct zs_node *node, int status, const char *why)
{
	struct zs_request *request;

	while ((request = zs_queue_pop(&node->waiting))) {
		if (request->doubtful) {
			zs_request_end_unknown(&node->socket, request, why);
			continue;
		}
		if (request->op)
			zs_op_explain(node->client, request->op, "node %s (%s): %s", node->address.text,
				      node->socket.name, why);
		zs_request_end(node, request, status);
	}
}

static void on_ready(struct zs_channel *channel)
{
	struct zs_lane *lane = channel->owner;
	struct zs_node *node = lane->node;

	node->problem = ZSLAB_OK;
	node->why[0] = 0;
	node->client->counters.connects++;
	zs_note(node->client, node, lane->name, "connected");
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
	struct zs_lane *lane = channel->owner;
	struct zs_node *node = lane->node;

	if (channel->was_ready)
		node->client->counters.disconnects++;
	if (channel->was_ready || node->failures <= 1)
		zs_note(node->client, node, lane->name, "%s; connecting again", why);
	node->problem = status;
	snprintf(node->why, sizeof(node->why), "%s", why);
	zs_lane_lose(lane, status, why);
	if (status == ZSLAB_EAUTH || status == ZSLAB_EPROTO)
		fail_waiting(node, status, why);
	retry_later(node);
}

static int on_token(struct zs_channel *channel, const struct zs_token *token, char *why, size_t why_size)
{
	struct zs_lane *lane = channel->owner;
	int error = zs_lane_token(channel, token, why, why_size);

	if (!error)
		lane->node->failures = 0;
	return error;
}

/* The next endpoint of the address, looked up again once all have been tried. ZSLAB_OK, or `why` there is none. */
static int next_endpoint(struct zs_node *node, char *why, size_t why_size)
{
	int status = ZSLAB_OK;

	if (++node->endpoint < node->address.count)
		return ZSLAB_OK;
	node->endpoint = 0;
	status = zs_address_resolve(&node->address, why, why_size);
	return node->address.count ? ZSLAB_OK : status;
}

static void connect_socket(struct zs_node *node, uint64_t now_ns)
{
	struct zs_channel *channel = &node->socket.channel;
	char why[ZSLAB_ERROR_MAX];
	int status = ZSLAB_OK;

	/* The endpoint that worked last is tried again first; one that failed makes room for the next. */
	if (!channel->was_ready)
		status = next_endpoint(node, why, sizeof(why));
	if (status)
		on_broken(channel, status, why);
	else
		zs_channel_open(channel, &node->address.endpoints[node->endpoint],
				now_ns + node->client->connect_timeout_ns);
}

/* ---- sending ---- */

/*
 * Chooses the lane for operations. False: not yet. For the order of operations it changes only when nothing is under
 * way on the other one; until then those that come wait.
 */
static bool choose_lane(struct zs_node *node)
{
	struct zs_lane *best = zs_lane_is_ready(&node->rdma.lane) ? &node->rdma.lane : &node->socket;

	if (best != node->lane && node->lane->sent.first)
		return false;
	node->lane = best;
	return zs_lane_is_ready(best);
}

void zs_node_pump(struct zs_node *node, bool eager)
{
	bool chosen = choose_lane(node);

	/* A connection that was idle may be closed without our knowing. What must not be done twice is sent over one
	 * that is not. */
	if (chosen && node->waiting.first && !node->lane->sent.first && !zs_op_is_repeatable(node->waiting.first->op)) {
		zs_channel_receive(&node->lane->channel);
		chosen = choose_lane(node);
	}
	if (chosen && node->waiting.first && zs_fence_is_up(node))
		zs_lane_fill(node->lane);
	zs_lane_flush(node->lane, eager);
}

/* ---- time ---- */

uint64_t zs_node_next(const struct zs_node *node)
{
	const struct zs_channel *channel = &node->socket.channel;
	uint64_t next = UINT64_MAX;
	uint64_t shm = zs_shm_next(node);
	uint64_t rdma = zs_session_next(node);

	if (channel->state == ZS_CHANNEL_CLOSED)
		next = node->retry_ns;
	else if (channel->state != ZS_CHANNEL_READY)
		next = channel->deadline_ns;
	next = next < shm ? next : shm;
	return next < rdma ? next : rdma;
}

void zs_node_tick(struct zs_node *node, uint64_t now_ns)
{
	struct zs_channel *channel = &node->socket.channel;

	if (channel->state != ZS_CHANNEL_CLOSED)
		zs_channel_expire(channel, now_ns);
	else if (now_ns >= node->retry_ns)
		connect_socket(node, now_ns);
	zs_shm_tick(node, now_ns);
	zs_session_tick(node, now_ns);
}

static void expire_waiting(struct zs_node *node, struct zs_request *request)
{
	int status = node->problem ? ZSLAB_EUNREACHABLE : ZSLAB_ETIMEDOUT;

	if (request->doubtful) {
		zs_request_end_unknown(node->lane, request, "and could not be repeated before the deadline");
		return;
	}
	if (node->problem)
		zs_op_explain(node->client, request->op, "node %s (%s) cannot be reached: %s; is it running there?",
			      node->address.text, node->socket.name, node->why);
	else
		zs_op_explain(
		    node->client, request->op,
		    "the deadline has passed before the request could be sent to node %s (%s); nothing was done",
		    node->address.text, zs_node_transport(node));
	zs_request_end(node, request, status);
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
	zs_lane_expire(&node->socket, now_ns);
	zs_lane_expire(&node->rdma.lane, now_ns);
	zs_session_expire(node, now_ns);
}

/* ---- life ---- */

/* Which ways of reading its memory this node is tried for. ZSLAB_OK, or ZSLAB_EINVAL and `why`. */
static int choose_ways(struct zs_node *node, char *why, size_t why_size)
{
	enum zslab_via via = node->client->via;
	bool is_unix = node->address.is_unix;

	if (via == ZSLAB_VIA_SHM && !is_unix) {
		snprintf(why, why_size, "shared memory is for nodes on this host, by 'unix:/path'; '%.200s' is not one",
			 node->address.text);
		return ZSLAB_EINVAL;
	}
	if (via == ZSLAB_VIA_RDMA && is_unix) {
		snprintf(why, why_size, "RDMA is for nodes by 'host:port'; '%.200s' is a Unix socket",
			 node->address.text);
		return ZSLAB_EINVAL;
	}
	node->shm.wanted = is_unix && (via == ZSLAB_VIA_AUTO || via == ZSLAB_VIA_SHM);
	node->shm.settled = !node->shm.wanted;
	node->rdma.wanted = !is_unix && (via == ZSLAB_VIA_AUTO || via == ZSLAB_VIA_RDMA);
	node->rdma.settled = via != ZSLAB_VIA_RDMA; /* where it is not demanded nobody waits for it */
	return ZSLAB_OK;
}

int zs_node_init(struct zs_node *node, struct zslab *client, unsigned index, const char *address, char *why,
		 size_t why_size)
{
	static const struct zs_channel_events events = { on_ready, on_token, on_broken };
	int status;

	node->client = client;
	node->index = index;
	node->endpoint = ZS_NO_ENDPOINT;
	node->lane = &node->socket;
	zs_lane_init(&node->socket, node, "tcp", &events);
	zs_socket_init(&node->wire, &node->socket.channel, client->epoll, false);
	snprintf(node->why, sizeof(node->why), "it is not connected yet");
	zs_shm_init(node);
	zs_session_init(node);
	status = zs_address_init(&node->address, address, why, why_size);
	if (status)
		return status;
	if (node->address.is_unix)
		node->socket.name = "unix socket";
	return choose_ways(node, why, why_size);
}

void zs_node_free(struct zs_node *node)
{
	struct zs_request *request;

	zs_shm_free(node);
	zs_session_free(node);
	zs_lane_free(&node->socket);
	while ((request = zs_queue_pop(&node->waiting)))
		zs_request_free(node->client, request);
	zs_address_free(&node->address);
}
