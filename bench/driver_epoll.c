#include "bench/driver_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 256

struct epoll_state {
	int epoll;
	char buffer[ZS_DRIVER_CHUNK];
};

static int epoll_open(struct zs_driver *driver)
{
	struct epoll_state *state = malloc(sizeof(*state));
	int error;

	if (!state)
		return -ENOMEM;
	state->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (state->epoll < 0) {
		error = -errno;
		free(state);
		return error;
	}
	driver->state = state;
	return 0;
}

static void epoll_close(struct zs_driver *driver)
{
	struct epoll_state *state = driver->state;

	close(state->epoll);
	free(state);
}

static int control(struct zs_driver *driver, int operation, unsigned index, uint32_t events)
{
	struct epoll_state *state = driver->state;
	struct epoll_event event = { .events = events, .data.u32 = index };

	return epoll_ctl(state->epoll, operation, driver->connections[index].fd, &event) ? -errno : 0;
}

static int epoll_add(struct zs_driver *driver, unsigned index)
{
	return control(driver, EPOLL_CTL_ADD, index, EPOLLIN);
}

/* Sends what the socket takes. A positive result is an errno; 0 covers "would block" too. */
static int push(struct zs_driver_connection *connection)
{
	while (connection->size) {
		ssize_t sent = send(connection->fd, connection->data, connection->size, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EAGAIN ? 0 : errno;
		connection->data += sent;
		connection->size -= (size_t)sent;
	}
	return 0;
}

/* An error of the socket is left to be reported by the event loop, which sees it as well. */
static bool epoll_send(struct zs_driver *driver, unsigned index)
{
	struct zs_driver_connection *connection = &driver->connections[index];

	if (!push(connection) && !connection->size)
		return true;
	connection->busy = true;
	control(driver, EPOLL_CTL_MOD, index, EPOLLIN | EPOLLOUT);
	return false;
}

static void writable(struct zs_driver *driver, unsigned index)
{
	struct zs_driver_connection *connection = &driver->connections[index];
	int error = push(connection);

	if (error) {
		zs_driver_lost(driver, index, error);
		return;
	}
	if (connection->size)
		return;
	connection->busy = false;
	control(driver, EPOLL_CTL_MOD, index, EPOLLIN);
	driver->events.sent(driver->events.context, index);
}

static void readable(struct zs_driver *driver, unsigned index)
{
	struct epoll_state *state = driver->state;
	ssize_t got = recv(driver->connections[index].fd, state->buffer, sizeof(state->buffer), 0);

	if (got > 0) {
		driver->events.data(driver->events.context, index, state->buffer, (size_t)got);
		return;
	}
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	control(driver, EPOLL_CTL_DEL, index, 0);
	zs_driver_lost(driver, index, got ? errno : 0);
}

static int epoll_wait_events(struct zs_driver *driver, int timeout_ms)
{
	struct epoll_state *state = driver->state;
	struct epoll_event events[EVENTS];
	int count = epoll_wait(state->epoll, events, EVENTS, timeout_ms);

	if (count < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < count; i++) {
		unsigned index = events[i].data.u32;

		if (events[i].events & EPOLLOUT && driver->connections[index].busy)
			writable(driver, index);
		if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && driver->connections[index].open)
			readable(driver, index);
	}
	return 0;
}

const struct zs_driver_kind zs_driver_epoll = {
	"epoll", epoll_open, epoll_close, epoll_add, epoll_send, epoll_wait_events,
};
