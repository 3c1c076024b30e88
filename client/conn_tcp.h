/* Stream sockets: TCP and Unix. */
#ifndef ZS_CLIENT_CONN_TCP_H
#define ZS_CLIENT_CONN_TCP_H

#include <stdbool.h>

#include "client/transport.h"
#include "client/watch.h"

struct zs_socket {
	struct zs_link link;
	struct zs_watch watch;
	int epoll;
	int fd;
	int passed_fd; /* a descriptor that came with the bytes, -1: none */
	bool takes_descriptors;
	bool connecting;
	bool wants_to_write; /* epoll is asked to say when it can */
};

/* With `takes_descriptors`, the first descriptor that the peer passes is kept; others are closed. */
void zs_socket_init(struct zs_socket *socket, struct zs_channel *channel, int epoll, bool takes_descriptors);

/* Closes a descriptor that came. */
void zs_socket_drop_descriptor(struct zs_socket *socket);

#endif
