/*
 * The lease of a session that reads over shared memory: one word of the superblock (zs_superblock.lease).
 *
 *   bits 63..16  until when reads may be believed: CLOCK_BOOTTIME of the host, in units of 65,536 ns
 *   bits 15..0   the session's tag, 1..65535: the word serves one session after the other
 *
 * The node moves the time on while it runs. So a node that is frozen or gone stops being believed when the lease ends,
 * and a session that the node ends is not believed from then on: 0.
 */
#ifndef ZS_COMMON_LEASE_H
#define ZS_COMMON_LEASE_H

#include <stdbool.h>
#include <stdint.h>

static inline uint64_t zs_lease_word(uint64_t until_ns, uint16_t tag)
{
	return (until_ns & ~UINT64_C(0xffff)) | tag;
}

/* To be asked with a word and a time that were read after the value was copied. */
static inline bool zs_lease_holds(uint64_t word, uint16_t tag, uint64_t now_ns)
{
	return (uint16_t)word == tag && now_ns < (word & ~UINT64_C(0xffff));
}

#endif
