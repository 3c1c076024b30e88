/* Completion queues, and the channels that tell of them. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "test/fake/soft/soft.h"

enum { EVENTS = 16 };

/* How often a cut path is tried again. */
#define REPEAT_NS 10000000

/* Its descriptor is readable when a queue that was armed has an event, or may have one. */
struct channel {
	struct ibv_comp_channel channel; /* fd: an epoll, of `events` and of the armed queues */
	int events;			 /* counts those to be fetched */
	struct soft_completions *queues;
};

/* ---- channels ---- */

static int watch(int epoll, int fd, void *owner)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = owner };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

struct ibv_comp_channel *ibv_create_comp_channel(struct ibv_context *context)
{
	struct channel *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->channel.context = context;
	c->channel.fd = epoll_create1(EPOLL_CLOEXEC);
	c->events = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
	if (!watch(c->channel.fd, c->events, NULL))
		return &c->channel;
	ibv_destroy_comp_channel(&c->channel);
	return NULL;
}

int ibv_destroy_comp_channel(struct ibv_comp_channel *channel)
{
	struct channel *c = (struct channel *)channel;

	if (c->queues)
		return EBUSY;
	close(c->channel.fd);
	close(c->events);
	free(c);
	return 0;
}

/* Never blocks. */
int ibv_get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **cq, void **context)
{
	struct channel *c = (struct channel *)channel;
	eventfd_t count;

	for (struct soft_completions *q = c->queues; q; q = q->next_of_channel) {
		if (q->armed)
			soft_progress(q, 0);
		if (!q->has_event)
			continue;
		q->has_event = false;
		(void)eventfd_read(c->events, &count);
		*cq = &q->cq;
		*context = q->cq.cq_context;
		return 0;
	}
	errno = EAGAIN;
	return -1;
}

void ibv_ack_cq_events(struct ibv_cq *cq, unsigned count)
{
	cq->comp_events_completed += count;
}

int soft_notify(struct ibv_cq *cq, int solicited)
{
	struct soft_completions *q = (struct soft_completions *)cq;

	(void)solicited;
	if (!cq->channel)
		return EINVAL;
	if (q->armed)
		return 0;
	/* What is there already wakes nobody. */
	soft_progress(q, soft_get(soft_arm_ms));
	if (watch(cq->channel->fd, q->epoll, q))
		return errno;
	q->armed = true;
	return 0;
}

/* ---- queues ---- */

struct ibv_cq *ibv_create_cq(struct ibv_context *context, int size, void *owner, struct ibv_comp_channel *channel,
			     int vector)
{
	struct soft_completions *q = calloc(1, sizeof(*q));

	(void)vector;
	if (!q)
		return NULL;
	q->cq.context = context;
	q->cq.channel = channel;
	q->cq.cq_context = owner;
	q->cq.cqe = size;
	q->size = (unsigned)size;
	q->next_ns = UINT64_MAX;
	q->ring = calloc(q->size, sizeof(q->ring[0]));
	q->epoll = epoll_create1(EPOLL_CLOEXEC);
	q->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (channel) {
		struct channel *c = (struct channel *)channel;

		q->next_of_channel = c->queues;
		c->queues = q;
	}
	if (q->ring && !watch(q->epoll, q->timer, NULL))
		return &q->cq;
	ibv_destroy_cq(&q->cq);
	return NULL;
}

int ibv_destroy_cq(struct ibv_cq *cq)
{
	struct soft_completions *q = (struct soft_completions *)cq;
	struct channel *c = (struct channel *)cq->channel;

	if (q->pairs)
		return EBUSY;
	if (c) {
		struct soft_completions **link = &c->queues;

		while (*link != q)
			link = &(*link)->next_of_channel;
		*link = q->next_of_channel;
	}
	close(q->epoll);
	close(q->timer);
	free(q->ring);
	free(q);
	return 0;
}

static void tell(struct soft_completions *q)
{
	struct channel *c = (struct channel *)q->cq.channel;

	q->armed = false;
	q->has_event = true;
	epoll_ctl(c->channel.fd, EPOLL_CTL_DEL, q->epoll, NULL);
	(void)eventfd_write(c->events, 1);
}

void soft_complete(struct soft_completions *q, const struct ibv_wc *completion)
{
	/* Who makes a queue too short loses completions, with any device. */
	if (q->next - q->first == q->size) {
		soft_raise(IBV_EVENT_CQ_ERR, NULL);
		return;
	}
	q->ring[q->next++ % q->size] = *completion;
	if (q->armed)
		tell(q);
}

/* ---- what goes on ---- */

void soft_expect(struct soft_completions *q, uint64_t when_ns)
{
	struct itimerspec when = { 0 };

	if (when_ns >= q->next_ns)
		return;
	q->next_ns = when_ns;
	when.it_value.tv_sec = (time_t)(when_ns / 1000000000u);
	when.it_value.tv_nsec = (long)(when_ns % 1000000000u);
	timerfd_settime(q->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void work_on_all(struct soft_completions *q)
{
	uint64_t now_ns = soft_now_ns();
	uint64_t expirations;

	if (now_ns < q->next_ns)
		return;
	(void)!read(q->timer, &expirations, sizeof(expirations));
	q->next_ns = UINT64_MAX;
	for (struct soft_queue_pair *pair = q->pairs; pair; pair = pair->next_pair)
		soft_expect(q, soft_work(pair, now_ns));
}

static void hear_again(struct soft_completions *q)
{
	q->is_deaf = false;
	for (struct soft_queue_pair *pair = q->pairs; pair; pair = pair->next_pair)
		soft_listen_to(pair, true);
}

void soft_progress(struct soft_completions *q, uint64_t wait_ms)
{
	struct epoll_event ready[EVENTS];
	int count;

	if (q->is_deaf && !soft_get(soft_cut))
		hear_again(q);
	count = epoll_wait(q->epoll, ready, EVENTS, (int)wait_ms);
	for (int i = 0; i < count; i++) {
		if (ready[i].data.ptr)
			soft_take_messages(ready[i].data.ptr);
	}
	if (q->next_ns != UINT64_MAX)
		work_on_all(q);
	if (q->is_deaf)
		soft_expect(q, soft_now_ns() + REPEAT_NS);
}

int soft_poll(struct ibv_cq *cq, int most, struct ibv_wc *completions)
{
	struct soft_completions *q = (struct soft_completions *)cq;
	int count = 0;

	if (q->first == q->next)
		soft_progress(q, soft_get(soft_stall_ms));
	while (count < most && q->first != q->next)
		completions[count++] = q->ring[q->first++ % q->size];
	return count;
}
