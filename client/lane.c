#include "client/lane.h"

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

/* ---- ends of requests ---- */

void zs_request_end(struct zs_node *node, struct zs_request *request, int status)
{
	if (request->op) {
		if (request->op->kind == ZSLAB_MGET && status)
			zs_fail_items(request, status);
		zs_op_part_done(node->client, request->op, status);
	}
	zs_request_free(node->client, request);
}

void zs_request_end_unknown(const struct zs_lane *lane, struct zs_request *request, const char *why)
{
	struct zs_node *node = lane->node;

	zs_op_explain(
	    node->client, request->op,
	    "outcome unknown: the connection to node %s (%s) broke after the request was sent (%s); read the key "
	    "to see whether it was done",
	    node->address.text, lane->name, why);
	zs_request_end(node, request, ZSLAB_EUNKNOWN);
}

/* A write that the node may have got; its operation may have ended. */
static bool is_in_doubt(const struct zs_lane *lane, const struct zs_request *request)
{
	return request->end <= lane->channel.sent && (request->op ? !zs_op_is_read(request->op) : request->doubtful);
}

/* So that what the node has got of this connection is not done later than what comes after it. */
static bool fence(struct zs_lane *lane)
{
	const struct zs_request *request = lane->sent.first;

	while (request && !is_in_doubt(lane, request))
		request = request->next;
	return !request || zs_fence_note(lane->node, lane);
}

/* The connection broke before the answer: can the request be sent again? Else it ends. */
static bool may_repeat(const struct zs_lane *lane, const struct zs_request *request, int status, bool fenced)
{
	if (!request->op)
		return false;
	if (request->end > lane->channel.sent)
		return true; /* the node cannot have all of it */
	return status != ZSLAB_EPROTO && request->attempts < ATTEMPTS_MAX && zs_op_is_repeatable(request->op) &&
	       (fenced || zs_op_is_read(request->op));
}

static void lose_request(struct zs_lane *lane, struct zs_request *request, int status, const char *why)
{
	struct zs_node *node = lane->node;

	if (!request->op || zs_op_is_read(request->op)) {
		if (request->op)
			zs_op_explain(node->client, request->op, "node %s (%s): %s", node->address.text, lane->name,
				      why);
		zs_request_end(node, request, status);
		return;
	}
	zs_request_end_unknown(lane, request, why);
}

void zs_lane_lose(struct zs_lane *lane, int status, const char *why)
{
	struct zs_node *node = lane->node;
	struct zs_queue again = { 0 };
	struct zs_request *request;
	bool fenced = fence(lane);

	node->fence.asked = false;
	while ((request = zs_queue_pop(&lane->sent))) {
		if (!may_repeat(lane, request, status, fenced)) {
			lose_request(lane, request, status, why);
			continue;
		}
		request->again = request->end <= lane->channel.sent;
		request->doubtful |= is_in_doubt(lane, request);
		request->started = 0;
		zs_queue_push(&again, request);
	}
	zs_queue_prepend(&node->waiting, &again);
}

static void expire(struct zs_lane *lane, struct zs_request *request)
{
	struct zs_node *node = lane->node;
	struct zslab_op *op = request->op;
	int status = zs_op_is_read(op) ? ZSLAB_ETIMEDOUT : ZSLAB_EUNKNOWN;

	zs_op_explain(node->client, op,
		      "%snode %s (%s) did not answer before the deadline; is it overloaded or stopped?",
		      status == ZSLAB_EUNKNOWN ? "outcome unknown: " : "", node->address.text, lane->name);
	if (op->kind == ZSLAB_MGET)
		zs_fail_items(request, status);
	request->doubtful = !zs_op_is_read(op);
	request->op = NULL;
	request->answer = NULL;
	zs_op_part_done(node->client, op, status);
}

void zs_lane_expire(struct zs_lane *lane, uint64_t now_ns)
{
	for (struct zs_request *request = lane->sent.first; request; request = request->next) {
		if (request->op && request->op->own.deadline_ns <= now_ns)
			expire(lane, request);
	}
}

/* ---- answers ---- */

int zs_lane_token(struct zs_channel *channel, const struct zs_token *token, char *why, size_t why_size)
{
	struct zs_lane *lane = channel->owner;
	struct zs_request *request = lane->sent.first;
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
	error = request->answer ? request->answer(lane->node, request, token, &status, why, why_size) : ZSLAB_OK;
	if (error)
		return error;
	request->started = 1;
	if (!request->left)
		zs_request_end(lane->node, zs_queue_pop(&lane->sent), status);
	return ZSLAB_OK;
}

/* ---- sending ---- */

void zs_lane_fill(struct zs_lane *lane)
{
	struct zs_node *node = lane->node;
	struct zs_channel *channel = &lane->channel;

	while (node->waiting.first && zs_buffer_size(&channel->out) < OUT_MAX && lane->sent.count < SENT_MAX) {
		struct zs_request *request = zs_queue_pop(&node->waiting);

		if (zs_encode(request, &channel->out)) {
			zs_op_explain(node->client, request->op, "not enough memory for the request");
			zs_request_end(node, request, ZSLAB_ENOMEM);
			continue;
		}
		request->end = zs_channel_end(channel);
		request->attempts++;
		node->client->counters.requests++;
		node->client->counters.repeated += request->again;
		request->again = 0;
		zs_queue_push(&lane->sent, request);
	}
}

void zs_lane_flush(struct zs_lane *lane, bool eager)
{
	struct zs_channel *channel = &lane->channel;

	if (!zs_buffer_size(&channel->out))
		return;
	if (eager || zs_buffer_size(&channel->out) >= OUT_EAGER ||
	    (lane->sent.first && lane->sent.first->end > channel->sent))
		zs_channel_flush(channel);
}

int zs_lane_send(struct zs_lane *lane, const char *command, size_t size, zs_answer_function *answer)
{
	struct zs_request *request = zs_request_new(lane->node->client);

	if (!request)
		return ZSLAB_ENOMEM;
	if (zs_buffer_append(&lane->channel.out, command, size)) {
		zs_request_free(lane->node->client, request);
		return ZSLAB_ENOMEM;
	}
	request->answer = answer;
	request->end = zs_channel_end(&lane->channel);
	zs_queue_push(&lane->sent, request);
	zs_channel_flush(&lane->channel);
	return ZSLAB_OK;
}

/* ---- life ---- */

void zs_lane_init(struct zs_lane *lane, struct zs_node *node, const char *name, const struct zs_channel_events *events)
{
	lane->node = node;
	lane->name = name;
	lane->channel.events = events;
	lane->channel.greeting = &node->client->greeting;
	lane->channel.owner = lane;
}

void zs_lane_free(struct zs_lane *lane)
{
	struct zs_request *request;

	zs_channel_free(&lane->channel);
	while ((request = zs_queue_pop(&lane->sent)))
		zs_request_free(lane->node->client, request);
}
