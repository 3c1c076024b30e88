#include "bench/driver_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int open_kind(struct zs_driver *driver, const char *name)
{
	int error;

	if (strcmp(name, zs_driver_uring.name) == 0 || strcmp(name, "auto") == 0) {
		driver->kind = &zs_driver_uring;
		error = driver->kind->open(driver);
		if (!error || strcmp(name, "auto") != 0)
			return error;
	}
	driver->kind = &zs_driver_epoll;
	return driver->kind->open(driver);
}

struct zs_driver *zs_driver_open(const char *kind, unsigned connections, const struct zs_driver_events *events)
{
	struct zs_driver *driver;
	int error;

	if (strcmp(kind, "auto") != 0 && strcmp(kind, zs_driver_uring.name) != 0 &&
	    strcmp(kind, zs_driver_epoll.name) != 0) {
		fprintf(stderr, "'%s' is not a kind of I/O: auto, epoll or io_uring is wanted\n", kind);
		return NULL;
	}
	driver = calloc(1, sizeof(*driver) + connections * sizeof(driver->connections[0]));
	if (!driver) {
		fprintf(stderr, "not enough memory for %u connections\n", connections);
		return NULL;
	}
	driver->events = *events;
	driver->count = connections;
	error = open_kind(driver, kind);
	if (error) {
		fprintf(stderr, "%s cannot be had: %s\n", driver->kind->name, strerror(-error));
		free(driver);
		return NULL;
	}
	return driver;
}

void zs_driver_close(struct zs_driver *driver)
{
	driver->kind->close(driver);
	free(driver);
}

const char *zs_driver_kind(const struct zs_driver *driver)
{
	return driver->kind->name;
}

int zs_driver_add(struct zs_driver *driver, int fd, unsigned index)
{
	assert(index < driver->count && !driver->connections[index].open);
	driver->connections[index] = (struct zs_driver_connection){ .fd = fd, .open = true };
	return driver->kind->add(driver, index);
}

bool zs_driver_send(struct zs_driver *driver, unsigned index, const char *data, size_t size)
{
	struct zs_driver_connection *connection = &driver->connections[index];

	assert(connection->open && !connection->busy && size);
	connection->data = data;
	connection->size = size;
	return driver->kind->send(driver, index);
}

int zs_driver_wait(struct zs_driver *driver, int timeout_ms)
{
	return driver->kind->wait(driver, timeout_ms);
}

void zs_driver_lost(struct zs_driver *driver, unsigned index, int error)
{
	if (!driver->connections[index].open)
		return;
	driver->connections[index].open = false;
	driver->connections[index].busy = false;
	driver->events.closed(driver->events.context, index, error);
}
