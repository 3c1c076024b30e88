/*
 * Runs a trace against a cache in the lookaside manner: look up, and store what was missed. Hits are counted
 * after a warm-up, the first `warmup` (0..1) of the accesses.
 */
#ifndef ZS_BENCH_REPLAY_H
#define ZS_BENCH_REPLAY_H

#include <stdint.h>

#include "bench/net.h"
#include "bench/trace.h"
#include "bench/yardstick.h"
#include "server/engine/engine.h"

struct zs_replay_result {
	uint64_t lookups;
	uint64_t hits;
	double objects;	  /* held on average after the warm-up; not filled in for servers */
	uint64_t evicted; /* objects, by the engine; not filled in otherwise */
	double moved;	  /* copies forward by eviction for each access, by the engine */
	double seconds;
};

/* Percent; 0 if nothing was looked up. */
double zs_replay_hit_ratio(const struct zs_replay_result *result);

/* 0, or ZS_ENOMEM. */
int zs_replay_yardstick(struct zs_trace *trace, enum zs_yardstick_policy policy, uint64_t capacity, double warmup,
			struct zs_replay_result *result);

/* With one thread and the trace's virtual clock. 0, or an error of the engine, which has been printed. */
int zs_replay_engine(struct zs_trace *trace, enum zs_policy policy, uint64_t memory, double warmup,
		     struct zs_replay_result *result);

struct zs_replay_server {
	const char *address; /* HOST:PORT or unix:PATH */
	enum zs_protocol protocol;
	unsigned depth; /* accesses that travel as one */
	double speed;	/* how much faster than the trace's clock to run; TTLs shrink by as much; 0: as fast as
			 * can be, with TTLs as they are */
};

/*
 * Over a connection. memcached's TTLs are rounded up to seconds. 0, or -1 after having printed what went
 * wrong; an error reply is such a thing.
 */
int zs_replay_server(struct zs_trace *trace, const struct zs_replay_server *server, double warmup,
		     struct zs_replay_result *result);

#endif
