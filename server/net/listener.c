#include "server/net/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/error.h"
#include "server/node/settings.h"

static void add(struct zs_listeners *listeners, int fd, bool is_unix, const char *name)
{
	struct zs_listener *l = &listeners->list[listeners->count++];

	l->fd = fd;
	l->is_unix = is_unix;
	snprintf(l->name, sizeof(l->name), "%.159s", name);
}

static const char *bind_hint(int error)
{
	switch (error) {
	case EADDRINUSE:
		return "; another program listens there, choose another 'port'";
	case EADDRNOTAVAIL:
		return "; 'bind' must name addresses of this host";
	case EACCES:
		return "; ports below 1024 need a privilege, choose another 'port'";
	default:
		return "";
	}
}

static int listen_on(const struct addrinfo *info, int backlog)
{
	int on = 1;
	int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (info->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, info->ai_addr, info->ai_addrlen) || listen(fd, backlog)) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

/* "127.0.0.1:7379" or "[::1]:7379" */
static void print_numeric(const struct addrinfo *info, char *name, size_t size)
{
	char host[64] = "?";
	char port[16] = "?";

	getnameinfo(info->ai_addr, info->ai_addrlen, host, sizeof(host), port, sizeof(port),
		    NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(name, size, info->ai_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* Listens on each of the addresses that one name stands for. An errno; 0 if one at least could be had. */
static int listen_on_all(struct zs_listeners *listeners, const struct addrinfo *info, int backlog)
{
	unsigned before = listeners->count;
	char name[160];
	int error = 0;

	for (; info && listeners->count + 1 < ZS_LISTENERS_MAX; info = info->ai_next) {
		int fd = listen_on(info, backlog);

		if (fd >= 0) {
			print_numeric(info, name, sizeof(name));
			add(listeners, fd, false, name);
			continue;
		}
		error = errno;
		if (error != EAFNOSUPPORT && error != EADDRNOTAVAIL)
			return error; /* a host without IPv6 is no reason to fail, a port in use is */
	}
	return listeners->count > before ? 0 : error;
}

static int open_address(struct zs_listeners *listeners, struct zs_options *options, const char *address, char *why,
			size_t why_size)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	bool all = strcmp(address, "*") == 0;
	struct addrinfo *info;
	char port[16];
	char name[160];
	int error;

	snprintf(port, sizeof(port), "%d", (int)zs_options_number(options, ZS_SET_PORT));
	snprintf(name, sizeof(name), "%.128s:%s", address, port);
	error = getaddrinfo(all ? 0 : address, port, &hints, &info);
	if (error) {
		snprintf(why, why_size, "'bind' has %.128s, which is no address of a host: %s", address,
			 gai_strerror(error));
		return ZS_ECONFIG;
	}
	error = listen_on_all(listeners, info, (int)zs_options_number(options, ZS_SET_TCP_BACKLOG));
	freeaddrinfo(info);
	if (!error)
		return ZS_OK;
	snprintf(why, why_size, "cannot listen on %s: %s%s", name, strerror(error), bind_hint(error));
	return ZS_ESYS;
}

static int open_tcp(struct zs_listeners *listeners, struct zs_options *options, char *why, size_t why_size)
{
	char list[ZS_OPTION_TEXT_MAX];
	char *rest = 0;
	int result = ZS_OK;

	zs_options_text(options, ZS_SET_BIND, list);
	for (char *a = strtok_r(list, " \t", &rest); a && !result; a = strtok_r(0, " \t", &rest)) {
		if (listeners->count + 1 == ZS_LISTENERS_MAX) {
			snprintf(why, why_size, "'bind' has too many addresses: there may be %d", ZS_LISTENERS_MAX - 1);
			return ZS_ECONFIG;
		}
		result = open_address(listeners, options, a, why, why_size);
	}
	return result;
}

/* Does a server answer at this path? */
static bool somebody_listens(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool yes;

	if (fd < 0)
		return true; /* better to refuse than to take a path away */
	yes = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno != ECONNREFUSED;
	close(fd);
	return yes;
}

/* Removes the file of a server that is gone. False (and why) if the path is not ours to take. */
static bool clear_path(const struct sockaddr_un *address, char *why, size_t why_size)
{
	struct stat st;

	if (lstat(address->sun_path, &st))
		return true;
	if (!S_ISSOCK(st.st_mode)) {
		snprintf(why, why_size,
			 "cannot listen on %s: a file that is no socket lies there; choose another 'unixsocket'",
			 address->sun_path);
		return false;
	}
	if (somebody_listens(address)) {
		snprintf(why, why_size,
			 "cannot listen on %s: another program listens there; choose another 'unixsocket'",
			 address->sun_path);
		return false;
	}
	unlink(address->sun_path);
	return true;
}

static int bind_unix(struct zs_listeners *listeners, const struct sockaddr_un *address, mode_t mode, int backlog)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct stat st;
	int error;

	if (fd < 0)
		return -1;
	/* Nobody can connect before listen(), so the permissions are right from the first connection on. */
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)))
		goto fail;
	if (chmod(address->sun_path, mode) || lstat(address->sun_path, &st) || listen(fd, backlog)) {
		error = errno;
		unlink(address->sun_path);
		errno = error;
		goto fail;
	}
	listeners->unix_device = st.st_dev;
	listeners->unix_inode = st.st_ino;
	return fd;
fail:
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static int open_unix(struct zs_listeners *listeners, struct zs_options *options, char *why, size_t why_size)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char path[ZS_OPTION_TEXT_MAX];
	int fd;

	zs_options_text(options, ZS_SET_UNIXSOCKET, path);
	if (!*path)
		return ZS_OK;
	if (strlen(path) >= sizeof(address.sun_path)) {
		snprintf(why, why_size, "'unixsocket' is too long: a path may have %zu bytes",
			 sizeof(address.sun_path) - 1);
		return ZS_ECONFIG;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (!clear_path(&address, why, why_size))
		return ZS_ESYS;
	fd = bind_unix(listeners, &address, (mode_t)zs_options_number(options, ZS_SET_UNIXSOCKETPERM),
		       (int)zs_options_number(options, ZS_SET_TCP_BACKLOG));
	if (fd < 0) {
		snprintf(why, why_size,
			 "cannot listen on %.108s: %s; 'unixsocket' must be a path in a writable directory", path,
			 strerror(errno));
		return ZS_ESYS;
	}
	memcpy(listeners->unix_path, path, sizeof(path));
	add(listeners, fd, true, path);
	return ZS_OK;
}

int zs_listeners_open(struct zs_listeners *listeners, struct zs_options *options, char *why, size_t why_size)
{
	int result = ZS_OK;

	*listeners = (struct zs_listeners){ 0 };
	if (zs_options_number(options, ZS_SET_PORT))
		result = open_tcp(listeners, options, why, why_size);
	if (!result)
		result = open_unix(listeners, options, why, why_size);
	if (result)
		zs_listeners_close(listeners);
	return result;
}

void zs_listeners_close(struct zs_listeners *listeners)
{
	struct stat st;

	for (unsigned i = 0; i < listeners->count; i++)
		close(listeners->list[i].fd);
	listeners->count = 0;
	if (listeners->unix_path[0] && !lstat(listeners->unix_path, &st) && st.st_ino == listeners->unix_inode &&
	    st.st_dev == listeners->unix_device)
		unlink(listeners->unix_path);
	listeners->unix_inode = 0; /* the path itself stays: workers that still run show it */
}
