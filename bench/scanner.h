/*
 * Counts the replies in a stream of RESP2/RESP3 or of memcached's text protocol, without keeping them.
 *
 * The scanner is fed whatever bytes arrive. It looks at headers only and steps over bodies, so that a client
 * that uses it spends next to nothing on a reply.
 */
#ifndef ZS_BENCH_SCANNER_H
#define ZS_BENCH_SCANNER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/net.h"

/* The longest header line that is accepted. */
#define ZS_SCANNER_LINE_MAX 1024

struct zs_scanner {
	enum zs_protocol protocol;
	uint64_t skip;	  /* bytes of a body still to be stepped over, its CRLF included */
	uint64_t need;	  /* elements until the current reply is complete; 0 between replies */
	uint64_t replies; /* complete ones */
	uint64_t values;  /* bulk strings and VALUE items: hits of reads */
	uint64_t nulls;	  /* null replies and elements: misses of reads over RESP */
	uint64_t errors;
	char first_error[128]; /* text of the first error, or what was malformed */
	/* Called as each reply completes, if not NULL; `values` tells how many were in it. */
	void (*reply)(void *context, uint64_t values);
	void *context;
	uint64_t values_before; /* `values` when the current reply began */
};

void zs_scanner_init(struct zs_scanner *scanner, enum zs_protocol protocol);

/*
 * Takes in bytes. Returns how many were used; the rest is an unfinished header line (at most
 * ZS_SCANNER_LINE_MAX bytes) that must be presented again in front of what comes next. -1: the peer does not
 * speak the protocol; first_error says how.
 */
ssize_t zs_scanner_feed(struct zs_scanner *scanner, const char *data, size_t size);

#endif
