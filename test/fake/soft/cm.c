#include "test/fake/soft/cm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* How often a cut path is tried again. */
#define REPEAT_NS 10000000

static _Atomic uint16_t next_port = 40000;

/* ---- event channels ---- */

struct rdma_event_channel *rdma_create_event_channel(void)
{
	struct soft_events *e = calloc(1, sizeof(*e));
	struct epoll_event watch = { .events = EPOLLIN };

	if (!e)
		return NULL;
	e->last = &e->first;
	e->channel.fd = epoll_create1(EPOLL_CLOEXEC);
	e->waiting = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
	e->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (!epoll_ctl(e->channel.fd, EPOLL_CTL_ADD, e->waiting, &watch) &&
	    !epoll_ctl(e->channel.fd, EPOLL_CTL_ADD, e->timer, &watch))
		return &e->channel;
	rdma_destroy_event_channel(&e->channel);
	return NULL;
}

/* What the other end said, as this end sees it: what one has under way, the other answers. */
static void fill(struct rdma_conn_param *param, struct soft_event *event, const struct soft_record *record)
{
	memcpy(event->private_data, record->private_data, record->private_size);
	param->private_data = event->private_data;
	param->private_data_len = record->private_size;
	param->responder_resources = record->reads_out;
	param->initiator_depth = record->reads_in;
	param->qp_num = record->number;
}

void soft_tell(struct soft_id *id, enum rdma_cm_event_type type, int status, const struct soft_record *record)
{
	struct soft_events *e = (struct soft_events *)id->id.channel;
	struct soft_event *event = calloc(1, sizeof(*event));

	if (!event)
		return;
	event->event = (struct rdma_cm_event){ .id = &id->id, .event = type, .status = status };
	if (type == RDMA_CM_EVENT_CONNECT_REQUEST)
		event->event.listen_id = &id->listener->id;
	if (record)
		fill(&event->event.param.conn, event, record);
	*e->last = event;
	e->last = &event->next;
	(void)eventfd_write(e->waiting, 1);
}

static struct soft_event *take_event(struct soft_events *e, struct soft_event **link)
{
	struct soft_event *event = *link;
	eventfd_t count;

	*link = event->next;
	if (!*link)
		e->last = link;
	(void)eventfd_read(e->waiting, &count);
	return event;
}

void soft_events_deafen(struct soft_events *e)
{
	struct itimerspec when = { { 0, REPEAT_NS }, { 0, REPEAT_NS } };

	e->is_deaf = true;
	timerfd_settime(e->timer, 0, &when, NULL);
}

static void hear_again(struct soft_events *e)
{
	struct itimerspec never = { 0 };

	e->is_deaf = false;
	timerfd_settime(e->timer, 0, &never, NULL);
	for (struct soft_id *id = e->ids; id; id = id->next) {
		soft_id_watch(id, true);
		soft_id_repeat(id);
	}
}

static void look(struct soft_events *e)
{
	struct epoll_event ready;
	uint64_t expirations;

	if (e->is_deaf && !soft_get(soft_cut))
		hear_again(e);
	/* One at a time: what one brings may end another. */
	while (!e->first && epoll_wait(e->channel.fd, &ready, 1, 0) == 1) {
		if (ready.data.ptr)
			soft_id_ready(ready.data.ptr);
		else
			(void)!read(e->timer, &expirations, sizeof(expirations));
	}
}

int rdma_get_cm_event(struct rdma_event_channel *channel, struct rdma_cm_event **event)
{
	struct soft_events *e = (struct soft_events *)channel;
	struct pollfd wait = { .fd = channel->fd, .events = POLLIN };

	look(e);
	while (!e->first && !(fcntl(channel->fd, F_GETFL) & O_NONBLOCK)) {
		poll(&wait, 1, -1);
		look(e);
	}
	if (!e->first) {
		errno = EAGAIN;
		return -1;
	}
	*event = &take_event(e, &e->first)->event;
	return 0;
}

int rdma_ack_cm_event(struct rdma_cm_event *event)
{
	free(event);
	return 0;
}

const char *rdma_event_str(enum rdma_cm_event_type type)
{
	return type == RDMA_CM_EVENT_CONNECT_ERROR ? "the connection could not be made" : "event";
}

/* ---- identifiers ---- */

int soft_id_watch(struct soft_id *id, bool watch)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = id };

	watch = watch && id->socket >= 0 && id->state != SOFT_ID_ENDED;
	if (watch == id->is_heard)
		return 0;
	id->is_heard = watch;
	return epoll_ctl(id->id.channel->fd, watch ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, id->socket, &event);
}

struct soft_id *soft_id_new(struct soft_events *events, void *context, enum rdma_port_space space)
{
	struct soft_id *id = calloc(1, sizeof(*id));

	if (!id)
		return NULL;
	id->id.channel = &events->channel;
	id->id.context = context;
	id->id.ps = space;
	id->socket = -1;
	id->next = events->ids;
	events->ids = id;
	return id;
}

static void leave_channel(struct soft_id *id)
{
	struct soft_id **link = &((struct soft_events *)id->id.channel)->ids;

	while (*link != id)
		link = &(*link)->next;
	*link = id->next;
	soft_id_watch(id, false);
}

