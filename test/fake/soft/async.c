/*
 * Asynchronous events: of the device, and so of all threads. Each comes once for the process. A queue pair cannot go
 * while somebody looks at an event about it.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "test/fake/soft/soft.h"

struct event {
	struct event *next;
	struct ibv_async_event told;
	struct soft_queue_pair *pair; /* NULL: of the device */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t acknowledged = PTHREAD_COND_INITIALIZER;
static struct event *first;
static struct event **last = &first;
static int descriptor = -1;

int soft_async_open(struct ibv_context *context)
{
	descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
	context->async_fd = descriptor;
	return descriptor < 0 ? -1 : 0;
}

void soft_raise(enum ibv_event_type type, struct soft_queue_pair *pair)
{
	struct event *event = calloc(1, sizeof(*event));

	if (!event)
		return;
	event->told.event_type = type;
	event->told.element.qp = pair ? &pair->qp : NULL;
	event->pair = pair;
	pthread_mutex_lock(&lock);
	*last = event;
	last = &event->next;
	(void)eventfd_write(descriptor, 1);
	pthread_mutex_unlock(&lock);
}

static void remove_event(struct event **link)
{
	struct event *event = *link;
	eventfd_t count;

	*link = event->next;
	if (!*link)
		last = link;
	(void)eventfd_read(descriptor, &count);
	free(event);
}

/* Never blocks. */
int ibv_get_async_event(struct ibv_context *context, struct ibv_async_event *told)
{
	int result = -1;

	(void)context;
	pthread_mutex_lock(&lock);
	if (first) {
		*told = first->told;
		if (first->pair)
			first->pair->events_out++;
		remove_event(&first);
		result = 0;
	}
	pthread_mutex_unlock(&lock);
	if (result)
		errno = EAGAIN;
	return result;
}

static bool is_of_pair(enum ibv_event_type type)
{
	return type == IBV_EVENT_QP_FATAL || type == IBV_EVENT_QP_LAST_WQE_REACHED;
}

void ibv_ack_async_event(struct ibv_async_event *told)
{
	if (!is_of_pair(told->event_type))
		return;
	pthread_mutex_lock(&lock);
	((struct soft_queue_pair *)told->element.qp)->events_out--;
	pthread_cond_broadcast(&acknowledged);
	pthread_mutex_unlock(&lock);
}

void soft_forget_events(struct soft_queue_pair *pair)
{
	struct event **link = &first;

	pthread_mutex_lock(&lock);
	while (*link) {
		if ((*link)->pair == pair)
			remove_event(link);
		else
			link = &(*link)->next;
	}
	while (pair->events_out)
		pthread_cond_wait(&acknowledged, &lock);
	pthread_mutex_unlock(&lock);
}
