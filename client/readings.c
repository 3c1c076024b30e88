#include "client/readings.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/internal.h"

/* Keys that are read at a time, of one node. */
#define GETS 128u

struct zs_reading {
	struct zs_reading *next; /* of those with keys left to begin */
	struct zslab_op *op;	 /* NULL: it has ended before */
	struct zs_share left;	 /* items to begin; of a GET its one key */
	struct zs_share asked;	 /* items to ask the node for */
	uint32_t under_way;
};

/* ---- ends of readings ---- */

static bool is_over(const struct zs_reading *reading)
{
	return !reading->under_way && !reading->left.count;
}

static void end_reading(struct zs_node *node, struct zs_reading *reading)
{
	struct zslab_op *op = reading->op;

	if (op) {
		if (reading->asked.count)
			zs_ask(node, op, reading->asked);
		zs_op_part_done(node->client, op, ZSLAB_OK);
	}
	free(reading);
}

/* ---- ends of reads ---- */

static void ask_later(struct zs_reading *reading, uint32_t item)
{
	struct zs_share *asked = &reading->asked;

	if (asked->count++ && reading->op->kind == ZSLAB_MGET)
		reading->op->items[asked->last].next = item;
	else
		asked->first = item;
	asked->last = item;
}

/* Puts a value where it belongs. ZSLAB_OK or ZSLAB_ESMALL. */
static int deliver(const struct zs_steps *steps, void *buffer, size_t buffer_size, size_t *size)
{
	char digits[24];
	int count;

	if (!steps->value.is_number)
		return zs_copy_value(buffer, buffer_size, steps->data, steps->value.size, size);
	count = snprintf(digits, sizeof(digits), "%" PRId64, steps->value.number);
	return zs_copy_value(buffer, buffer_size, digits, (size_t)count, size);
}

static void count_hit(struct zs_node *node, const struct zs_rdma_get *get)
{
	node->client->counters.rdma_hits++;
	if (!node->feedback.skip--)
		zs_feedback_sample(node, get->steps.hash);
}

static void take_hit(struct zs_node *node, struct zslab_op *op, const struct zs_rdma_get *get)
{
	struct zslab_item *item = op->kind == ZSLAB_MGET ? &op->items[get->number] : NULL;

	if (item)
		item->status = deliver(&get->steps, item->buffer, item->buffer_size, &item->size);
	else if (deliver(&get->steps, op->buffer, op->buffer_size, &op->size))
		op->status = zs_op_too_small(node->client, op);
	count_hit(node, get);
}

/* Its memory and its place are for others again. */
static void put_back(struct zs_readings *r, struct zs_rdma_get *get)
{
	r->under_way--;
	zs_rdma_reader_release(get);
	get->owner = NULL;
	get->next = r->spare;
	r->spare = get;
}

/* A get is over. Its reading ends with the last one. */
static void settle(struct zs_node *node, struct zs_rdma_get *get)
{
	struct zs_readings *r = &node->rdma.readings;
	struct zs_reading *reading = get->owner;

	reading->under_way--;
	if (reading->op && get->status == ZS_STEPS_HIT) {
		take_hit(node, reading->op, get);
	} else if (reading->op) {
		node->client->counters.rdma_asks++;
		ask_later(reading, get->number);
	}
	put_back(r, get);
	if (is_over(reading))
		end_reading(node, reading);
}

/* ---- beginnings ---- */

static const void *next_key(const struct zs_reading *reading, size_t *size)
{
	const struct zslab_op *op = reading->op;

	*size = op->kind == ZSLAB_MGET ? op->items[reading->left.first].key_size : op->key_size;
	return op->kind == ZSLAB_MGET ? op->items[reading->left.first].key : op->key;
}

/* Begins the next read of the first reading that has one left. */
static void begin_one(struct zs_node *node, uint64_t now_ns)
{
	struct zs_readings *r = &node->rdma.readings;
	struct zs_reading *reading = r->first;
	struct zs_rdma_get *get = r->spare;
	size_t key_size;
	const void *key = next_key(reading, &key_size);

	r->spare = get->next;
	r->under_way++;
	reading->under_way++;
	get->owner = reading;
	get->number = reading->left.first;
	if (reading->op->kind == ZSLAB_MGET)
		reading->left.first = reading->op->items[reading->left.first].next;
	if (!--reading->left.count) {
		r->first = reading->next;
		if (!r->first)
			r->end = &r->first;
	}
	zs_rdma_reader_start(node->rdma.reader, get, key, key_size, now_ns);
	if (get->status != ZS_STEPS_FETCH)
		settle(node, get);
}

