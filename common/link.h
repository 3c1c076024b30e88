/*
 * What a READ costs on this link, tried when a session begins: is it better to fetch the two parts of an object that a
 * reader needs, its slab's header and its slot, by two READs, or by one with all that lies between?
 *
 * For an adapter of hardware another READ in the same post costs a fraction of a microsecond, and bytes that nobody
 * needs take bandwidth from others: two. For soft-RoCE each READ is two packets' worth of the processor's time: 15 us
 * where 4 KB more cost as much (in an emulated machine, MTU 9000). So it goes by what was measured.
 *
 * A state machine without I/O: its owner performs the trials, one at a time.
 */
#ifndef ZS_COMMON_LINK_H
#define ZS_COMMON_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/reader_steps.h"

enum zs_link_trial {
	ZS_LINK_SMALL, /* one READ of 64 bytes */
	ZS_LINK_TWO,   /* two of them in one post */
	ZS_LINK_LARGE, /* one READ of a frame */
	ZS_LINK_TRIALS,
};

struct zs_link {
	unsigned number; /* of trials begun */
	uint64_t began_ns;
	uint64_t least_ns[ZS_LINK_TRIALS];
	uint32_t span; /* the result, for zs_remote.span */
};

void zs_link_begin(struct zs_link *link);

/* Whether trials have begun. */
bool zs_link_is_tried(const struct zs_link *link);

/* The next trial: which parts of the first frame to read (one or two, without destinations). 0: that was all. */
unsigned zs_link_next(struct zs_link *link, struct zs_fetch *parts, uint64_t now_ns);

/* It is over, with success. */
void zs_link_done(struct zs_link *link, uint64_t now_ns);

#endif
