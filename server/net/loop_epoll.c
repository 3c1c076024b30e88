/* The loop on epoll: level-triggered, one buffer for all receives. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/error.h"
#include "server/net/loop.h"

#define EVENTS 256
#define BUFFER_SIZE 65536u

struct epoll_loop {
	struct zs_loop loop; /* first */
	int epoll_fd;
	int ready;
	struct epoll_event events[EVENTS];
	uint8_t buffer[BUFFER_SIZE];
};

static struct epoll_loop *self(struct zs_loop *loop)
{
	return (struct epoll_loop *)loop;
}

static int open_epoll(const struct zs_loop_handler *handler, struct zs_loop **loop)
{
	struct epoll_loop *e = malloc(sizeof(*e));
	struct epoll_event wake = { .events = EPOLLIN, .data.ptr = 0 };

	if (!e)
		return ZS_ENOMEM;
	e->loop = (struct zs_loop){ .backend = &zs_loop_epoll, .handler = *handler };
	e->ready = 0;
	e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (e->epoll_fd < 0)
		goto free_loop;
	e->loop.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (e->loop.wake_fd < 0)
		goto close_epoll;
	if (epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, e->loop.wake_fd, &wake))
		goto close_wake;
	*loop = &e->loop;
	return ZS_OK;
close_wake:
	close(e->loop.wake_fd);
close_epoll:
	close(e->epoll_fd);
free_loop:
	free(e);
	return ZS_ESYS;
}

static void close_all(struct zs_loop *loop)
{
	struct epoll_loop *e = self(loop);

	zs_loop_release_all(loop);
	close(loop->wake_fd);
	close(e->epoll_fd);
	free(e);
}

static uint32_t interest(const struct zs_connection *c)
{
	return (c->receiving && !c->ended ? (uint32_t)EPOLLIN : 0) | (c->writing ? (uint32_t)EPOLLOUT : 0);
}

static void update(struct epoll_loop *e, struct zs_connection *c)
{
	struct epoll_event event = { .events = interest(c), .data.ptr = c };

	epoll_ctl(e->epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
}

static int add(struct zs_loop *loop, struct zs_connection *c, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };

	return epoll_ctl(self(loop)->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? errno : 0;
}

/* Its events lead to the loop itself, which is nobody's connection. */
static int watch(struct zs_loop *loop, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = loop };

	return epoll_ctl(self(loop)->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? ZS_ESYS : ZS_OK;
}

static void pause_or_resume(struct zs_loop *loop, struct zs_connection *c)
{
	update(self(loop), c);
}

/* Sends what the socket takes. True if the owner was told of the end. */
static void send_some(struct epoll_loop *e, struct zs_connection *c)
{
	struct zs_loop_handler *handler = &e->loop.handler;
	bool was_writing = c->writing;
	int error = 0;

	while (c->send_size) {
		ssize_t n = send(c->fd, c->send_data, c->send_size, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			c->send_data += n;
			c->send_size -= (size_t)n;
		} else if (errno == EAGAIN) {
			break;
		} else if (errno != EINTR) {
			error = errno;
			c->send_size = 0;
		}
	}
	c->writing = c->send_size > 0;
	if (c->writing != was_writing)
		update(e, c);
	if (!c->writing)
		handler->sent(handler->context, c, error);
}

static void send_all(struct zs_loop *loop, struct zs_connection *c, const uint8_t *data, size_t size)
{
	c->send_data = data;
	c->send_size = size;
	send_some(self(loop), c);
}

static void close_connection(struct zs_loop *loop, struct zs_connection *c)
{
	struct epoll_event unused;

	epoll_ctl(self(loop)->epoll_fd, EPOLL_CTL_DEL, c->fd, &unused);
	c->send_size = 0;
	zs_loop_defer_release(loop, c);
}

static void wait_events(struct zs_loop *loop, unsigned timeout_ms)
{
	struct epoll_loop *e = self(loop);

	e->ready = epoll_wait(e->epoll_fd, e->events, EVENTS, (int)timeout_ms);
}

static void end(struct epoll_loop *e, struct zs_connection *c, int error)
{
	c->ended = true;
	update(e, c);
	e->loop.handler.ended(e->loop.handler.context, c, error);
}

static void receive(struct epoll_loop *e, struct zs_connection *c)
{
	ssize_t n;

	do {
		n = recv(c->fd, e->buffer, BUFFER_SIZE, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		e->loop.handler.received(e->loop.handler.context, c, e->buffer, (size_t)n);
	else if (n == 0)
		end(e, c, 0);
	else if (errno != EAGAIN)
		end(e, c, errno);
}

static void handle(struct epoll_loop *e, const struct epoll_event *event)
{
	struct zs_connection *c = event->data.ptr;
	eventfd_t count;

	if (!c) {
		eventfd_read(e->loop.wake_fd, &count);
		e->loop.handler.woken(e->loop.handler.context);
		return;
	}
	if (event->data.ptr == e)
		return;
	if (!c->closing && c->writing && (event->events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		send_some(e, c);
	if (c->closing || c->ended)
		return;
	if (c->receiving)
		receive(e, c);
	else if (event->events & (EPOLLERR | EPOLLHUP))
		end(e, c, ECONNRESET);
}

static size_t dispatch(struct zs_loop *loop)
{
	struct epoll_loop *e = self(loop);
	int count = e->ready;

	e->ready = 0;
	for (int i = 0; i < count; i++)
		handle(e, &e->events[i]);
	zs_loop_release_all(loop);
	return count > 0 ? (size_t)count : 0;
}

const struct zs_loop_backend zs_loop_epoll = {
	.open = open_epoll,
	.close_all = close_all,
	.add = add,
	.watch = watch,
	.carrier = { pause_or_resume, pause_or_resume, send_all, close_connection },
	.wait = wait_events,
	.dispatch = dispatch,
};
