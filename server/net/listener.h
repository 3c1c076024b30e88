/*
 * The sockets that the node listens on.
 */
#ifndef ZS_SERVER_NET_LISTENER_H
#define ZS_SERVER_NET_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "common/options.h"

#define ZS_LISTENERS_MAX 16

struct zs_listener {
	int fd;
	bool is_unix;
	char name[160]; /* "127.0.0.1:7379" or a path */
};

struct zs_listeners {
	struct zs_listener list[ZS_LISTENERS_MAX];
	unsigned count;
	char unix_path[ZS_OPTION_TEXT_MAX];
	dev_t unix_device; /* of the socket file we made, so that no other is removed */
	ino_t unix_inode;
};

/*
 * Listens on all addresses of the settings. A Unix socket file that nobody listens on any more is replaced. On error
 * nothing is left open and `why` is a sentence. ZS_OK, ZS_ESYS or ZS_ECONFIG.
 */
int zs_listeners_open(struct zs_listeners *listeners, struct zs_options *options, char *why, size_t why_size);

/* Closes all, and removes the Unix socket's file. */
void zs_listeners_close(struct zs_listeners *listeners);

#endif
