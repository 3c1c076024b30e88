#include "client/feedback.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/internal.h"

#define INTERVAL_NS 100000000u

/* Answers to earlier batches that may be missing before the next one is sent. */
#define UNANSWERED_MAX 8

#define COMMAND_MAX (24 + 20 + ZS_FEEDBACK_BATCH * 24)

static size_t encode(const struct zs_feedback *f, char *text, size_t text_size)
{
	int size = snprintf(text, text_size, "*%u\r\n$10\r\nZS.TOUCHED\r\n", f->count + 1);

	for (uint32_t i = 0; i < f->count; i++)
		size += snprintf(text + size, text_size - (size_t)size, "$16\r\n%016" PRIx64 "\r\n", f->hashes[i]);
	return (size_t)size;
}

static int take_answer(struct zs_node *node, struct zs_request *request, const struct zs_token *token, int *status,
		       char *why, size_t why_size)
{
	(void)request;
	(void)status;
	(void)why;
	(void)why_size;
	node->feedback.refused |= token->kind == ZS_TOKEN_ERROR;
	return ZSLAB_OK;
}

/* On the connection for operations, if it has nothing better to do. */
static void send_batch(struct zs_node *node, uint64_t now)
{
	struct zs_feedback *f = &node->feedback;
	struct zs_lane *lane = node->lane;
	char text[COMMAND_MAX];

	f->sent_ns = now;
	zs_channel_receive(&lane->channel); /* answers to earlier batches, if nobody fetches them */
	if (!zs_lane_is_ready(lane) || zs_buffer_size(&lane->channel.out) || lane->sent.count > UNANSWERED_MAX)
		return;
	if (zs_lane_send(lane, text, encode(f, text, sizeof(text)), take_answer))
		return;
	f->count = 0;
	node->client->counters.feedback++;
}

void zs_feedback_sample(struct zs_node *node, uint64_t hash)
{
	struct zs_feedback *f = &node->feedback;
	uint32_t at = f->count;
	uint64_t now;

	/* A distance that varies: a program that reads its keys in turn must not show us always the same ones. */
	f->skip = (uint32_t)zs_random_number(node->client, 2 * ZS_FEEDBACK_MEAN - 1);
	if (f->refused)
		return;
	if (f->count < ZS_FEEDBACK_BATCH)
		f->count++;
	else
		at = (uint32_t)zs_random_number(node->client, ZS_FEEDBACK_BATCH);
	f->hashes[at] = hash;
	now = zs_now();
	if (now - f->sent_ns >= INTERVAL_NS)
		send_batch(node, now);
}
