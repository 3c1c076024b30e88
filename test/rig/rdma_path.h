/*
 * The path that RDMA takes from this process to a node, for a test that watches it and cuts it: soft-RoCE in the rig's
 * guest (rdma_path_wire.c; to be cut it has to be a wire of two_hosts.sh), or soft verbs (rdma_path_soft.c). A call
 * that fails ends the test.
 */
#ifndef ZS_TEST_RIG_RDMA_PATH_H
#define ZS_TEST_RIG_RDMA_PATH_H

#include <stdbool.h>
#include <stdint.h>

/* What is there to be used; false, and a sentence on standard error, if it is not. */
bool path_prepare(void);

/* A port to listen at by RDMA that nobody else here uses; nor the next few. */
uint16_t path_port(void);

/* What this end has got over the path so far, answers to READs and messages. */
uint64_t path_received(void);

/* Nothing of RDMA goes through, while TCP does. */
void path_cut_rdma(void);
void path_heal_rdma(void);

/* Nothing at all goes through. Only if path_can_cut_all. */
bool path_can_cut_all(void);
void path_cut_all(void);
void path_heal_all(void);

/* How long a cut has to last, in ms, for everything that should happen to have happened. */
unsigned path_patience(void);

#endif
