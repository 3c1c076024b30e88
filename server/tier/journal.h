/*
 * The journal of a warm tier: what has to be known after a crash beside the blocks themselves.
 *
 * A file, mapped: what is written to it outlives the process without a system call. It holds the identity of the tier,
 * the seed of the key hash, and for each zone an epoch, a bit for each block that counts, and marks of objects in these
 * blocks that are dead. A block that is not committed does not exist, so no order of blocks has to be kept: an object
 * is alive after a crash if its block is committed and it has no mark.
 *
 *     page 0       header
 *     zones        a record of 64 bytes each
 *     committed    a bit for each block
 *     chunks       4 KB each: a zone's marks, chained
 *
 * CRASHES. After the process was killed, all of it is believed. After the host went down it is believed only if the
 * tier was closed properly before, or the journal was kept `durable`; else it begins anew, with another identity, and
 * no block counts. A durable journal is written to the disk (zs_journal_sync) before anybody learns of what a mark is
 * about, before a block counts, and before a zone's chunks are used again. Pages that the system wrote in between do no
 * harm: they have marks too many, or chains that end early where nobody was promised anything yet.
 *
 * THREADS. zs_journal_mark, zs_journal_written and zs_journal_sync may be called by any thread. The others belong to
 * the tier's.
 */
#ifndef ZS_SERVER_TIER_JOURNAL_H
#define ZS_SERVER_TIER_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zs_journal;

struct zs_journal_options {
	uint32_t zones;
	uint32_t capacity; /* blocks of a zone */
	uint64_t identity; /* of the device; 0: not known */
	bool format;	   /* begin anew, whatever is there */
	bool durable;	   /* it is to be believed after the host went down, too */
};

/* Why a journal holds what it does. */
enum zs_journal_state {
	ZS_JOURNAL_NEW,	    /* was made, or begun anew because of `format` */
	ZS_JOURNAL_CLEAN,   /* closed properly */
	ZS_JOURNAL_CRASHED, /* the process ended without closing it */
	ZS_JOURNAL_COLD,    /* the host went down without closing it: begun anew */
};

/*
 * Opens the journal at `path`, and makes it if there is none. ZS_OK; ZS_ECONFIG (not a journal, of other zones, in use,
 * no room), ZS_ESYS or ZS_ENOMEM, then `why` holds a sentence for the operator and nothing has been changed.
 */
int zs_journal_open(const char *path, const struct zs_journal_options *options, struct zs_journal **journal, char *why,
		    size_t why_size);

/*
 * What was marked before this was called is on the disk when it returns, if the journal is durable; several threads
 * share one write. ZS_OK or ZS_ESYS.
 */
int zs_journal_sync(struct zs_journal *journal);

/* With `clean` everything is written to the disk, and said to be. */
void zs_journal_close(struct zs_journal *journal, bool clean);

enum zs_journal_state zs_journal_state(const struct zs_journal *journal);

/* Random: of this tier until it begins anew. */
uint64_t zs_journal_tier(const struct zs_journal *journal);

/* Of the key hash. */
uint64_t zs_journal_seed(const struct zs_journal *journal);

/* Buckets of the index, and the latest time anybody went by; 0 until they are set. */
uint32_t zs_journal_buckets(const struct zs_journal *journal);
void zs_journal_set_buckets(struct zs_journal *journal, uint32_t buckets);
uint64_t zs_journal_time(const struct zs_journal *journal);
void zs_journal_set_time(struct zs_journal *journal, uint64_t ms);

/* ---- zones ---- */

uint64_t zs_journal_epoch(const struct zs_journal *journal, uint32_t zone);

/* Begins another epoch of a zone that is about to be reset: nothing in it counts any more. ZS_OK or ZS_ESYS. */
int zs_journal_begin_zone(struct zs_journal *journal, uint32_t zone);

/* The blocks count from now on. */
void zs_journal_commit(struct zs_journal *journal, uint32_t zone, uint32_t block, uint32_t blocks);
bool zs_journal_is_committed(const struct zs_journal *journal, uint32_t zone, uint32_t block);

/* The block counts no more: it could not be read. */
void zs_journal_forget_block(struct zs_journal *journal, uint32_t zone, uint32_t block);

/* Blocks from here on do not count: the device has not got them. */
void zs_journal_cut(struct zs_journal *journal, uint32_t zone, uint32_t block);

/* When the last object of the zone ends; 0: some never do. Kept for the restart. */
void zs_journal_set_deadline(struct zs_journal *journal, uint32_t zone, uint64_t ms);
uint64_t zs_journal_deadline(const struct zs_journal *journal, uint32_t zone);

/* The stream that the zone was opened for. Kept for the restart. */
void zs_journal_set_stream(struct zs_journal *journal, uint32_t zone, uint32_t stream);
uint32_t zs_journal_stream(const struct zs_journal *journal, uint32_t zone);

/* Begins another epoch of all zones at once, written to the disk when this returns: ZS_OK or ZS_ESYS. Any thread. */
int zs_journal_forget_all(struct zs_journal *journal);

/* ---- the dead ---- */

/* The copy of the key with this hash in this block is dead. With no room for marks the zone is given up for a restart.
 */
void zs_journal_mark(struct zs_journal *journal, uint32_t zone, uint32_t block, uint64_t hash);

/* All copies of the key in the blocks of before the last crash are dead. */
void zs_journal_written(struct zs_journal *journal, uint64_t hash);

/* The dead of a zone, for looking them up. Of zone number `zones`: what was written since the crash. */
struct zs_journal_dead {
	uint64_t *marks; /* sorted */
	size_t count;
	bool lost; /* marks did not all fit: nothing in the zone is to be believed */
};

/* ZS_OK or ZS_ENOMEM. */
int zs_journal_load(struct zs_journal *journal, uint32_t zone, struct zs_journal_dead *dead);
bool zs_journal_is_dead(const struct zs_journal_dead *dead, uint32_t block, uint64_t hash);
bool zs_journal_was_written(const struct zs_journal_dead *dead, uint64_t hash);
void zs_journal_free_dead(struct zs_journal_dead *dead);

/* Forgets what was written since the crash; its marks have been put to the zones. */
void zs_journal_end_rebuild(struct zs_journal *journal);

/* Chunks in use, of how many. */
void zs_journal_room(const struct zs_journal *journal, uint64_t *used, uint64_t *all);

#endif
