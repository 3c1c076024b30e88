#include "bench/trace.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"

/* Key numbers: popular keys from 0, the others in ranges of their own. */
#define FRESH_BASE (1ull << 40)
#define SCAN_BASE (1ull << 41)
/* A scan goes over so many keys in one go; all scans go over the same keys, one stretch after the other. */
#define SCAN_LENGTH 20000
#define SCAN_STRETCHES 100

#define MINUTE 60.0
#define HOUR 3600.0
#define DAY 86400.0

/*
 * The first three are made up to be hard in one way each, the fourth to be plain. The others follow the statistics of
 * Twitter's cache clusters (Yang, Yue, Rashmi, OSDI '20): sizes, TTLs, operations, skew and the share of keys that are
 * seen once. `gets` counts as a read, `cas` and `incr` as updates, `add` as a write.
 */
static const struct zs_trace_profile profiles[] = {
	{ .name = "zipf",
	  .text = "Zipf 0.9, one access in five to a key never seen again",
	  .key_size = 16,
	  .value_size = 128,
	  .alpha = 0.9,
	  .fresh = 0.2,
	  .kinds = { 1, 0, 0, 0 } },
	{ .name = "scan",
	  .text = "Zipf 0.9, one access in five belongs to a scan",
	  .key_size = 16,
	  .value_size = 128,
	  .alpha = 0.9,
	  .scan = 0.2,
	  .kinds = { 1, 0, 0, 0 } },
	{ .name = "churn",
	  .text = "Zipf 0.9, TTLs of 5 s, 30 s and 1 h, one access in ten overwrites",
	  .key_size = 16,
	  .value_size = 128,
	  .alpha = 0.9,
	  .fresh = 0.1,
	  .ttls = { { 0.3, 5, 0 }, { 0.3, 30, 0 }, { 0.4, HOUR, 0 } },
	  .kinds = { 0.9, 0, 0.1, 0 } },
	{ .name = "warm",
	  .text = "Zipf 0.9 and nothing else: how often a second tier of storage has what the first one lost",
	  .key_size = 16,
	  .value_size = 100,
	  .alpha = 0.9,
	  .kinds = { 1, 0, 0, 0 } },
	{ .name = "c52",
	  .text = "sessions",
	  .key_size = 20,
	  .value_size = 273,
	  .alpha = 1.21,
	  .one_hit = 0.19,
	  .ttls = { { 0.65, DAY, 0 }, { 0.27, 14 * DAY, 0 }, { 0.07, DAY / 2, 0 } },
	  .kinds = { 0.93, 0.02, 0.04, 0 } },
	{ .name = "c28",
	  .text = "sessions",
	  .key_size = 45,
	  .value_size = 85,
	  .alpha = 1.5,
	  .one_hit = 0.27,
	  .ttls = { { 0.56, 3 * HOUR, 0 }, { 0.43, 1.2 * DAY, 0 } },
	  .kinds = { 0.91, 0, 0.06, 0 } },
	{ .name = "c18",
	  .text = "tokens",
	  .key_size = 18,
	  .value_size = 37,
	  .alpha = 2.1,
	  .one_hit = 0.007,
	  .ttls = { { 1, DAY / 2, 0 } },
	  .kinds = { 0.96, 0.01, 0, 0 } },
	{ .name = "c22",
	  .text = "counters",
	  .key_size = 54,
	  .value_size = 4,
	  .alpha = 0.76,
	  .one_hit = 0.41,
	  .ttls = { { 0.85, DAY, 0 }, { 0.11, HOUR, 0 }, { 0.03, 30 * MINUTE, 0 } },
	  .kinds = { 0.72, 0.18, 0.1, 0 } },
	{ .name = "c23",
	  .text = "rate limits",
	  .key_size = 35,
	  .value_size = 224,
	  .alpha = 0.27,
	  .one_hit = 0.01,
	  .ttls = { { 0.93, 120, 0 }, { 0.05, 45 * MINUTE, 0 }, { 0.03, 5, 0 } },
	  .kinds = { 0.36, 0.3, 0.31, 0.02 } },
	{ .name = "c19",
	  .text = "features",
	  .key_size = 42,
	  .value_size = 101,
	  .alpha = 0.74,
	  .one_hit = 0.07,
	  .ttls = { { 1, 6.6 * HOUR, 7.5 * HOUR } },
	  .kinds = { 0.75, 0, 0.25, 0 } },
	{ .name = "c40",
	  .text = "features",
	  .key_size = 44,
	  .value_size = 155,
	  .alpha = 0.86,
	  .ttls = { { 0.95, 8 * HOUR, 0 }, { 0.05, DAY, 0 } },
	  .kinds = { 0.5, 0, 0.5, 0 } },
};

const struct zs_trace_profile *zs_trace_profiles(size_t *count)
{
	*count = sizeof(profiles) / sizeof(profiles[0]);
	return profiles;
}

const struct zs_trace_profile *zs_trace_find(const char *name)
{
	for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++) {
		if (!strcmp(profiles[i].name, name))
			return &profiles[i];
	}
	return NULL;
}

/*
 * The share of accesses to fresh keys that brings the share of distinct keys seen once up to
 * profile->one_hit. Zipf's own tail has many such keys already: expected numbers of keys seen at all and seen
 * once, over the accesses of the trace.
 */
