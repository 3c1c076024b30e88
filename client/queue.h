/* Requests, and queues of them. */
#ifndef ZS_CLIENT_QUEUE_H
#define ZS_CLIENT_QUEUE_H

#include <stddef.h>
#include <stdint.h>

struct zs_node;
struct zs_request;
struct zs_token;
struct zslab_op;

/*
 * Takes the next token of the answer to a request. ZSLAB_OK, and what went wrong with its operation in *status; or a
 * status with a sentence in `why`, if the connection is of no use any more.
 */
typedef int zs_answer_function(struct zs_node *node, struct zs_request *request, const struct zs_token *token,
			       int *status, char *why, size_t why_size);

struct zs_request {
	struct zs_request *next;
	struct zslab_op *op;	    /* NULL: it has none, or that has ended */
	zs_answer_function *answer; /* NULL: the answer is skipped */
	uint64_t end;		    /* where it ends in the stream of what was sent */
	uint32_t item;		    /* of a multi-get: the next item to be answered; they are chained */
	uint32_t items;		    /* how many are left */
	uint32_t left;		    /* tokens of the answer still to come */
	uint8_t attempts;
	uint8_t started;  /* a token of the answer has come */
	uint8_t again;	  /* all of it was sent before, over a connection that broke */
	uint8_t doubtful; /* a write that may have been done, though nobody knows */
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
