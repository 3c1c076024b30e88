/*
 * Reading the arena by plain loads, in a process that has mapped it read-only.
 *
 * THREADS. A `struct zs_plain` belongs to one thread; each thread opens its own, over the same mapping.
 *
 * TRUST. The mapping may hold anything: no load leaves it, and no loop depends on it for its end. Values are copied out
 * and then checked, as the node may use the slot again at any time.
 *
 * TIME. The session's lease is a word in shared memory (lease.h). It is tested after the value was copied. Deadlines
 * are on the node's clock, which is CLOCK_BOOTTIME plus a constant.
 */
#ifndef ZS_COMMON_READER_PLAIN_H
#define ZS_COMMON_READER_PLAIN_H

#include "common/clock.h"
#include "common/near_clock.h"
#include "common/reader.h"

struct zs_plain_options {
	const void *base;	      /* of the mapping, aligned to pages; stays mapped while the reader is used */
	uint64_t size;		      /* of the mapping */
	const uint64_t *lease;	      /* the session's lease word; stays readable as long */
	uint16_t lease_tag;	      /* the session's tag: the word may come to serve another one */
	const struct zs_clock *clock; /* now_ns is CLOCK_BOOTTIME; NULL: the system's */
	int64_t node_ms_offset;	      /* the node's time in ms since 1970 = CLOCK_BOOTTIME in ms + this */
};

/* A partition's place, checked: everything it leads to lies in the mapping. */
struct zs_plain_part {
	const uint8_t *frames;
	const struct zs_bucket *main;
	const struct zs_bucket *previous;
	uint32_t frame_count;
	uint32_t main_count;
	uint32_t previous_count; /* 0 unless the index is being resized */
};

/* One key of a batch, or of a single read. */
struct zs_plain_read {
	const void *key;
	size_t key_size;
	void *buffer; /* for the bytes of the value; not touched for integers */
	size_t buffer_size;
	/* out: */
	enum zs_answer answer;
	struct zs_read_value value; /* of a hit; if value.size > buffer_size only so many bytes were copied */
};

struct zs_plain {
	const struct zs_superblock *super;
	const uint64_t *lease;
	struct zs_near_clock clock;
	int64_t node_ms_offset;
	uint64_t seed;
	uint64_t size;
	uint64_t incarnation;
	uint32_t partitions;
	uint32_t sequence; /* of the superblock, as of which `parts` is; even */
	uint16_t lease_tag;
	uint64_t shape_identity; /* of the last uniform slab read: a guess how the next one is laid out */
	uint64_t shape_lifetime;
	struct zs_plain_part parts[ZS_PARTITIONS_MAX];
};

/*
 * Opens a reader over a mapping. Nothing needs to be closed. ZS_OK; ZS_EPROTO if this is no arena, or one of another
 * layout, or its tables lie outside of it; ZS_EAGAIN if its tables kept changing. On error `why` holds a sentence.
 */
int zs_plain_open(struct zs_plain *plain, const struct zs_plain_options *options, char *why, size_t why_size);

/* The incarnation of the node's memory: a session with another one must not use this mapping. */
uint64_t zs_plain_incarnation(const struct zs_plain *plain);

/* Reads one key. ZS_ANSWER_ASK also when the lease is over. Tries a few dozen times, then gives up: never spins. */
enum zs_answer zs_plain_get(struct zs_plain *plain, struct zs_plain_read *read);

/* Reads many keys with their memory accesses overlapped. Any count; 16 to 128 are best. */
void zs_plain_get_batch(struct zs_plain *plain, struct zs_plain_read *reads, size_t count);

#endif
