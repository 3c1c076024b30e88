/*
 * The latency monitor: for each kind of event, the last times it took at least `latency-monitor-threshold`.
 * Thread-safe.
 */
#ifndef ZS_SERVER_NODE_LATENCY_H
#define ZS_SERVER_NODE_LATENCY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define ZS_LATENCY_SAMPLES 160

enum zs_latency_event {
	ZS_LATENCY_COMMAND,	 /* a command */
	ZS_LATENCY_FAST_COMMAND, /* a command that should take constant time */
	ZS_LATENCY_UPKEEP,	 /* a step of background work */
	ZS_LATENCY_EVENTS,
};

struct zs_latency_sample {
	uint64_t time_s;
	uint64_t ms;
};

struct zs_latency_series {
	struct zs_latency_sample samples[ZS_LATENCY_SAMPLES];
	unsigned next;
	unsigned count;
	uint64_t longest_ms;
};

struct zs_latency {
	pthread_mutex_t lock;
	struct zs_latency_series series[ZS_LATENCY_EVENTS];
};

void zs_latency_init(struct zs_latency *latency);
void zs_latency_free(struct zs_latency *latency);

/* "command", ... */
const char *zs_latency_name(enum zs_latency_event event);

/* Adds a sample; of several within one second the longest counts. */
void zs_latency_add(struct zs_latency *latency, enum zs_latency_event event, uint64_t time_s, uint64_t ms);

/* A copy of one series, oldest sample first, next == 0. */
void zs_latency_copy(struct zs_latency *latency, enum zs_latency_event event, struct zs_latency_series *series);

/* Forgets a series; true if it had samples. */
bool zs_latency_reset(struct zs_latency *latency, enum zs_latency_event event);

#endif
