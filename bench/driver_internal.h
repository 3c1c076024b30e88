/*
 * What the two kinds of driver have in common.
 */
#ifndef ZS_BENCH_DRIVER_INTERNAL_H
#define ZS_BENCH_DRIVER_INTERNAL_H

#include "bench/driver.h"

struct zs_driver_kind {
	const char *name;
	int (*open)(struct zs_driver *driver); /* 0, or a negative errno */
	void (*close)(struct zs_driver *driver);
	int (*add)(struct zs_driver *driver, unsigned index);
	bool (*send)(struct zs_driver *driver, unsigned index);
	int (*wait)(struct zs_driver *driver, int timeout_ms);
};

extern const struct zs_driver_kind zs_driver_epoll;
extern const struct zs_driver_kind zs_driver_uring;

struct zs_driver_connection {
	int fd;
	bool open;
	bool busy;  /* a send is under way */
	bool ended; /* io_uring: nothing will be received any more */
	int error;  /* io_uring: why; 0: the peer closed */
	const char *data;
	size_t size; /* bytes of it still to be sent */
};

struct zs_driver {
	const struct zs_driver_kind *kind;
	struct zs_driver_events events;
	unsigned count;
	void *state; /* the kind's own */
	struct zs_driver_connection connections[];
};

/* Marks a connection as gone and tells the owner. */
void zs_driver_lost(struct zs_driver *driver, unsigned index, int error);

#endif
