/* The core: operations in flight, their deadlines, and the turns in which everything happens. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "client/internal.h"
#include "common/clock.h"

#define EVENTS_MAX 64

/* While answers come by RDMA, one after the other, other descriptors are looked at so often. */
#define LOOK_NS UINT64_C(1000000)

/* ---- small things ---- */

uint64_t zs_now(void)
{
	return zs_clock_ns(zs_clock_system());
}

/* xorshift64 (Marsaglia): for jitter and samples. */
uint64_t zs_random_number(struct zslab *client, uint64_t bound)
{
	client->random ^= client->random << 13;
	client->random ^= client->random >> 7;
	client->random ^= client->random << 17;
	return client->random % bound;
}

void zs_note(struct zslab *client, const struct zs_node *node, const char *way, const char *format, ...)
{
	char sentence[2 * ZSLAB_ERROR_MAX];
	va_list arguments;
	int size;

	if (!client->log)
		return;
	size = snprintf(sentence, sizeof(sentence), "node %.200s (%s): ", node->address.text, way);
	va_start(arguments, format);
	vsnprintf(sentence + size, sizeof(sentence) - (size_t)size, format, arguments);
	va_end(arguments);
	client->log(client->log_context, sentence);
}

struct zs_request *zs_request_new(struct zslab *client)
{
	struct zs_request *request = client->spare;

	if (request)
		client->spare = request->next;
	else
		request = malloc(sizeof(*request));
	if (request)
		*request = (struct zs_request){ 0 };
	return request;
}

void zs_request_free(struct zslab *client, struct zs_request *request)
{
	request->next = client->spare;
	client->spare = request;
}

/* ---- ends of operations ---- */

void zs_op_explain(struct zslab *client, struct zslab_op *op, const char *format, ...)
{
	va_list arguments;

	if (op->error[0])
		return;
	va_start(arguments, format);
	vsnprintf(op->error, sizeof(op->error), format, arguments);
	va_end(arguments);
	memcpy(client->error, op->error, sizeof(client->error));
}

int zs_op_too_small(struct zslab *client, struct zslab_op *op)
{
	zs_op_explain(client, op, "the value has %zu bytes, the buffer %zu", op->size, op->buffer_size);
	return ZSLAB_ESMALL;
}

static void complete(struct zslab *client, struct zslab_op *op)
{
	bool is_sync = op->own.state != ZS_OP_FLYING;

	if (op->own.previous)
		op->own.previous->own.next = op->own.next;
	else
		client->flying = op->own.next;
	if (op->own.next)
		op->own.next->own.previous = op->own.previous;
	op->own.state = ZS_OP_DONE;
	op->own.next = NULL;
	client->in_flight--;
	client->counters.unknown += op->status == ZSLAB_EUNKNOWN;
	if (is_sync)
		return;
	*client->done_end = op;
	client->done_end = &op->own.next;
}

void zs_op_part_done(struct zslab *client, struct zslab_op *op, int status)
{
	if (status && !op->status)
		op->status = status;
	if (!--op->own.parts)
		complete(client, op);
}

void zs_expire(struct zslab *client, uint64_t now_ns)
{
	uint64_t next = UINT64_MAX;
	unsigned due = 0;

	for (const struct zslab_op *op = client->flying; op; op = op->own.next) {
		if (op->own.deadline_ns <= now_ns)
			due++;
		else if (op->own.deadline_ns < next)
			next = op->own.deadline_ns;
	}
	client->next_deadline_ns = next;
	client->counters.timed_out += due;
	for (unsigned i = 0; due && i < client->node_count; i++)
		zs_node_expire(&client->nodes[i], now_ns);
}

/* ---- beginnings of operations ---- */

static void take_off(struct zslab *client, struct zslab_op *op, enum zs_op_state state)
{
	uint64_t timeout = op->timeout_ms ? op->timeout_ms * UINT64_C(1000000) : client->timeout_ns;

	op->own.state = state;
	op->own.parts = 1; /* held until all requests are made */
	op->own.deadline_ns = zs_now() + timeout;
	op->own.previous = NULL;
	op->own.next = client->flying;
	if (client->flying)
		client->flying->own.previous = op;
	client->flying = op;
	client->in_flight++;
	if (op->own.deadline_ns < client->next_deadline_ns)
		client->next_deadline_ns = op->own.deadline_ns;
}

/* A request of an operation that took off. NULL: not enough memory, which is noted in the operation. */
static struct zs_request *ask_once(struct zs_node *node, struct zslab_op *op, uint32_t item, uint32_t items)
{
	struct zs_request *request = zs_request_new(node->client);

	if (!request) {
		zs_op_explain(node->client, op, "not enough memory for the request");
		if (!op->status)
			op->status = ZSLAB_ENOMEM;
		return NULL;
	}
	request->op = op;
	request->answer = zs_answer;
	request->item = item;
	request->items = items;
	op->own.parts++;
	zs_queue_push(&node->waiting, request);
	return request;
}

