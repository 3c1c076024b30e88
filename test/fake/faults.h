/*
 * Faked remote reads of a world's memory, with everything that can happen to real ones.
 *
 * The bytes of one post are taken in pieces, with operations of the engine between any two: whole cache lines in any
 * order (a network card), or 8-byte words in ascending order (a processor that copies). Reads come late, fail, or bring
 * garbage; and the reader's clock goes slower or faster than the node's.
 */
#ifndef ZS_TEST_FAKE_FAULTS_H
#define ZS_TEST_FAKE_FAULTS_H

#include "common/reader_steps.h"
#include "test/fake/world.h"

enum fake_memory {
	FAKE_AT_ONCE, /* all bytes of a post at one moment */
	FAKE_LINES,
	FAKE_WORDS,
};

struct fake {
	struct world *world;
	unsigned clock_percent; /* rate of the reader's clock */
	/* of the present read */
	enum fake_memory memory;
	unsigned late; /* permille of posts that come late */
	unsigned fail; /* permille of fetches that fail */
	bool garbage;  /* some bytes are replaced by others */
	unsigned key;  /* that is read: the favourite of what happens meanwhile; WORLD_KEYS for none */
	void *landing; /* of the present post; the caller frees the last one */
	/* counted */
	uint64_t posts;
	uint64_t fetches;
	uint64_t pieces;
};

/* The time on the reader's clock. */
uint64_t fake_now(const struct fake *fake);

/*
 * Performs what a machine wants and reports it, in any order. Returns what the last report gave. Exits with a message
 * if a fetch is not within the arena, or its destination not within its memory.
 */
enum zs_steps_status fake_perform(struct fake *fake, struct zs_steps *steps);

#endif
