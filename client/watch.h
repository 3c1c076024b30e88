/* Something with a descriptor that a handle's epoll set waits for: what the set's events carry. */
#ifndef ZS_CLIENT_WATCH_H
#define ZS_CLIENT_WATCH_H

#include <stdint.h>

struct zs_watch {
	void (*event)(void *owner, uint32_t events); /* EPOLLIN and so on */
	void *owner;
};

#endif
