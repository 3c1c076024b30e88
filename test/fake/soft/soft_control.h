/*
 * Soft verbs: libibverbs and librdmacm for tests, between processes of one machine, without a device.
 *
 * What the library does wrong on purpose, and what it counts, has names. The environment variable ZS_SOFT_VERBS sets
 * some when the library is loaded ("delay_us=50 tear=1"); a test in the same process changes them while it runs, by
 * these two functions, which it finds in the library by dlsym. Any thread.
 */
#ifndef ZS_TEST_FAKE_SOFT_CONTROL_H
#define ZS_TEST_FAKE_SOFT_CONTROL_H

#include <stdint.h>

/*
 * X(name, value at first). "Every nth" counts the requests of the whole process; 0 is never.
 *
 *   windows      the device has memory windows of type 2
 *   depth        READs that the device allows at a time for one queue pair
 *   delay_us     a request is worked on that late
 *   serial_us    a request takes that long, and those of a queue pair are worked on one by one
 *   tear         READs copy 64 bytes at a time, the last ones first, and others run in between
 *   late_ms      what has been sent is not seen before it is so old, not even that the other end has hung up
 *   stall_ms     who polls and finds nothing is not run for so long, or until something has come
 *   arm_ms       who wants to be told of the next completion, the same: something comes just before that
 *   cut          nothing goes out and nothing comes in
 *   drop         every nth request is not answered any more
 *   deny         every nth READ is refused by the peer
 *   fatal        every nth request breaks its queue pair, which an asynchronous event tells
 *   dead         every nth request breaks all queue pairs, as if the device had gone
 *   refuse       every nth request cannot be posted
 *   sends, reads requests of that kind that ended well
 *   received     messages that arrived
 */
#define SOFT_SETTINGS(X) \
	X(windows, 1)    \
	X(depth, 16)     \
	X(delay_us, 0)   \
	X(serial_us, 0)  \
	X(tear, 0)       \
	X(late_ms, 0)    \
	X(stall_ms, 0)   \
	X(arm_ms, 0)     \
	X(cut, 0)        \
	X(drop, 0)       \
	X(deny, 0)       \
	X(fatal, 0)      \
	X(dead, 0)       \
	X(refuse, 0)     \
	X(sends, 0)      \
	X(reads, 0)      \
	X(received, 0)

/* 0, or -1: there is no such name. */
int soft_verbs_set(const char *name, uint64_t value);
int soft_verbs_get(const char *name, uint64_t *value);

#endif
