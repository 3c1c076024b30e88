/*
 * Socket I/O for many connections on one thread, over epoll or over io_uring: the same for the load client
 * and for the do-nothing server, so that both sides of a measurement can be driven either way.
 *
 * Everything runs on the thread that calls zs_driver_wait.
 */
#ifndef ZS_BENCH_DRIVER_H
#define ZS_BENCH_DRIVER_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes that `data` gets at most in one call. */
#define ZS_DRIVER_CHUNK 65536

struct zs_driver;

/* What the owner is told; `index` is the one that the connection was added with. */
struct zs_driver_events {
	/* Bytes arrived. They are valid during the call only. */
	void (*data)(void *context, unsigned index, const char *data, size_t size);
	/* A send that could not be finished at once is finished. */
	void (*sent)(void *context, unsigned index);
	/* The peer closed (error 0) or the connection broke (an errno). No more events for this index. */
	void (*closed)(void *context, unsigned index, int error);
	void *context;
};

/*
 * Makes a driver for `connections` at most. `kind` is "epoll", "io_uring", or "auto" (io_uring if the kernel
 * grants it). NULL after having printed why to standard error. The events are copied.
 */
struct zs_driver *zs_driver_open(const char *kind, unsigned connections, const struct zs_driver_events *events);

/* Does not close the sockets. */
void zs_driver_close(struct zs_driver *driver);

/* "epoll" or "io_uring". */
const char *zs_driver_kind(const struct zs_driver *driver);

/* Begins to receive from a non-blocking socket, which stays the caller's. 0, or a negative errno. */
int zs_driver_add(struct zs_driver *driver, int fd, unsigned index);

/*
 * Sends all of `data`, which must stay as it is until that is done. True: done. False: `sent` will tell;
 * until then nothing else may be sent on this connection.
 */
bool zs_driver_send(struct zs_driver *driver, unsigned index, const char *data, size_t size);

/* Delivers what has happened; waits for it up to timeout_ms (0: not at all). 0, or a negative errno. */
int zs_driver_wait(struct zs_driver *driver, int timeout_ms);

#endif
