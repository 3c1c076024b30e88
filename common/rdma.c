/* The endpoint: its descriptors, deadlines and the pump. */
#include "common/rdma.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/error.h"
#include "common/rdma_internal.h"

/* Looking at descriptors is a system call, polling for completions is none: a busy endpoint does the first rarely. */
#define LOOK_EVERY_NS 1000000u

/* Completions taken before other things have their turn. */
#define COMPLETIONS_AT_A_TIME 256u

/* Nor does every pump read the clock: who spins has done so a moment ago. */
#define PUMPS_PER_CLOCK 16u

#define NEVER UINT64_MAX

void zs_rdma_options_init(struct zs_rdma_options *options)
{
	*options = (struct zs_rdma_options){
		.connections = 1,
		.reads = 128,
		.depth = 16,
		.window = 8,
		.receives = 10,
		.sends = 8,
		.connect_timeout_ms = 3000,
		.read_timeout_ms = 1000,
		.retry_count = 3,
		.ack_timeout = 16,
	};
}

static int check_options(const struct zs_rdma_options *o, char *why, size_t why_size)
{
	const struct {
		const char *name;
		unsigned value;
		unsigned low;
		unsigned high;
	} ranges[] = {
		{ "connections", o->connections, 1, 4096 },
		{ "reads", o->reads, 1, 1024 },
		{ "depth", o->depth, 1, 128 },
		{ "window", o->window, ZS_RDMA_WINDOW_MIN, ZS_RDMA_WINDOW_MAX },
		{ "receives", o->receives, 4, 65536 },
		{ "sends", o->sends, 1, 65536 },
		{ "connect_timeout_ms", o->connect_timeout_ms, 1, 600000 },
		{ "read_timeout_ms", o->read_timeout_ms, 1, 600000 },
		{ "retry_count", o->retry_count, 0, 6 },
		{ "ack_timeout", o->ack_timeout, 1, 31 },
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		if (ranges[i].value < ranges[i].low || ranges[i].value > ranges[i].high) {
			snprintf(why, why_size, "%s is %u; it must be %u to %u", ranges[i].name, ranges[i].value,
				 ranges[i].low, ranges[i].high);
			return ZS_EINVAL;
		}
	}
	return ZS_OK;
}

static int open_descriptors(struct zs_rdma *rdma, char *why, size_t why_size)
{
	rdma->epoll = epoll_create1(EPOLL_CLOEXEC);
	rdma->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (rdma->epoll < 0 || rdma->timer < 0 || zs_rdma_watch(rdma, rdma->timer)) {
		snprintf(why, why_size, "cannot make the endpoint's descriptors: %s", strerror(errno));
		return ZS_ESYS;
	}
	rdma->events = zs_verbs.rdma_create_event_channel();
	if (!rdma->events) {
		snprintf(why, why_size, "this machine has no RDMA connection manager: %s", strerror(errno));
		return ZS_ESYS;
	}
	if (zs_rdma_watch(rdma, rdma->events->fd)) {
		snprintf(why, why_size, "cannot watch the RDMA connection manager: %s", strerror(errno));
		return ZS_ESYS;
	}
	return ZS_OK;
}

/* The table of connections by number of their queue pairs, and the buffers. */
static int make_tables(struct zs_rdma *rdma)
{
	uint32_t chains = 1;

	while (chains < rdma->options.connections)
		chains *= 2;
	rdma->number_mask = chains - 1;
	rdma->by_number = calloc(chains, sizeof(void *));
	return rdma->by_number ? zs_rdma_buffers_make(rdma) : ZS_ENOMEM;
}

int zs_rdma_open(struct zs_rdma **rdma, const struct zs_rdma_options *options, char *why, size_t why_size)
{
	struct zs_rdma *r;
	int error = check_options(options, why, why_size);

	*rdma = NULL;
	if (!error)
		error = zs_verbs_load(why, why_size);
	if (error)
		return error;
	r = calloc(1, sizeof(*r) + options->connections * sizeof(r->slots[0]));
	if (!r) {
		snprintf(why, why_size, "%s", zs_error_text(ZS_ENOMEM));
		return ZS_ENOMEM;
	}
	r->options = *options;
	r->starved_end = &r->starved;
	/* READs, a window of messages and two empty ones, and one to bind a memory window. */
	r->requests_max = options->reads + options->window + 3;
	if (!r->options.clock)
		r->options.clock = zs_clock_system();
	r->epoll = -1;
	r->timer = -1;
	r->next_deadline_ns = NEVER;
	error = make_tables(r);
	if (error)
		snprintf(why, why_size, "%s", zs_error_text(error));
	else
		error = open_descriptors(r, why, why_size);
	if (error)
		zs_rdma_free(r);
	else
		*rdma = r;
	return error;
}

void zs_rdma_free(struct zs_rdma *rdma)
{
	if (!rdma)
		return;
	for (unsigned i = 0; i < rdma->options.connections; i++) {
		if (rdma->slots[i].connection)
			zs_rdma_close(rdma->slots[i].connection);
	}
	zs_rdma_reap(rdma);
	if (rdma->listener)
		zs_verbs.rdma_destroy_id(rdma->listener);
	zs_rdma_device_release(rdma);
	if (rdma->events)
		zs_verbs.rdma_destroy_event_channel(rdma->events);
	if (rdma->timer >= 0)
		close(rdma->timer);
	if (rdma->epoll >= 0)
		close(rdma->epoll);
	zs_rdma_buffers_free(rdma);
	free(rdma->by_number);
	free(rdma);
}

int zs_rdma_fd(const struct zs_rdma *rdma)
{
	return rdma->epoll;
}

const struct zs_clock *zs_rdma_clock(const struct zs_rdma *rdma)
{
	return rdma->options.clock;
}

unsigned zs_rdma_connections(const struct zs_rdma *rdma)
{
	return rdma->connections;
}

uint64_t zs_rdma_pinned(const struct zs_rdma *rdma)
{
	return rdma->pinned;
}

/* ---- events ---- */

/* An event is given back before anything is done about it: its identifier may have to be destroyed. */
static bool take_cm_event(struct zs_rdma *rdma)
{
	struct rdma_cm_event *event;
	struct rdma_cm_event copy;
	uint8_t data[UINT8_MAX];

	if (zs_verbs.rdma_get_cm_event(rdma->events, &event))
		return false;
	copy = *event;
	if (copy.param.conn.private_data && copy.param.conn.private_data_len) {
		memcpy(data, copy.param.conn.private_data, copy.param.conn.private_data_len);
		copy.param.conn.private_data = data;
	} else {
		copy.param.conn.private_data = data;
		copy.param.conn.private_data_len = 0;
	}
	zs_verbs.rdma_ack_cm_event(event);
	zs_rdma_on_event(rdma, &copy);
	return true;
}

static void break_all(struct zs_rdma *rdma, const char *why)
{
	for (unsigned i = 0; i < rdma->options.connections; i++) {
		if (rdma->slots[i].connection)
			zs_rdma_break(rdma->slots[i].connection, "%s", why);
	}
}

/*
 * All endpoints of a process that use one device see each other's events, and each event is seen by one of them only.
 * So they are a help and nothing that is relied on: what is another's is left alone, and what is missed is found out by
 * a request that fails, or by silence.
 */
static bool take_async_event(struct zs_rdma *rdma)
{
	struct ibv_async_event event;
	struct zs_rdma_connection *connection = NULL;

	if (!rdma->device.verbs || zs_verbs.ibv_get_async_event(rdma->device.verbs, &event))
		return false;
	switch (event.event_type) {
	case IBV_EVENT_QP_FATAL:
	case IBV_EVENT_QP_REQ_ERR:
	case IBV_EVENT_QP_ACCESS_ERR:
	case IBV_EVENT_COMM_EST:
		connection = zs_rdma_of_number(rdma, event.element.qp->qp_num);
		break;
	default:
		break;
	}
	zs_verbs.ibv_ack_async_event(&event);
	if (connection)
		zs_rdma_on_async(connection, event.event_type);
	else if (event.event_type == IBV_EVENT_DEVICE_FATAL || event.event_type == IBV_EVENT_CQ_ERR ||
		 event.event_type == IBV_EVENT_SRQ_ERR)
		break_all(rdma, "the RDMA device failed");
	return true;
}

static bool take_wake_up(struct zs_rdma *rdma)
{
	struct ibv_cq *cq;
	void *context;

	if (!rdma->device.channel || zs_verbs.ibv_get_cq_event(rdma->device.channel, &cq, &context))
		return false;
	zs_verbs.ibv_ack_cq_events(cq, 1);
	rdma->device.armed = false;
	return true;
}

