#include "client/feedback.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/internal.h"
#include "common/hash.h"

#define INTERVAL_NS 100000000u

/* Answers to earlier batches that may be missing before the next one is sent. */
#define UNANSWERED_MAX 8

static int encode(const struct zs_feedback *f, struct zs_buffer *out)
{
	char text[24 + 20 + ZS_FEEDBACK_BATCH * 24];
	int size = snprintf(text, sizeof(text), "*%u\r\n$10\r\nZS.TOUCHED\r\n", f->count + 1);

	for (uint32_t i = 0; i < f->count; i++)
		size += snprintf(text + size, sizeof(text) - (size_t)size, "$16\r\n%016" PRIx64 "\r\n", f->hashes[i]);
	return zs_buffer_append(out, text, (size_t)size);
}

/* On the connection for operations, if it has nothing better to do. */
static void send_batch(struct zs_node *node, uint64_t now)
{
	struct zs_feedback *f = &node->feedback;
	struct zs_channel *c = &node->channel;
	struct zs_request *request;

	f->sent_ns = now;
	zs_channel_receive(c); /* answers to earlier batches, if nobody fetches them */
	if (c->state != ZS_CHANNEL_READY || zs_buffer_size(&c->out) || node->sent.count > UNANSWERED_MAX)
		return;
	request = zs_request_new(node->client);
	if (!request)
		return;
	request->kind = ZS_REQUEST_FEEDBACK;
	if (encode(f, &c->out)) {
		zs_request_free(node->client, request);
		return;
	}
	f->count = 0;
	request->end = zs_channel_end(c);
	zs_queue_push(&node->sent, request);
	node->client->counters.feedback++;
	zs_channel_flush(c);
}

void zs_feedback_sample(struct zs_node *node, const void *key, size_t key_size)
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
	f->hashes[at] = zs_hash(key, key_size, node->shm.plain.seed);
	now = zs_now();
	if (now - f->sent_ns >= INTERVAL_NS)
		send_batch(node, now);
}
