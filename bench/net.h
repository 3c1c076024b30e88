/*
 * Sockets and clocks of the load clients.
 */
#ifndef ZS_BENCH_NET_H
#define ZS_BENCH_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum zs_protocol {
	ZS_RESP,
	ZS_MEMCACHED, /* the text protocol */
};

/*
 * Connects to "HOST:PORT" or "unix:PATH". Returns a blocking socket (TCP_NODELAY on TCP), or -1 after having
 * printed to standard error what went wrong.
 */
int zs_net_connect(const char *server);

/* Makes a socket non-blocking. False, and errno, on failure. */
bool zs_net_nonblocking(int fd);

/* Binds the calling thread to one core. False, and errno, if that core cannot be had. */
bool zs_net_pin(unsigned core);

/* Nanoseconds from any origin. Never goes back. */
static inline uint64_t zs_net_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif
