/*
 * What the tests of the engine share: a clock under their control, an engine with one attached thread, and
 * writes that wait out the quarantine. Everything here uses server/engine/engine.h only.
 */
#ifndef ZS_TEST_ENGINE_SUPPORT_H
#define ZS_TEST_ENGINE_SUPPORT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/engine/engine.h"

/* The first moment of every test: an arbitrary day, on no round border. */
#define ZS_TEST_EPOCH_MS 1767258123457u

/* A clock that stands still until it is told to move. It may be moved while other threads read it. */
struct zs_test_clock {
	struct zs_clock clock;
	_Atomic uint64_t ms;
};

void zs_test_clock_init(struct zs_test_clock *clock);
void zs_test_clock_advance(struct zs_test_clock *clock, uint64_t ms);

/* xorshift64*, for tests that must be repeatable from a printed seed. The state must not be 0. */
static inline uint64_t zs_test_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1du;
}

static inline uint64_t zs_test_below(uint64_t *state, uint64_t bound)
{
	return (zs_test_random(state) >> 16) % bound;
}

/* One engine with one thread, and the clock that drives it. */
struct zs_fixture {
	struct zs_test_clock clock;
	struct zs_engine *engine;
	struct zs_thread *thread;
};

/* Opens an engine of that much memory on a test clock, with a fixed seed. Fails the running cmocka test on
 * error. */
struct zs_fixture *zs_fixture_open(uint64_t memory, enum zs_policy policy);
void zs_fixture_close(struct zs_fixture *fixture);

/* Moves the clock and lets the thread see it. Ends the life of all views. */
void zs_fixture_advance(struct zs_fixture *fixture, uint64_t ms);

/* Upkeep until it says that nothing is left to do. Fails the test if that does not come. */
void zs_fixture_settle(struct zs_fixture *fixture);

/*
 * zs_set, repeated after upkeep while it answers ZS_EAGAIN; gives up after some ten seconds. Ends the life
 * of all views when it repeats.
 */
int zs_test_set(struct zs_thread *thread, const struct zs_set *set, struct zs_previous *previous);

/* The same for text: no flags, deadline 0 for none. */
int zs_test_put(struct zs_thread *thread, const char *key, const char *value, uint64_t deadline);

/* True if the call has to be repeated: `result` is ZS_EAGAIN and *tries are not used up. Does upkeep then. */
bool zs_test_again(struct zs_thread *thread, int result, unsigned *tries);

/* The bytes of a value, a number as its decimal. `buffer` has 24 bytes and is used for numbers. */
const uint8_t *zs_test_bytes(const struct zs_view *view, char *buffer, size_t *size);

/* Checks of one text key. They fail the running cmocka test and name the key. */
void zs_test_expect(struct zs_thread *thread, const char *key, const char *value);
void zs_test_expect_absent(struct zs_thread *thread, const char *key);

/* Checks that a stored deadline is not later than asked for and at most 1 % of the time to live early. */
void zs_test_expect_deadline(uint64_t now, uint64_t asked, uint64_t stored);

/* Checks that the parts of the arena add up. */
void zs_test_expect_sums(const struct zs_stats *stats);

#endif
