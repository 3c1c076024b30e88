/*
 * Builds the requests of a load, in RESP or in memcached's text protocol, in batches that are sent as one.
 */
#ifndef ZS_BENCH_REQUESTS_H
#define ZS_BENCH_REQUESTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/net.h"
#include "bench/flags.h"
#include "bench/random.h"
#include "bench/zipf.h"

/* X(name, text, reads): what a load can do. `reads` ops ask for values, which can be there or not. */
#define ZS_REQUESTS(X)                                                                                 \
	X(ZS_REQUEST_GET, "get", true)                                                                 \
	X(ZS_REQUEST_SET, "set", false)                                                                \
	X(ZS_REQUEST_MGET, "mget", true)      /* `fanout` keys */                                      \
	X(ZS_REQUEST_GETEX, "getex", true)    /* GET that sets the TTL anew; memcached: gat */         \
	X(ZS_REQUEST_EXPIRE, "expire", false) /* memcached: touch */                                   \
	X(ZS_REQUEST_INCR, "incr", false)                                                              \
	X(ZS_REQUEST_COUNT, "count", false) /* a counter with an end: see zs_requests_options.group */ \
	X(ZS_REQUEST_DEL, "del", false)

enum zs_request {
#define ZS_REQUEST_ENUM(name, text, reads) name,
	ZS_REQUESTS(ZS_REQUEST_ENUM)
#undef ZS_REQUEST_ENUM
	    ZS_REQUEST_KINDS
};

enum zs_key_order {
	ZS_KEYS_UNIFORM,
	ZS_KEYS_ZIPF,
	ZS_KEYS_SEQUENTIAL, /* each key once, then again from the first */
};

struct zs_requests_options {
	enum zs_protocol protocol;
	double weights[ZS_REQUEST_KINDS]; /* shares of the operations; at least one is above 0 */
	enum zs_key_order order;
	double alpha;		    /* of Zipf */
	uint64_t keys;		    /* how many different keys; 1 to 2^32 - 1 */
	uint64_t first;		    /* number of the first key */
	uint64_t key_size;	    /* prefix and decimal number, padded with zeros */
	const char *prefix;	    /* not copied */
	struct zs_range value_size; /* of each key fixed, uniform in this range over the keys */
	uint64_t ttl;		    /* seconds, 0: none */
	uint64_t expire_at;	    /* seconds since 1970, instead of a TTL, for SET and COUNT over RESP; 0: none */
	const char *group;	    /* not copied; NULL: none. SET ... GROUP; and COUNT is SET NX GROUP + INCR instead
				     * of INCR + EXPIRE NX */
	uint64_t fanout;
	uint64_t seed;
};

/* Text that grows. */
struct zs_text {
	char *data;
	size_t size;
	size_t room;
};

struct zs_batch {
	size_t offset; /* in the text */
	size_t size;
	uint32_t replies;
	uint32_t operations;
	uint32_t reads; /* keys whose values are asked for */
};

struct zs_requests {
	struct zs_requests_options options;
	struct zs_random random;
	struct zs_zipf zipf;
	uint64_t multiplier; /* spreads the ranks of Zipf over the key numbers */
	uint64_t next;	     /* of ZS_KEYS_SEQUENTIAL */
	double limits[ZS_REQUEST_KINDS];
	uint64_t payload; /* keys and values of all SETs built so far, in bytes */
	char *values;	  /* bytes to cut values from */
};

/*
 * Checks the options and prepares. ZS_OK, ZS_ENOMEM, or ZS_EINVAL with a sentence in `why` (of why_size
 * bytes).
 */
int zs_requests_open(struct zs_requests *requests, const struct zs_requests_options *options, char *why,
		     size_t why_size);
void zs_requests_close(struct zs_requests *requests);

/* Appends a batch of `depth` operations to the text. ZS_OK or ZS_ENOMEM. */
int zs_requests_build(struct zs_requests *requests, unsigned depth, struct zs_text *text, struct zs_batch *batch);

/* Reads "get=90,set=10" (or "get") into weights. False if it is not that. */
bool zs_requests_parse_mix(const char *text, double weights[ZS_REQUEST_KINDS]);

/* The names of all operations, for help and error texts. */
const char *zs_requests_names(void);

#endif