static double fresh_share(const struct zs_trace *trace)
{
	double n = (double)trace->accesses;
	double wanted = trace->profile->one_hit;
	double seen = 0;
	double once = 0;
	double before = 0;
	double fresh;

	for (uint64_t i = 0; i < trace->keys; i++) {
		double p = trace->zipf.cumulative[i] - before;
		double none = p < 1 ? exp(n * log1p(-p)) : 0;

		seen += 1 - none;
		once += p < 1 ? n * p * none / (1 - p) : 0;
		before = trace->zipf.cumulative[i];
	}
	fresh = (wanted * seen - once) / (1 - wanted);
	return fresh > 0 ? fresh / (n + fresh) : 0;
}

int zs_trace_open(struct zs_trace *trace, const struct zs_trace_profile *profile, uint64_t keys, uint64_t accesses,
		  double rate, uint64_t seed)
{
	int error;

	assert(keys >= 2 && keys <= 1u << 31 && rate > 0 && profile->key_size >= 16);
	*trace =
	    (struct zs_trace){ .profile = profile, .keys = keys, .accesses = accesses, .rate = rate, .seed = seed };
	error = zs_zipf_open(&trace->zipf, keys, profile->alpha);
	if (error)
		return error;
	trace->by_rank = malloc(keys * sizeof(*trace->by_rank));
	if (!trace->by_rank) {
		zs_trace_close(trace);
		return ZS_ENOMEM;
	}
	trace->fresh = profile->one_hit > 0 ? fresh_share(trace) : profile->fresh;
	zs_trace_rewind(trace);
	return ZS_OK;
}

void zs_trace_close(struct zs_trace *trace)
{
	zs_zipf_close(&trace->zipf);
	free(trace->by_rank);
	trace->by_rank = NULL;
}

void zs_trace_rewind(struct zs_trace *trace)
{
	for (uint64_t i = 0; i < trace->keys; i++)
		trace->by_rank[i] = (uint32_t)i;
	trace->random = (struct zs_random){ trace->seed };
	trace->done = 0;
	trace->fresh_count = 0;
	trace->scan_left = 0;
	trace->scan_next = 0;
}

static void drift(struct zs_trace *trace)
{
	uint64_t a = zs_random_below(&trace->random, trace->keys);
	uint64_t b = zs_random_below(&trace->random, trace->keys);
	uint32_t key = trace->by_rank[a];

	trace->by_rank[a] = trace->by_rank[b];
	trace->by_rank[b] = key;
}

static uint64_t next_scan_key(struct zs_trace *trace)
{
	trace->scan_left--;
	return SCAN_BASE + trace->scan_next++ % ((uint64_t)SCAN_LENGTH * SCAN_STRETCHES);
}

/* Scans run without a break: their share of the accesses is that of their starts times their length. */
static uint64_t next_key(struct zs_trace *trace)
{
	double scan = trace->profile->scan;

	if (trace->scan_left)
		return next_scan_key(trace);
	if (scan > 0 && zs_random_unit(&trace->random) < scan / (1 - scan) / SCAN_LENGTH) {
		trace->scan_left = SCAN_LENGTH;
		return next_scan_key(trace);
	}
	if (trace->fresh > 0 && zs_random_unit(&trace->random) < trace->fresh)
		return FRESH_BASE + trace->fresh_count++;
	return trace->by_rank[zs_zipf_draw(&trace->zipf, &trace->random)];
}

static enum zs_access_kind next_kind(struct zs_trace *trace)
{
	const double *kinds = trace->profile->kinds;
	double total = 0;
	double u;

	for (unsigned i = 0; i < ZS_ACCESS_KINDS; i++)
		total += kinds[i];
	u = zs_random_unit(&trace->random) * total;
	for (unsigned i = 0; i < ZS_ACCESS_KINDS; i++) {
		if (u < kinds[i])
			return (enum zs_access_kind)i;
		u -= kinds[i];
	}
	return ZS_ACCESS_READ;
}

/* The TTL belongs to the key: it is drawn from the key's own number. */
static uint64_t key_ttl(const struct zs_trace_profile *profile, uint64_t key)
{
	struct zs_random own = { key ^ 0x747463 };
	double total = 0;
	double u;

	for (unsigned i = 0; i < ZS_TRACE_TTLS; i++)
		total += profile->ttls[i].share;
	u = zs_random_unit(&own) * total;
	for (unsigned i = 0; i < ZS_TRACE_TTLS; i++) {
		const struct zs_trace_ttl *ttl = &profile->ttls[i];

		if (u < ttl->share) {
			double more = ttl->most > ttl->seconds ? ttl->most - ttl->seconds : 0;

			return (uint64_t)((ttl->seconds + more * zs_random_unit(&own)) * 1000);
		}
		u -= ttl->share;
	}
	return 0;
}

void zs_trace_next(struct zs_trace *trace, struct zs_access *access)
{
	assert(trace->done < trace->accesses);
	if (trace->done % ZS_TRACE_DRIFT == 0)
		drift(trace);
	access->now_ms = (uint64_t)((double)trace->done * 1000 / trace->rate);
	access->key = next_key(trace);
	access->kind = next_kind(trace);
	access->ttl_ms = key_ttl(trace->profile, access->key);
	trace->done++;
}

void zs_trace_key(const struct zs_trace *trace, uint64_t key, char text[ZS_TRACE_KEY_MAX])
{
	static const char hexadecimal[] = "0123456789abcdef";
	uint32_t size = trace->profile->key_size;

	memset(text, 'k', size - 16);
	for (unsigned i = 0; i < 16; i++, key >>= 4)
		text[size - 1 - i] = hexadecimal[key & 15];
}
