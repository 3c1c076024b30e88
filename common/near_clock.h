/*
 * A bound on the time for one thread that asks every few hundred nanoseconds.
 *
 * clock_gettime waits until all loads before it are done, and in a virtual machine so does the processor's counter by
 * itself: the next read of an object then cannot begin while the last one still waits for memory. That doubles what a
 * read costs. The kernel's coarse clock is a word in memory that moves on with each tick. While it stands where it
 * stood when the clock was last read, that was at most a tick ago; which mostly is all that has to be known.
 */
#ifndef ZS_COMMON_NEAR_CLOCK_H
#define ZS_COMMON_NEAR_CLOCK_H

#include "common/clock.h"

/*
 * A tick takes 1 to 10 ms. Where the processor that counts them is held up (a virtual one, by its host), another one
 * takes over after five of them (Linux 5.18).
 */
#define ZS_NEAR_CLOCK_LATE_NS 100000000u

/* The clock is read anew after so many questions, whatever the coarse one says. */
#define ZS_NEAR_CLOCK_TRUST 256u

struct zs_near_clock {
	const struct zs_clock *clock;
	uint64_t (*coarse)(void); /* NULL: read the clock each time */
	uint64_t coarse_now;	  /* when the clock was last read */
	uint64_t latest;	  /* while `coarse` says the same */
	uint32_t trust;		  /* questions for which that may be believed */
};

/* `coarse` may be NULL: then the clock is read each time. `clock` stays used. */
void zs_near_clock_init(struct zs_near_clock *near, const struct zs_clock *clock, uint64_t (*coarse)(void));

/* The system's clock and its coarse one. */
void zs_near_clock_init_system(struct zs_near_clock *near);

/* Reads the clock. */
uint64_t zs_near_clock_read(struct zs_near_clock *near);

/* It is no later than this now, in the clock's nanoseconds; and at most ZS_NEAR_CLOCK_LATE_NS earlier. */
static inline uint64_t zs_near_clock_latest(struct zs_near_clock *near)
{
	if (near->trust && near->coarse() == near->coarse_now) {
		near->trust--;
		return near->latest;
	}
	return zs_near_clock_read(near);
}

#endif
