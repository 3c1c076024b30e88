#include "bench/net.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int connect_unix(const char *server)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = server + strlen("unix:");
	size_t size = strlen(path) + 1;
	int fd;

	if (size > sizeof(address.sun_path)) {
		fprintf(stderr, "%s: the path is longer than %zu bytes\n", server, sizeof(address.sun_path) - 1);
		return -1;
	}
	memcpy(address.sun_path, path, size);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	fprintf(stderr, "cannot connect to %s: %s\n", server, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static int try_addresses(const char *server, const struct addrinfo *list)
{
	int error = 0;

	for (; list; list = list->ai_next) {
		int fd = socket(list->ai_family, list->ai_socktype | SOCK_CLOEXEC, list->ai_protocol);
		int on = 1;

		if (fd >= 0 && !connect(fd, list->ai_addr, list->ai_addrlen)) {
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
			return fd;
		}
		error = errno;
		if (fd >= 0)
			close(fd);
	}
	fprintf(stderr, "cannot connect to %s: %s\n", server, strerror(error));
	return -1;
}

int zs_net_connect(const char *server)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list;
	const char *colon = strrchr(server, ':');
	char host[256];
	int error;
	int fd;

	if (!strncmp(server, "unix:", 5))
		return connect_unix(server);
	if (!colon || (size_t)(colon - server) >= sizeof(host)) {
		fprintf(stderr, "%s: HOST:PORT or unix:PATH is wanted\n", server);
		return -1;
	}
	memcpy(host, server, (size_t)(colon - server));
	host[colon - server] = '\0';
	error = getaddrinfo(host, colon + 1, &hints, &list);
	if (error) {
		fprintf(stderr, "%s: %s\n", server, gai_strerror(error));
		return -1;
	}
	fd = try_addresses(server, list);
	freeaddrinfo(list);
	return fd;
}

bool zs_net_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) >= 0;
}

bool zs_net_pin(unsigned core)
{
	cpu_set_t set;

	if (core >= CPU_SETSIZE) {
		errno = EINVAL;
		return false;
	}
	CPU_ZERO(&set);
	CPU_SET(core, &set);
	return !sched_setaffinity(0, sizeof(set), &set);
}