static unsigned take_events(struct zs_rdma *rdma)
{
	struct epoll_event ready[4];
	int count = epoll_wait(rdma->epoll, ready, 4, 0);
	unsigned taken = 0;
	uint64_t expirations;

	for (int i = 0; i < count; i++) {
		if (ready[i].data.fd == rdma->events->fd) {
			while (take_cm_event(rdma))
				taken++;
		} else if (ready[i].data.fd == rdma->timer) {
			(void)!read(rdma->timer, &expirations, sizeof(expirations));
		} else {
			while (take_async_event(rdma))
				taken++;
			while (take_wake_up(rdma))
				;
		}
	}
	return taken;
}

/* ---- deadlines ---- */

static uint64_t deadline_of(const struct zs_rdma_connection *c)
{
	if (c->state == ZS_RDMA_BROKEN)
		return NEVER;
	if (c->state != ZS_RDMA_READY)
		return c->deadline_ns;
	return c->first == c->next ? NEVER : c->requests[c->first % c->rdma->requests_max].deadline_ns;
}

static unsigned meet_deadlines(struct zs_rdma *rdma, uint64_t now_ns)
{
	unsigned count = 0;

	if (now_ns < rdma->next_deadline_ns)
		return 0;
	rdma->next_deadline_ns = NEVER;
	for (unsigned i = 0; i < rdma->options.connections; i++) {
		struct zs_rdma_connection *c = rdma->slots[i].connection;

		if (!c)
			continue;
		if (deadline_of(c) <= now_ns) {
			count++;
			if (c->state == ZS_RDMA_READY)
				zs_rdma_break(c, "the peer did not answer within %u ms", rdma->options.read_timeout_ms);
			else
				zs_rdma_break(c, "no connection came about within %u ms",
					      rdma->options.connect_timeout_ms);
		} else {
			zs_rdma_expect_by(rdma, deadline_of(c));
		}
	}
	return count;
}

static void set_timer(struct zs_rdma *rdma)
{
	uint64_t now_ns = zs_clock_ns(rdma->options.clock);
	uint64_t wait_ns = 0;
	struct itimerspec when = { 0 };

	if (rdma->next_deadline_ns != NEVER)
		wait_ns = rdma->next_deadline_ns > now_ns ? rdma->next_deadline_ns - now_ns : 1;
	when.it_value.tv_sec = (time_t)(wait_ns / 1000000000u);
	when.it_value.tv_nsec = (long)(wait_ns % 1000000000u);
	timerfd_settime(rdma->timer, 0, &when, NULL);
}

/* ---- the pump ---- */

/* What does not come as a completion. */
static unsigned look_around(struct zs_rdma *rdma)
{
	uint64_t now_ns = zs_clock_ns(rdma->options.clock);
	unsigned count = 0;

	if (now_ns - rdma->looked_ns >= LOOK_EVERY_NS) {
		rdma->looked_ns = now_ns;
		count += take_events(rdma);
	}
	return count + meet_deadlines(rdma, now_ns);
}

unsigned zs_rdma_pump(struct zs_rdma *rdma)
{
	unsigned count = zs_rdma_take_completions(rdma, COMPLETIONS_AT_A_TIME);

	if (!rdma->looked_ns || ++rdma->pumps % PUMPS_PER_CLOCK == 0)
		count += look_around(rdma);
	if (rdma->reaping)
		zs_rdma_reap(rdma);
	return count;
}

bool zs_rdma_arm(struct zs_rdma *rdma)
{
	/* Wake-ups that are in the channel already are taken first: each was the last until the next is asked for. */
	rdma->looked_ns = 0;
	if (zs_rdma_pump(rdma))
		return false;
	if (rdma->device.cq && !rdma->device.armed) {
		if (ibv_req_notify_cq(rdma->device.cq, 0))
			return false;
		rdma->device.armed = true;
		/* What completed before that wakes nobody. */
		if (zs_rdma_take_completions(rdma, COMPLETIONS_AT_A_TIME))
			return false;
	}
	set_timer(rdma);
	/* The next pump may come from a wake-up. */
	rdma->looked_ns = 0;
	return true;
}
