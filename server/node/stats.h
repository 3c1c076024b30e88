/*
 * What a worker counts. Each worker has its own, which only it writes, so counting shares no cache line; readers add
 * up.
 *
 * RESETS. CONFIG RESETSTAT advances the node's epoch; a worker zeroes its own figures when it sees a new one, and a
 * reader takes figures of an old epoch for zero. So a reset is complete at once, for all commands that start after it.
 */
#ifndef ZS_SERVER_NODE_STATS_H
#define ZS_SERVER_NODE_STATS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "server/node/histogram.h"

/* Commands and subcommands together. */
#define ZS_COMMANDS_MAX 256

#define ZS_ERROR_KINDS 64
#define ZS_ERROR_KIND_SIZE 24

struct zs_command_stats {
	_Atomic uint64_t calls;
	_Atomic uint64_t ns;
	_Atomic uint64_t rejected; /* arity or authentication: not run */
	_Atomic uint64_t failed;   /* answered with an error */
	struct zs_histogram latency;
};

/* Errors by their first word. */
struct zs_error_kind {
	char name[ZS_ERROR_KIND_SIZE];
	uint64_t count;
};

struct zs_stats_of_worker {
	_Atomic uint64_t epoch;
	_Atomic uint64_t commands;
	_Atomic uint64_t bytes_in;
	_Atomic uint64_t bytes_out;
	_Atomic uint64_t errors;
	_Atomic uint64_t overflows; /* clients closed for what they did not read */
	_Atomic uint64_t idle_closed;
	_Atomic uint64_t stalls; /* commands that waited for memory in quarantine */
	pthread_mutex_t error_lock;
	struct zs_error_kind error_kinds[ZS_ERROR_KINDS];
	struct zs_command_stats command[ZS_COMMANDS_MAX];
};

/* NULL if memory is out. */
struct zs_stats_of_worker *zs_stats_new(void);
void zs_stats_free(struct zs_stats_of_worker *stats);

/* Zeroes the figures if `epoch` is new. Only the owning worker. */
void zs_stats_follow(struct zs_stats_of_worker *stats, uint64_t epoch);

/* Counts an error reply, "-ERR ..." . Only the owning worker. */
void zs_stats_error(struct zs_stats_of_worker *stats, const uint8_t *reply, size_t size);

/* Records `times` runs of a command that took `ns` each. Only the owning worker. */
static inline void zs_stats_command(struct zs_stats_of_worker *stats, unsigned id, uint64_t ns, uint64_t times)
{
	struct zs_command_stats *s = &stats->command[id];

	zs_count(&s->calls, times);
	zs_count(&s->ns, ns * times);
	zs_histogram_add(&s->latency, ns, times);
}

#endif
