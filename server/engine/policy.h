/*
 * Which slab to evict, and which of its objects are worth keeping: one small interface for every policy.
 */
#ifndef ZS_SERVER_ENGINE_POLICY_H
#define ZS_SERVER_ENGINE_POLICY_H

#include "server/engine/internal.h"

/* What becomes of one object of a victim. */
struct zs_verdict {
	bool keep;	  /* copy it forward */
	bool main;	  /* into the main queue */
	bool remember;	  /* in the ghost, when it is not kept */
	uint32_t recency; /* that the copy starts with */
};

struct zs_policy_ops {
	const char *name;
	/* A claimed slab, or ZS_SLAB_NONE. Takes the partition's lock. */
	uint32_t (*victim)(struct zs_thread *thread, struct zs_part *part);
	/* About an object of it, read `recency` (0..3) times lately; `main`: the victim is of the main queue. */
	struct zs_verdict (*judge)(bool main, uint32_t recency);
};

/* NULL for ZS_POLICY_NOEVICTION. */
const struct zs_policy_ops *zs_policy_ops(enum zs_policy policy);

#endif
