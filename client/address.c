#include "client/address.h"

#include <errno.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "client/zslab.h"

static int refuse(const char *text, const char *what, char *why, size_t why_size)
{
	snprintf(why, why_size,
		 "'%.200s' is no address of a node: %s (an address is host:port, [ipv6]:port or unix:/path)", text,
		 what);
	return ZSLAB_EINVAL;
}

static int init_unix(struct zs_address *address, const char *path, char *why, size_t why_size)
{
	struct sockaddr_un *name = (struct sockaddr_un *)(void *)&address->endpoints[0].address;

	if (!*path)
		return refuse(address->text, "the path of the socket is missing", why, why_size);
	if (strlen(path) >= sizeof(name->sun_path)) {
		char what[80];

		snprintf(what, sizeof(what), "the path of a socket has at most %zu bytes", sizeof(name->sun_path) - 1);
		return refuse(address->text, what, why, why_size);
	}
	name->sun_family = AF_UNIX;
	memcpy(name->sun_path, path, strlen(path) + 1);
	address->endpoints[0].size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
	address->count = 1;
	address->is_unix = true;
	return ZSLAB_OK;
}

static bool port_is_valid(const char *port)
{
	size_t digits = strspn(port, "0123456789");

	return digits && digits <= 5 && !port[digits] && strtoul(port, NULL, 10) >= 1 &&
	       strtoul(port, NULL, 10) <= 65535;
}

/* Splits the text into host and port. */
static int init_host(struct zs_address *address, char *why, size_t why_size)
{
	const char *text = address->text;
	const char *host = text;
	const char *end = strrchr(text, ':');
	const char *port = ZS_DEFAULT_PORT;

	if (*text == '[') {
		host = text + 1;
		end = strchr(text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return refuse(text, "after '[' an IPv6 address, then ']' and perhaps ':port'", why, why_size);
		if (end[1])
			port = end + 2;
	} else if (end && strchr(text, ':') == end) {
		port = end + 1;
	} else {
		end = text + strlen(text); /* no port; with several colons a bare IPv6 address */
	}
	if (end == host)
		return refuse(text, "the host is missing", why, why_size);
	if (!port_is_valid(port))
		return refuse(text, "the port must be a number from 1 to 65535", why, why_size);
	address->host = strndup(host, (size_t)(end - host));
	address->port = strdup(port);
	return address->host && address->port ? ZSLAB_OK : ZSLAB_ENOMEM;
}

int zs_address_init(struct zs_address *address, const char *text, char *why, size_t why_size)
{
	char later[ZSLAB_ERROR_MAX];
	int status;

	*address = (struct zs_address){ 0 };
	if (!text || !*text)
		return refuse("", "it is empty", why, why_size);
	address->text = strdup(text);
	if (!address->text)
		goto no_memory;
	status = strncmp(text, "unix:", 5) ? init_host(address, why, why_size)
					   : init_unix(address, address->text + 5, why, why_size);
	if (status == ZSLAB_ENOMEM)
		goto no_memory;
	if (status)
		goto free_address;
	if (!address->is_unix)
		zs_address_resolve(address, later, sizeof(later));
	return ZSLAB_OK;
no_memory:
	snprintf(why, why_size, "not enough memory");
	status = ZSLAB_ENOMEM;
free_address:
	zs_address_free(address);
	return status;
}

void zs_address_free(struct zs_address *address)
{
	free(address->text);
	free(address->host);
	free(address->port);
	*address = (struct zs_address){ 0 };
}

int zs_address_resolve(struct zs_address *address, char *why, size_t why_size)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	struct addrinfo *found = NULL;
	int error;

	if (address->is_unix)
		return ZSLAB_OK;
	error = getaddrinfo(address->host, address->port, &hints, &found);
	if (error) {
		snprintf(why, why_size, "the host name '%.200s' cannot be looked up: %s", address->host,
			 error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
		return ZSLAB_EUNREACHABLE;
	}
	address->count = 0;
	for (struct addrinfo *one = found; one && address->count < ZS_ADDRESS_ENDPOINTS; one = one->ai_next) {
		struct zs_endpoint *endpoint = &address->endpoints[address->count++];

		memcpy(&endpoint->address, one->ai_addr, one->ai_addrlen);
		endpoint->size = one->ai_addrlen;
	}
	freeaddrinfo(found);
	return ZSLAB_OK;
}
