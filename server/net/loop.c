#include "server/net/loop.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/error.h"

static const char *uring_refusal(int error)
{
	switch (error) {
	case ENOSYS:
		return "the kernel has no io_uring";
	case EPERM:
	case EACCES:
		return "io_uring is forbidden here (a container's seccomp filter or kernel.io_uring_disabled)";
	case EINVAL:
		return "the kernel's io_uring is older than Linux 6.0";
	case ENOMEM:
		return "io_uring got no memory (RLIMIT_MEMLOCK?)";
	default:
		return strerror(error);
	}
}

enum zs_loop_kind zs_loop_choose(enum zs_loop_kind wanted, char *why, size_t why_size)
{
	int error;

	snprintf(why, why_size, "%s", "");
	if (wanted == ZS_LOOP_EPOLL)
		return ZS_LOOP_EPOLL;
	error = zs_loop_uring_try();
	if (!error)
		return ZS_LOOP_URING;
	snprintf(why, why_size, "%s", uring_refusal(error));
	return wanted == ZS_LOOP_AUTO ? ZS_LOOP_EPOLL : ZS_LOOP_AUTO;
}

const char *zs_loop_name(enum zs_loop_kind kind)
{
	static const char *const names[] = { "auto", "io_uring", "epoll" };

	return names[kind];
}

int zs_loop_open(enum zs_loop_kind kind, const struct zs_loop_handler *handler, struct zs_loop **loop)
{
	const struct zs_loop_backend *backend = kind == ZS_LOOP_URING ? &zs_loop_uring : &zs_loop_epoll;

	return backend->open(handler, loop);
}

void zs_loop_close_all(struct zs_loop *loop)
{
	loop->backend->close_all(loop);
}

int zs_loop_add(struct zs_loop *loop, struct zs_connection *connection, int fd)
{
	*connection = (struct zs_connection){ .carrier = &loop->backend->carrier, .fd = fd, .receiving = true };
	return loop->backend->add(loop, connection, fd);
}

void zs_loop_adopt(struct zs_connection *connection, const struct zs_carrier *carrier)
{
	*connection = (struct zs_connection){ .carrier = carrier, .fd = -1, .receiving = true };
}

int zs_loop_watch(struct zs_loop *loop, int fd)
{
	return loop->backend->watch(loop, fd);
}

void zs_loop_pause(struct zs_loop *loop, struct zs_connection *connection)
{
	if (!connection->receiving || connection->closing)
		return;
	connection->receiving = false;
	connection->carrier->pause(loop, connection);
}

void zs_loop_resume(struct zs_loop *loop, struct zs_connection *connection)
{
	if (connection->receiving || connection->closing || connection->ended)
		return;
	connection->receiving = true;
	connection->carrier->resume(loop, connection);
}

void zs_loop_send(struct zs_loop *loop, struct zs_connection *connection, const uint8_t *data, size_t size)
{
	connection->carrier->send(loop, connection, data, size);
}

void zs_loop_close(struct zs_loop *loop, struct zs_connection *connection)
{
	if (connection->closing)
		return;
	connection->closing = true;
	connection->carrier->close(loop, connection);
}

void zs_loop_wait(struct zs_loop *loop, unsigned timeout_ms)
{
	loop->backend->wait(loop, loop->released ? 0 : timeout_ms);
}

size_t zs_loop_dispatch(struct zs_loop *loop)
{
	return loop->backend->dispatch(loop);
}

void zs_loop_wake(struct zs_loop *loop)
{
	int saved_errno = errno;

	eventfd_write(loop->wake_fd, 1);
	errno = saved_errno;
}

void zs_loop_defer_release(struct zs_loop *loop, struct zs_connection *connection)
{
	connection->next_released = loop->released;
	loop->released = connection;
}

void zs_loop_release_all(struct zs_loop *loop)
{
	while (loop->released) {
		struct zs_connection *connection = loop->released;

		loop->released = connection->next_released;
		if (connection->fd >= 0)
			close(connection->fd);
		connection->fd = -1;
		loop->handler.released(loop->handler.context, connection);
	}
}
