/* Stream sockets: TCP and Unix. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/transport.h"

/* A host that is gone answers nothing, not even with a reset. Milliseconds that sent bytes may stay unacknowledged. */
#define UNACKNOWLEDGED_MS 10000

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

static int start(const struct zs_endpoint *endpoint, bool *pending)
{
	int fd = socket(endpoint->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (endpoint->address.ss_family != AF_UNIX)
		tune(fd);
	*pending = false;
	if (!connect(fd, (const struct sockaddr *)&endpoint->address, endpoint->size))
		return fd;
	if (errno == EINPROGRESS) {
		*pending = true;
		return fd;
	}
	int error = errno;

	close(fd);
	return -error;
}

static int finish(int fd)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size))
		return -errno;
	return -error;
}

static ssize_t send_bytes(int fd, const void *data, size_t size)
{
	ssize_t n = send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);

	return n < 0 ? -errno : n;
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

static ssize_t receive(int fd, void *data, size_t size, int *passed)
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

	if (!passed) {
		n = recv(fd, data, size, MSG_DONTWAIT);
		return n < 0 ? -errno : n;
	}
	n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	take_descriptors(&message, passed);
	return n;
}

static void stop(int fd)
{
	close(fd);
}

const struct zs_transport zs_transport_socket = { start, finish, send_bytes, receive, stop };