void soft_id_move(struct soft_id *id, struct soft_events *events)
{
	leave_channel(id);
	id->id.channel = &events->channel;
	id->next = events->ids;
	events->ids = id;
	soft_id_watch(id, true);
}

int rdma_create_id(struct rdma_event_channel *channel, struct rdma_cm_id **made, void *context,
		   enum rdma_port_space space)
{
	struct rdma_event_channel *own = channel ? NULL : rdma_create_event_channel();
	struct soft_id *id = NULL;

	if (space != RDMA_PS_TCP || !soft_context())
		errno = space != RDMA_PS_TCP ? EINVAL : ENODEV;
	else if (channel || own)
		id = soft_id_new((struct soft_events *)(channel ? channel : own), context, space);
	if (!id) {
		if (own)
			rdma_destroy_event_channel(own);
		return -1;
	}
	id->waits = own;
	*made = &id->id;
	return 0;
}

/* Events that nobody has fetched go with it. */
static void release(struct soft_id *id)
{
	struct soft_events *e = (struct soft_events *)id->id.channel;
	struct soft_event **event = &e->first;

	while (*event) {
		if ((*event)->event.id == &id->id)
			free(take_event(e, event));
		else
			event = &(*event)->next;
	}
	leave_channel(id);
	soft_close(id->socket);
	soft_wire_release(id->wire);
	free(id);
}

int rdma_destroy_id(struct rdma_cm_id *cm_id)
{
	struct rdma_event_channel *own = ((struct soft_id *)cm_id)->waits ? cm_id->channel : NULL;

	if (own)
		free(cm_id->event);
	release((struct soft_id *)cm_id);
	if (own)
		rdma_destroy_event_channel(own);
	return 0;
}

/* Its user has destroyed the identifiers that it knows; callers that it never heard of go now. */
static void release_unknown(struct soft_events *e)
{
	for (struct soft_event *event = e->first; event; event = event->next)
		((struct soft_id *)event->event.id)->is_unknown = true;
	while (e->first)
		free(take_event(e, &e->first));
	for (struct soft_id *id = e->ids, *next; id; id = next) {
		next = id->next;
		if (id->is_unknown || id->state == SOFT_ID_EMBRYO)
			release(id);
	}
}

void rdma_destroy_event_channel(struct rdma_event_channel *channel)
{
	struct soft_events *e = (struct soft_events *)channel;

	release_unknown(e);
	close(e->channel.fd);
	close(e->waiting);
	close(e->timer);
	free(e);
}

/* ---- addresses ---- */

static void lead_to_device(struct soft_id *id)
{
	id->id.verbs = soft_context();
	id->id.port_num = 1;
}

int rdma_bind_addr(struct rdma_cm_id *cm_id, struct sockaddr *address)
{
	struct soft_id *id = (struct soft_id *)cm_id;

	if (address->sa_family != AF_INET) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	memcpy(&cm_id->route.addr.src_sin, address, sizeof(struct sockaddr_in));
	id->socket = soft_listen_at(&cm_id->route.addr.src_sin);
	if (id->socket < 0)
		return -1;
	/* Without an address it belongs to no device. */
	if (cm_id->route.addr.src_sin.sin_addr.s_addr != htonl(INADDR_ANY))
		lead_to_device(id);
	return 0;
}

int rdma_listen(struct rdma_cm_id *cm_id, int backlog)
{
	struct soft_id *id = (struct soft_id *)cm_id;

	if (id->socket < 0 || listen(id->socket, backlog))
		return -1;
	id->state = SOFT_ID_LISTENING;
	return soft_id_watch(id, true);
}

int rdma_resolve_addr(struct rdma_cm_id *cm_id, struct sockaddr *from, struct sockaddr *to, int timeout_ms)
{
	struct sockaddr_in *own = &cm_id->route.addr.src_sin;

	(void)timeout_ms;
	if (from || to->sa_family != AF_INET) {
		errno = EINVAL;
		return -1;
	}
	memcpy(&cm_id->route.addr.dst_sin, to, sizeof(struct sockaddr_in));
	*own = (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				     .sin_port = htons(next_port++) };
	lead_to_device((struct soft_id *)cm_id);
	soft_tell((struct soft_id *)cm_id, RDMA_CM_EVENT_ADDR_RESOLVED, 0, NULL);
	return soft_await((struct soft_id *)cm_id, RDMA_CM_EVENT_ADDR_RESOLVED);
}

int rdma_resolve_route(struct rdma_cm_id *cm_id, int timeout_ms)
{
	(void)timeout_ms;
	soft_tell((struct soft_id *)cm_id, RDMA_CM_EVENT_ROUTE_RESOLVED, 0, NULL);
	return soft_await((struct soft_id *)cm_id, RDMA_CM_EVENT_ROUTE_RESOLVED);
}

int rdma_set_option(struct rdma_cm_id *cm_id, int level, int name, void *value, size_t size)
{
	if (level != RDMA_OPTION_ID || name != RDMA_OPTION_ID_ACK_TIMEOUT || size != 1) {
		errno = ENOSYS;
		return -1;
	}
	memcpy(&((struct soft_id *)cm_id)->ack_timeout, value, 1);
	return 0;
}
