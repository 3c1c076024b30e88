/* Requests, and queues of them. */
#ifndef ZS_CLIENT_QUEUE_H
#define ZS_CLIENT_QUEUE_H

#include <stddef.h>
#include <stdint.h>

struct zslab_op;

enum zs_request_kind {
	ZS_REQUEST_OP,
	ZS_REQUEST_FEEDBACK, /* of reads that a node did not see; nobody waits for the answer */
};

struct zs_request {
	struct zs_request *next;
	struct zslab_op *op; /* NULL: nobody waits for the answer (any more) */
	uint64_t end;	     /* where it ends in the stream of what was sent */
	uint32_t item;	     /* of a multi-get: the next item to be answered; they are chained */
	uint32_t items;	     /* how many are left */
	uint32_t left;	     /* tokens of the answer still to come */
	uint8_t kind;
	uint8_t attempts;
	uint8_t started; /* a token of the answer has come */
};

struct zs_queue {
	struct zs_request *first;
	struct zs_request *last;
	size_t count;
};

static inline void zs_queue_push(struct zs_queue *queue, struct zs_request *request)
{
	request->next = NULL;
	if (queue->first)
		queue->last->next = request;
	else
		queue->first = request;
	queue->last = request;
	queue->count++;
}

static inline struct zs_request *zs_queue_pop(struct zs_queue *queue)
{
	struct zs_request *request = queue->first;

	if (request) {
		queue->first = request->next;
		queue->count--;
	}
	return request;
}

/* Puts all of `from` before what is in `queue`. */
static inline void zs_queue_prepend(struct zs_queue *queue, struct zs_queue *from)
{
	if (!from->first)
		return;
	from->last->next = queue->first;
	if (!queue->first)
		queue->last = from->last;
	queue->first = from->first;
	queue->count += from->count;
	*from = (struct zs_queue){ 0 };
}

#endif
