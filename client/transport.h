/*
 * What carries the bytes of operations: a stream that is connected without waiting. One instance for each way there is.
 *
 * Every function that can fail returns 0 or more, or a negative errno.
 */
#ifndef ZS_CLIENT_TRANSPORT_H
#define ZS_CLIENT_TRANSPORT_H

#include <stddef.h>
#include <sys/types.h>

#include "client/address.h"

struct zs_transport {
	/* Begins to connect: the descriptor, on which an epoll set can wait. *pending: it is not connected yet. */
	int (*start)(const struct zs_endpoint *endpoint, bool *pending);
	/* After the descriptor became writable or failed. */
	int (*finish)(int fd);
	ssize_t (*send)(int fd, const void *data, size_t size);
	/*
	 * 0: the peer has closed it. A descriptor that came with the bytes is stored in *passed if `passed` is not NULL
	 * and *passed is -1; it is the caller's. Others are closed.
	 */
	ssize_t (*receive)(int fd, void *data, size_t size, int *passed);
	void (*stop)(int fd);
};

/* TCP and Unix sockets. */
extern const struct zs_transport zs_transport_socket;

#endif
