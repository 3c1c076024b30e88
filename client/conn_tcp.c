#include "client/conn_tcp.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/channel.h"

/* A host that is gone answers nothing, not even with a reset. Milliseconds that sent bytes may stay unacknowledged. */
#define UNACKNOWLEDGED_MS 10000

/* Bytes asked for at a time, and such pieces in a row before others have their turn. */
#define RECEIVE_SIZE 16384u
#define RECEIVE_TURNS 16

static struct zs_socket *socket_of(struct zs_link *link)
{
	return (struct zs_socket *)(void *)link;
}

static void break_by_errno(struct zs_socket *s, const char *what, int error)
{
	char why[ZSLAB_ERROR_MAX];

	snprintf(why, sizeof(why), "%s: %s", what, strerror(error));
	zs_channel_break(s->link.channel, ZSLAB_EUNREACHABLE, why);
}

/* ---- connecting ---- */

/* These only make lost connections known sooner: failing is no reason to do without the connection. */
static void tune(int fd)
{
	static const struct {
		int level;
		int name;
		int value;
	} settings[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },   { SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 15 }, { IPPROTO_TCP, TCP_KEEPINTVL, 5 },
		{ IPPROTO_TCP, TCP_KEEPCNT, 3 },   { IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS },
	};

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		(void)setsockopt(fd, settings[i].level, settings[i].name, &settings[i].value, sizeof(int));
}

static int watch(struct zs_socket *s, int operation, bool writing)
{
	struct epoll_event event = { .events = EPOLLIN | (writing ? (uint32_t)EPOLLOUT : 0), .data.ptr = &s->watch };

	s->wants_to_write = writing;
	return epoll_ctl(s->epoll, operation, s->fd, &event) ? -errno : 0;
}

/* Makes a socket that connects, perhaps at once. 0 or a negative errno. */
static int begin(struct zs_socket *s, const struct zs_endpoint *endpoint)
{
	s->fd = socket(endpoint->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return -errno;
	if (endpoint->address.ss_family != AF_UNIX)
		tune(s->fd);
	s->connecting = false;
	if (connect(s->fd, (const struct sockaddr *)&endpoint->address, endpoint->size)) {
		if (errno != EINPROGRESS)
			return -errno;
		s->connecting = true;
	}
	return watch(s, EPOLL_CTL_ADD, s->connecting);
}

static void stop(struct zs_link *link)
{
	struct zs_socket *s = socket_of(link);

	if (s->fd >= 0)
		close(s->fd); /* which takes it out of the epoll set */
	s->fd = -1;
	zs_socket_drop_descriptor(s);
}

static int start(struct zs_link *link, const struct zs_endpoint *endpoint, char *why, size_t why_size)
{
	struct zs_socket *s = socket_of(link);
	int error = begin(s, endpoint);

	if (error) {
		snprintf(why, why_size, "cannot connect: %s", strerror(-error));
		return ZSLAB_EUNREACHABLE;
	}
	if (!s->connecting)
		zs_channel_connected(link->channel);
	return ZSLAB_OK;
}

/* After the descriptor became writable or failed. */
static int connection_error(int fd)
{
	int error = 0;
	socklen_t size = sizeof(error);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) ? errno : error;
}

/* ---- bytes ---- */

static ssize_t send_bytes(struct zs_link *link, const void *data, size_t size)
{
	struct zs_socket *s = socket_of(link);
	ssize_t n;

	do {
		n = send(s->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN)
		return -errno;
	n = n < 0 ? 0 : n;
	if (s->wants_to_write != ((size_t)n < size))
		(void)watch(s, EPOLL_CTL_MOD, (size_t)n < size);
	return n;
}

/* Keeps the first descriptor of a message, closes the others. */
static void take_descriptors(struct msghdr *message, int *passed)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (*passed < 0)
				*passed = fd;
			else
				close(fd);
		}
	}
}

/* Bytes, 0 at the end of the stream, or a negative errno. */
static ssize_t receive_bytes(struct zs_socket *s, void *data, size_t size)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	struct iovec piece = { data, size };
	struct msghdr message = {
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	if (!s->takes_descriptors) {
		n = recv(s->fd, data, size, MSG_DONTWAIT);
		return n < 0 ? -errno : n;
	}
	n = recvmsg(s->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	take_descriptors(&message, &s->passed_fd);
	return n;
}

static void receive(struct zs_link *link)
{
	struct zs_socket *s = socket_of(link);

	for (unsigned i = 0; i < RECEIVE_TURNS; i++) {
		uint8_t *to = zs_channel_room(link->channel, RECEIVE_SIZE);
		ssize_t n;

		if (!to)
			return;
		n = receive_bytes(s, to, RECEIVE_SIZE);
		if (n == -EAGAIN)
			return;
		if (n == -EINTR)
			continue;
		if (n < 0) {
			break_by_errno(s, "the connection broke", (int)-n);
			return;
		}
		if (n == 0) {
			zs_channel_ended(link->channel);
			return;
		}
		if (!zs_channel_received(link->channel, (size_t)n) || (size_t)n < RECEIVE_SIZE)
			return;
	}
}

static void on_event(void *owner, uint32_t events)
{
	struct zs_socket *s = owner;

	if (s->connecting) {
		int error = connection_error(s->fd);

		if (error) {
			break_by_errno(s, "cannot connect", error);
			return;
		}
		s->connecting = false;
		zs_channel_connected(s->link.channel);
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		zs_channel_receive(s->link.channel);
	if (events & EPOLLOUT)
		zs_channel_flush(s->link.channel);
}

/* ---- life ---- */

void zs_socket_drop_descriptor(struct zs_socket *s)
{
	if (s->passed_fd >= 0)
		close(s->passed_fd);
	s->passed_fd = -1;
}

void zs_socket_init(struct zs_socket *s, struct zs_channel *channel, int epoll, bool takes_descriptors)
{
	static const struct zs_transport transport = { start, send_bytes, receive, stop };

	*s = (struct zs_socket){
		.link = { &transport, channel },
		.watch = { on_event, s },
		.epoll = epoll,
		.fd = -1,
		.passed_fd = -1,
		.takes_descriptors = takes_descriptors,
	};
	channel->link = &s->link;
}