/* Items become requests of at most ZS_MGET_MAX keys. */
static void ask_for_items(struct zs_node *node, struct zslab_op *op, struct zs_share share)
{
	while (share.count) {
		uint32_t n = share.count < ZS_MGET_MAX ? share.count : ZS_MGET_MAX;
		struct zs_request *request = ask_once(node, op, share.first, n);

		for (uint32_t i = 0; i < n; i++) {
			struct zslab_item *item = &op->items[share.first];

			if (!request)
				item->status = ZSLAB_ENOMEM;
			share.first = item->next;
		}
		share.count -= n;
	}
}

void zs_ask(struct zs_node *node, struct zslab_op *op, struct zs_share share)
{
	if (op->kind == ZSLAB_MGET)
		ask_for_items(node, op, share);
	else
		ask_once(node, op, 0, 0);
}

/* Reads the node's memory over RDMA, or else asks. */
static void read_or_ask(struct zs_node *node, struct zslab_op *op, struct zs_share share)
{
	if (node->rdma.attached && share.count)
		zs_readings_begin(node, op, share);
	else
		zs_ask(node, op, share);
}

static int launch_one(struct zs_node *node, struct zslab_op *op, enum zs_op_state state)
{
	struct zslab *client = node->client;

	take_off(client, op, state);
	if (op->kind == ZSLAB_GET && state != ZS_OP_FLYING_ASK)
		read_or_ask(node, op, (struct zs_share){ .count = 1 });
	else
		zs_ask(node, op, (struct zs_share){ .count = 1 });
	zs_op_part_done(client, op, ZSLAB_OK);
	zs_node_pump(node, false);
	return 0;
}

static int launch_drop(struct zslab *client, struct zslab_op *op, enum zs_op_state state)
{
	take_off(client, op, state);
	for (unsigned i = 0; i < client->node_count; i++)
		zs_ask(&client->nodes[i], op, (struct zs_share){ .count = 1 });
	zs_op_part_done(client, op, ZSLAB_OK);
	for (unsigned i = 0; i < client->node_count; i++)
		zs_node_pump(&client->nodes[i], false);
	return 0;
}

/* ---- multi-get ---- */

static void share_out(const struct zslab *client, struct zslab_op *op, struct zs_share *shares)
{
	for (uint32_t i = 0; i < op->item_count; i++) {
		struct zslab_item *item = &op->items[i];
		struct zs_share *share = &shares[zs_topology_node(&client->topology, item->key, item->key_size)];

		item->size = 0;
		item->status = ZSLAB_OK;
		if (share->count++)
			op->items[share->last].next = i;
		else
			share->first = i;
		share->last = i;
	}
}

static int launch_mget(struct zslab *client, struct zslab_op *op, enum zs_op_state state)
{
	struct zs_share few[8] = { { 0 } };
	struct zs_share *shares = few;
	uint32_t left = 0;

	if (client->node_count > sizeof(few) / sizeof(few[0]))
		shares = calloc(client->node_count, sizeof(*shares));
	if (!shares)
		return ZSLAB_ENOMEM;
	share_out(client, op, shares);
	for (unsigned i = 0; i < client->node_count; i++) {
		/* The end of a chain links to nothing in particular; counts end it. */
		if (client->nodes[i].shm.attached)
			zs_shm_mget(&client->nodes[i], op->items, &shares[i].first, &shares[i].count);
		left += shares[i].count;
	}
	if (left) {
		take_off(client, op, state);
		for (unsigned i = 0; i < client->node_count; i++)
			read_or_ask(&client->nodes[i], op, shares[i]);
		zs_op_part_done(client, op, ZSLAB_OK);
		for (unsigned i = 0; i < client->node_count; i++)
			zs_node_pump(&client->nodes[i], false);
	}
	if (shares != few)
		free(shares);
	return !left;
}

/* ---- submit ---- */

static int refuse(struct zslab *client, struct zslab_op *op, int status, const char *why)
{
	if (op->own.state == ZS_OP_IDLE || op->own.state == ZS_OP_DONE)
		snprintf(op->error, sizeof(op->error), "%s", why);
	snprintf(client->error, sizeof(client->error), "%s", why);
	return status;
}

static int launch(struct zslab *client, struct zslab_op *op, enum zs_op_state state)
{
	struct zs_node *node = &client->nodes[0];

	if (op->kind == ZSLAB_MGET)
		return launch_mget(client, op, state);
	if (op->kind == ZSLAB_DROP)
		return launch_drop(client, op, state);
	if (op->kind == ZSLAB_STATS || op->kind == ZSLAB_PING)
		node = &client->nodes[op->node];
	else
		node += zs_topology_node(&client->topology, op->key, op->key_size);
	if (op->kind == ZSLAB_GET && state != ZS_OP_FLYING_ASK && node->shm.attached &&
	    zs_shm_get(node, op->key, op->key_size, op->buffer, op->buffer_size, &op->size, &op->status)) {
		if (op->status)
			zs_op_too_small(client, op);
		return 1;
	}
	return launch_one(node, op, state);
}

