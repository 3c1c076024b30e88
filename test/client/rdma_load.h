/* What the tests of libzslab over RDMA share: handles, and a load whose results tell whether anything went wrong. */
#ifndef ZS_TEST_CLIENT_RDMA_LOAD_H
#define ZS_TEST_CLIENT_RDMA_LOAD_H

#include "test/client/support.h"

enum { RDMA_PATIENCE_MS = 20000 };

/* As node_start, with a node whose soft verbs have these settings. */
void start_faulty(struct test_node *node, const char *settings, const char *const *options);

/* One that reads and operates by RDMA, and has patience with slow machines. */
struct zslab *open_rdma(const struct test_node *node);

struct zslab_counters count(struct zslab *handle);
bool is_attached(struct zslab *handle);

/* Lets the library do what time brings, for two milliseconds. */
void turn(struct zslab *handle);

/* Waits until reads go by RDMA; how long that took, in ms. */
uint64_t await_attached(struct zslab *handle);

/* What came of the load; all zero at first. One for a node that holds neither "n" nor "k". */
struct outcome {
	uint64_t increments;
	uint64_t unknown;
	uint64_t undone;
	uint64_t written; /* the last value that was to be written */
	uint64_t certain; /* no value before this one may be seen */
	uint64_t longest_ms;
};

/*
 * An increment, a write and a read, over and over for so long. A value that is read must not be older than the last one
 * that was certainly written.
 */
void load(struct zslab *handle, struct outcome *outcome);
void load_for(struct zslab *handle, struct outcome *outcome, unsigned ms);

/* Each increment was done once, or not, or is said to be unknown. */
void check_outcome(struct zslab *handle, const struct outcome *outcome);

#endif
