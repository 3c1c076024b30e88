/*
 * The load itself: one thread, many connections, each with one batch of requests under way at a time.
 *
 * Closed loop: a connection sends its next batch as soon as all replies to the last one are there; latency
 * counts from the sending. Open loop (a rate is given): batches fall due at fixed times, whatever the server
 * does; a batch waits for a free connection, and its latency counts from when it was due, so that a stall is
 * seen by all whom it would have hit.
 */
#ifndef ZS_BENCH_LOAD_H
#define ZS_BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/histogram.h"
#include "bench/requests.h"

struct zs_load_options {
	const char *server; /* HOST:PORT or unix:PATH */
	const char *io;	    /* see zs_driver_open */
	unsigned connections;
	unsigned depth; /* operations to a batch */
	double warmup;	/* seconds before the measurement */
	double seconds; /* of the measurement */
	uint64_t total; /* if not 0: exactly so many operations, no warm-up, instead of a time */
	double rate;	/* operations per second; 0: closed loop */
	uint64_t pool;	/* bytes of requests built ahead; 0: build each batch when it is sent */
	bool sleep;	/* sleep when there is nothing to do, instead of spinning on the core */
};

struct zs_load_result {
	const char *io; /* the kind of driver that ran */
	double seconds;
	uint64_t operations;
	uint64_t replies;
	uint64_t reads; /* keys asked for */
	uint64_t hits;
	uint64_t errors;
	char first_error[128];
	double busy;		     /* share of the time that the client spent with events, not waiting for them */
	struct zs_histogram latency; /* nanoseconds, one entry for each reply */
};

/*
 * Runs a load. 0; or -1 when the server could not be reached, closed a connection or broke the protocol,
 * which has then been printed to standard error. Error replies do not end the run: the caller looks at
 * result->errors.
 */
int zs_load_run(const struct zs_load_options *options, struct zs_requests *requests, struct zs_load_result *result);

#endif
