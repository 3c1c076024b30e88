/*
 * The bytes of the journal, and what its two files share: journal.c opens it and has the zones, journal_marks.c the
 * dead.
 */
#ifndef ZS_SERVER_TIER_JOURNAL_INTERNAL_H
#define ZS_SERVER_TIER_JOURNAL_INTERNAL_H

#include <pthread.h>

#include "server/tier/journal.h"

#define ZS_JOURNAL_PAGE 4096u
#define ZS_BOOT_ID_SIZE 36
#define ZS_JOURNAL_NO_CHUNK UINT32_MAX

struct zs_journal_header {
	char magic[8];
	uint32_t version;
	uint32_t zones;
	uint32_t capacity;
	uint32_t chunks;
	uint64_t tier;
	uint64_t seed;
	uint64_t device; /* its identity, 0: not known */
	uint64_t time_ms;
	uint32_t buckets;
	uint32_t clean;
	uint32_t durable; /* it has been, ever since it was opened */
	uint32_t unused;
	char boot_id[ZS_BOOT_ID_SIZE];
};

struct zs_journal_zone {
	uint64_t epoch;
	uint64_t deadline_ms;
	uint32_t first_chunk;
	uint32_t last_chunk;
	uint32_t lost;
	uint32_t stream;
	uint32_t unused[8];
};

_Static_assert(sizeof(struct zs_journal_zone) == 64, "records of zones do not straddle pages");

struct zs_journal_chunk_head {
	uint64_t epoch; /* of its zone, when it was taken */
	uint32_t zone;
	uint32_t count;
	uint32_t next;
	uint32_t unused;
};

struct zs_journal_chunk {
	struct zs_journal_chunk_head head;
	uint64_t marks[(ZS_JOURNAL_PAGE - sizeof(struct zs_journal_chunk_head)) / sizeof(uint64_t)];
};

_Static_assert(sizeof(struct zs_journal_chunk) == ZS_JOURNAL_PAGE, "a chunk is a page");

struct zs_journal {
	int file;
	uint8_t *map;
	size_t size;
	struct zs_journal_header *header;
	struct zs_journal_zone *zones; /* one more than there are: of what was written since a crash */
	uint64_t *committed;
	uint32_t words; /* of `committed`, for a zone */
	struct zs_journal_chunk *chunks;
	enum zs_journal_state state;
	pthread_mutex_t lock; /* of the chunks */
	uint32_t *free;	      /* a stack */
	uint32_t free_count;
	bool durable;
	uint64_t changes;	   /* marks made; atomic */
	uint64_t synced;	   /* of these, on the disk; atomic */
	pthread_mutex_t sync_lock; /* of who writes to the disk */
};

/* Gives a zone's chunks of this epoch back. The lock is held, or nobody else is there yet. */
void zs_journal_drop_chunks(struct zs_journal *j, uint32_t zone, uint64_t epoch);

/* After opening: finds the chunks that no zone has, and where each zone's last one is. */
void zs_journal_sort_chunks(struct zs_journal *j);

#endif