int zs_submit(struct zslab *client, struct zslab_op *op, enum zs_op_state state)
{
	char why[ZSLAB_ERROR_MAX];
	int result = zs_check_op(client, op, why, sizeof(why));

	if (result)
		return refuse(client, op, result, why);
	/* Somebody who waits has his own place: the bound is for those who do not. */
	if (state == ZS_OP_FLYING && client->in_flight >= client->max_in_flight)
		return refuse(client, op, ZSLAB_EAGAIN, zslab_error_text(ZSLAB_EAGAIN));
	op->status = ZSLAB_OK;
	op->found = 0;
	op->size = 0;
	op->number = 0;
	op->error[0] = 0;
	result = launch(client, op, state);
	if (result < 0)
		return refuse(client, op, result, zslab_error_text(result));
	client->counters.operations++;
	if (result == 1)
		op->own.state = ZS_OP_DONE;
	return result;
}

/* ---- turns ---- */

static uint64_t next_event(const struct zslab *client)
{
	uint64_t next = client->next_deadline_ns;

	for (unsigned i = 0; i < client->node_count; i++) {
		uint64_t node = zs_node_next(&client->nodes[i]);

		next = node < next ? node : next;
	}
	return next;
}

void zs_pump_all(struct zslab *client)
{
	for (unsigned i = 0; i < client->node_count; i++)
		zs_node_pump(&client->nodes[i], true);
}

/* Milliseconds of a wait, rounded up. */
static int wait_ms(uint64_t now, uint64_t until)
{
	uint64_t ms = until > now ? (until - now + 999999) / 1000000 : 0;

	return ms < 60000 ? (int)ms : 60000;
}

/* Waits for descriptors, at most until `until_ns` (0: not at all), and handles what they say. ZSLAB_OK or ZSLAB_ESYS.
 */
static int look(struct zslab *client, uint64_t until_ns)
{
	struct epoll_event events[EVENTS_MAX];
	int timeout = 0;
	int count;

	if (until_ns && zs_adapter_arm(&client->adapter)) {
		uint64_t next = next_event(client);

		timeout = wait_ms(zs_now(), until_ns < next ? until_ns : next);
	}
	count = epoll_wait(client->epoll, events, EVENTS_MAX, timeout);
	if (count < 0 && errno != EINTR) {
		snprintf(client->error, sizeof(client->error), "epoll_wait: %s", strerror(errno));
		return ZSLAB_ESYS;
	}
	for (int i = 0; i < count; i++) {
		const struct zs_watch *watch = events[i].data.ptr;

		watch->event(watch->owner, events[i].events);
	}
	client->looked_ns = zs_now();
	return ZSLAB_OK;
}

int zs_turn_if_due(struct zslab *client, uint64_t *now_ns)
{
	int status;

	*now_ns = zs_now();
	if (*now_ns - client->looked_ns < LOOK_NS)
		return ZSLAB_OK;
	status = zs_turn(client, 0);
	*now_ns = zs_now();
	return status;
}

int zs_turn(struct zslab *client, uint64_t until_ns)
{
	unsigned in_flight = client->in_flight;
	uint64_t now;

	zs_adapter_pump(&client->adapter);
	zs_pump_all(client);
	if (until_ns)
		zs_adapter_spin(client, until_ns);
	now = zs_now();
	/* Who waited has got something: other descriptors are looked at, but not waited for, and not each time. */
	if (until_ns && client->in_flight < in_flight)
		until_ns = 0;
	else
		client->looked_ns = 0;
	if (now - client->looked_ns >= LOOK_NS && look(client, until_ns))
		return ZSLAB_ESYS;
	now = zs_now();
	if (now >= client->next_deadline_ns)
		zs_expire(client, now);
	if (now >= next_event(client)) {
		for (unsigned i = 0; i < client->node_count; i++)
			zs_node_tick(&client->nodes[i], now);
	}
	zs_pump_all(client);
	return ZSLAB_OK;
}

void zs_arm(struct zslab *client)
{
	struct itimerspec setting = { 0 };
	uint64_t next;

	if (client->timer < 0)
		return;
	next = zs_adapter_arm(&client->adapter) && !client->done ? next_event(client) : 1;
	if (next == UINT64_MAX || (client->timer_ns && client->timer_ns <= next))
		return;
	setting.it_value.tv_sec = (time_t)(next / 1000000000);
	setting.it_value.tv_nsec = (long)(next % 1000000000);
	if (setting.it_value.tv_sec == 0 && setting.it_value.tv_nsec == 0)
		setting.it_value.tv_nsec = 1;
	if (!timerfd_settime(client->timer, TFD_TIMER_ABSTIME, &setting, NULL))
		client->timer_ns = next ? next : 1;
}
