/*
 * Streams of accesses to a cache, made from a seed: the same stream on every machine.
 *
 * Each trace draws keys by Zipf over `keys` popular keys whose ranks drift slowly (two of them change places
 * every ZS_TRACE_DRIFT accesses), mixed with keys that are never seen again and, in one trace, with scans.
 * Time is virtual: `rate` accesses make a second.
 */
#ifndef ZS_BENCH_TRACE_H
#define ZS_BENCH_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "bench/random.h"
#include "bench/zipf.h"

#define ZS_TRACE_DRIFT 25
#define ZS_TRACE_TTLS 3
#define ZS_TRACE_KEY_MAX 64

enum zs_access_kind {
	ZS_ACCESS_READ,	  /* look up; on a miss, store */
	ZS_ACCESS_UPDATE, /* look up and store (incr, cas) */
	ZS_ACCESS_WRITE,  /* store */
	ZS_ACCESS_DELETE,
	ZS_ACCESS_KINDS
};

/* A share of the objects and their time to live. */
struct zs_trace_ttl {
	double share;
	double seconds;
	double most; /* if above `seconds`: uniform between the two */
};

struct zs_trace_profile {
	const char *name;
	const char *text;
	uint32_t key_size;
	uint32_t value_size;
	double alpha;
	double fresh;				 /* share of the accesses that go to keys never seen before or after */
	double one_hit;				 /* ... or share of the distinct keys that are accessed once */
	double scan;				 /* share of the accesses that belong to scans over keys of their own */
	struct zs_trace_ttl ttls[ZS_TRACE_TTLS]; /* none: no TTL */
	double kinds[ZS_ACCESS_KINDS];
};

/* All traces; *count tells how many. */
const struct zs_trace_profile *zs_trace_profiles(size_t *count);

/* NULL if there is none of this name. */
const struct zs_trace_profile *zs_trace_find(const char *name);

struct zs_trace {
	const struct zs_trace_profile *profile;
	uint64_t keys;
	uint64_t accesses;
	double rate;
	uint64_t seed;
	struct zs_zipf zipf;
	uint32_t *by_rank; /* key of a rank */
	double fresh;
	struct zs_random random;
	uint64_t done;
	uint64_t fresh_count;
	uint64_t scan_left;
	uint64_t scan_next;
};

struct zs_access {
	uint64_t key;
	enum zs_access_kind kind;
	uint64_t ttl_ms; /* 0: none */
	uint64_t now_ms; /* virtual time since the beginning */
};

/* Prepares a trace of `accesses` over `keys` (2 to 2^31) popular keys. ZS_OK or ZS_ENOMEM. */
int zs_trace_open(struct zs_trace *trace, const struct zs_trace_profile *profile, uint64_t keys, uint64_t accesses,
		  double rate, uint64_t seed);
void zs_trace_close(struct zs_trace *trace);

/* Begins again; the same accesses will follow. */
void zs_trace_rewind(struct zs_trace *trace);

/* The next access; to be called at most `accesses` times. */
void zs_trace_next(struct zs_trace *trace, struct zs_access *access);

/* Writes the text of a key, profile->key_size bytes, without an end mark. */
void zs_trace_key(const struct zs_trace *trace, uint64_t key, char text[ZS_TRACE_KEY_MAX]);

#endif
