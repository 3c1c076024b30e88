/*
 * Telling a node of reads that it did not see, so that eviction knows what is in use: a sample of one in 64, in batches
 * of at most 64, at most ten times a second. Any of it may be lost.
 */
#ifndef ZS_CLIENT_FEEDBACK_H
#define ZS_CLIENT_FEEDBACK_H

#include <stdbool.h>
#include <stdint.h>

#define ZS_FEEDBACK_BATCH 64u
#define ZS_FEEDBACK_MEAN 64u /* reads for each one that is told */

struct zs_node;

/* All zero is a fresh one. */
struct zs_feedback {
	uint32_t skip; /* reads until the next sample */
	uint32_t count;
	bool refused; /* the node does not know the command */
	uint64_t sent_ns;
	uint64_t hashes[ZS_FEEDBACK_BATCH];
};

/* Takes a sample, by the key's hash, and sends the batch if it is time. */
void zs_feedback_sample(struct zs_node *node, uint64_t hash);

#endif
