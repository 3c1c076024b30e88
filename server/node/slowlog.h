/*
 * Commands that took long, newest first. Thread-safe.
 */
#ifndef ZS_SERVER_NODE_SLOWLOG_H
#define ZS_SERVER_NODE_SLOWLOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/resp.h"

#define ZS_SLOWLOG_ARGUMENTS 32
#define ZS_SLOWLOG_ARGUMENT_SIZE 128

struct zs_slow_command {
	struct zs_slow_command *next;
	uint64_t id;
	uint64_t time_s; /* since 1970 */
	uint64_t us;
	char address[128];
	char name[128];
	size_t argc;
	/* Texts made for people: "... (100 more bytes)", as Redis does. */
	char *argv[ZS_SLOWLOG_ARGUMENTS];
	size_t sizes[ZS_SLOWLOG_ARGUMENTS];
};

struct zs_slowlog {
	pthread_mutex_t lock;
	struct zs_slow_command *first;
	size_t count;
	uint64_t next_id;
};

void zs_slowlog_init(struct zs_slowlog *log);
void zs_slowlog_free(struct zs_slowlog *log);

/* Adds an entry and drops the oldest beyond max. Without memory nothing is added. */
void zs_slowlog_add(struct zs_slowlog *log, size_t max, const struct zs_slow_command *event,
		    const struct zs_argument *argv, size_t argc);

void zs_slowlog_reset(struct zs_slowlog *log);
size_t zs_slowlog_count(struct zs_slowlog *log);

/* Calls `each` for the newest `count` entries, under the lock. */
void zs_slowlog_each(struct zs_slowlog *log, size_t count,
		     void (*each)(void *context, const struct zs_slow_command *entry), void *context);

#endif
