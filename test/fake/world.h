/*
 * A real engine, a simulated time, and a record of all that was written: the memory that faked remote reads look at.
 *
 * Everything happens in one thread, one engine operation at a time. Each key keeps its last events, so a check can say
 * which values a read may show that began and ended at given moments: those in force at any time between, unless they
 * had expired when it ended.
 */
#ifndef ZS_TEST_FAKE_WORLD_H
#define ZS_TEST_FAKE_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/reader.h"
#include "server/engine/internal.h"

enum {
	WORLD_KEYS = 12000,
	WORLD_HOT = 48, /* keys that get most of the traffic */
	WORLD_KEY_MAX = 64,
	WORLD_VALUE_MAX = 3600,
	WORLD_QUARANTINE_MS = 20,
	WORLD_EVENTS = 32,
};

/* From one event on a key is as it says, until the next. */
struct world_event {
	uint64_t version;  /* of the value; of a counter its number; 0: there is no such key */
	uint64_t deadline; /* asked for; 0: none */
};

struct world_key {
	uint64_t count; /* events so far; the last WORLD_EVENTS are kept */
	uint64_t version;
	struct world_event events[WORLD_EVENTS];
};

struct world {
	struct zs_engine *engine;
	struct zs_thread *thread;
	uint64_t random;
	uint64_t ns; /* simulated */
	uint64_t lives;
	uint64_t writes;
	bool writing; /* guards against bursts within bursts */
	struct world_key *keys;
};

/* Opens an engine whose quarantine is in force. Exits with a message on error, as do all of these. */
void world_open(struct world *world, uint64_t seed);
void world_close(struct world *world);

/* The node ends and another one begins, with another incarnation and no objects. */
void world_restart(struct world *world);

/* Whether there is too little memory in this life, so that objects are evicted all the time. */
bool world_is_tight(const struct world *world);

/* Another node has taken over all keys; this one does not know. What is in its memory must not be believed any more. */
void world_take_over(struct world *world);

uint64_t world_random(struct world *world);
uint32_t world_below(struct world *world, uint32_t bound);

/* The node's time in ms since 1970. */
uint64_t world_ms(const struct world *world);

/* Some operations: mostly on `favourite`, if that is a key (not WORLD_KEYS). */
void world_mutate(struct world *world, unsigned operations, unsigned favourite);

/* A key: most of the time one of the hot ones. */
unsigned world_pick(struct world *world);

/* The name of a key; its size. `name` has WORLD_KEY_MAX bytes. */
size_t world_name(unsigned key, char *name);

/*
 * Checks what a believed read showed. `since` is keys[key].count when it began. NULL if the value may be shown, else
 * what is wrong with it.
 */
const char *world_check(const struct world *world, unsigned key, uint64_t since, const struct zs_read_value *value,
			const uint8_t *data);

#endif