static void begin_more(struct zs_node *node)
{
	struct zs_readings *r = &node->rdma.readings;
	uint64_t now_ns;

	if (!r->first || !r->spare)
		return;
	now_ns = zs_now();
	while (r->first && r->spare)
		begin_one(node, now_ns);
}

void zs_readings_begin(struct zs_node *node, struct zslab_op *op, struct zs_share share)
{
	struct zs_readings *r = &node->rdma.readings;
	struct zs_reading *reading = malloc(sizeof(*reading));

	if (!reading) {
		zs_ask(node, op, share);
		return;
	}
	*reading = (struct zs_reading){ .op = op, .left = share };
	op->own.parts++;
	*r->end = reading;
	r->end = &reading->next;
	begin_more(node);
}

void zs_readings_over(void *context, struct zs_rdma_get *get)
{
	struct zs_node *node = context;

	if (get->owner)
		settle(node, get);
	else if (get->abandoned)
		put_back(&node->rdma.readings, get);
	else
		return; /* somebody looks at it, see zs_readings_get */
	begin_more(node);
}

bool zs_readings_get(struct zs_node *node, const void *key, size_t key_size, void *buffer, size_t buffer_size,
		     size_t *size, int *status, uint64_t now_ns)
{
	struct zs_readings *r = &node->rdma.readings;
	struct zs_rdma_get *get = r->spare;
	bool found;

	if (r->first || !get)
		return false;
	r->spare = get->next;
	r->under_way++;
	zs_rdma_reader_start(node->rdma.reader, get, key, key_size, now_ns);
	zs_adapter_await(&node->client->adapter, get);
	if (get->status == ZS_STEPS_FETCH) {
		zs_rdma_reader_abandon(get);
		return false;
	}
	found = get->status == ZS_STEPS_HIT;
	if (found) {
		*status = deliver(&get->steps, buffer, buffer_size, size);
		count_hit(node, get);
	} else {
		node->client->counters.rdma_asks++;
	}
	put_back(r, get);
	return found;
}

/* ---- deadlines ---- */

static void fail_share(struct zslab_op *op, struct zs_share share, int status)
{
	for (; share.count; share.count--) {
		op->items[share.first].status = status;
		share.first = op->items[share.first].next;
	}
}

/* Ends its operation. What is under way for it will be over by and by. */
static void expire(struct zs_node *node, struct zs_reading *reading)
{
	struct zs_readings *r = &node->rdma.readings;
	struct zslab_op *op = reading->op;
	bool is_mget = op->kind == ZSLAB_MGET;

	for (unsigned i = 0; i < GETS; i++) {
		if (r->gets[i].owner != reading)
			continue;
		zs_rdma_reader_abandon(&r->gets[i]);
		if (is_mget)
			op->items[r->gets[i].number].status = ZSLAB_ETIMEDOUT;
	}
	if (is_mget) {
		fail_share(op, reading->left, ZSLAB_ETIMEDOUT);
		fail_share(op, reading->asked, ZSLAB_ETIMEDOUT);
	}
	zs_op_explain(node->client, op, "node %s (rdma): the deadline has passed before its memory was read",
		      node->address.text);
	reading->op = NULL;
	reading->left.count = 0;
	zs_op_part_done(node->client, op, ZSLAB_ETIMEDOUT);
}

void zs_readings_expire(struct zs_node *node, uint64_t now_ns)
{
	struct zs_readings *r = &node->rdma.readings;
	struct zs_reading **link = &r->first;

	for (unsigned i = 0; r->under_way && i < GETS; i++) {
		struct zs_reading *reading = r->gets[i].owner;

		if (reading && reading->op && reading->op->own.deadline_ns <= now_ns)
			expire(node, reading);
	}
	while (*link) {
		struct zs_reading *reading = *link;

		if (reading->op && reading->op->own.deadline_ns <= now_ns)
			expire(node, reading);
		if (reading->op) {
			link = &reading->next;
			continue;
		}
		*link = reading->next;
		if (is_over(reading))
			free(reading);
	}
	r->end = link;
}

/* ---- life ---- */

int zs_readings_init(struct zs_readings *r)
{
	if (r->gets)
		return ZSLAB_OK;
	r->gets = calloc(GETS, sizeof(*r->gets));
	if (!r->gets)
		return ZSLAB_ENOMEM;
	for (unsigned i = 0; i < GETS; i++) {
		r->gets[i].next = r->spare;
		r->spare = &r->gets[i];
	}
	r->end = &r->first;
	return ZSLAB_OK;
}

/* Forgets those whose reads are not under way any more: the connection is closed. */
void zs_readings_free(struct zs_readings *r)
{
	assert(!r->under_way);
	while (r->first) {
		struct zs_reading *reading = r->first;

		r->first = reading->next;
		free(reading);
	}
	free(r->gets);
	r->gets = NULL;
}
