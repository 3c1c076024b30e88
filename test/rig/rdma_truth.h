/* What the node and the client of rdma_read share beside RDMA: which writes there were, so that reads can be judged. */
#ifndef ZS_TEST_RIG_RDMA_TRUTH_H
#define ZS_TEST_RIG_RDMA_TRUTH_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/rdma_message.h"
#include "common/reader.h"

enum {
	RACE_KEYS = 10000, /* written all the time */
	HOT_KEYS = 64,	   /* of these, which get half of the traffic */
	STILL_KEYS = 500,  /* never changed, for measuring */
	ALL_KEYS = RACE_KEYS + STILL_KEYS,
	KEY_MAX = 32,
	VALUE_MAX = 400,
	OBJECT_SIZE = 256, /* key and value, of those never changed */
};

enum order {
	ORDER_REST,
	ORDER_WRITE,
	ORDER_REVOKE,
	ORDER_END,
};

/* Writes of a key are numbered; a deletion is one too. */
struct line {
	_Atomic uint64_t begun;
	_Atomic uint64_t done;
};

/* In memory of both processes. */
struct truth {
	struct sockaddr_in address;
	_Atomic bool serving;
	_Atomic int order;  /* enum order, of the client to the node */
	_Atomic int obeyed; /* the last one */
	_Atomic bool has_windows;
	_Atomic uint64_t writes, deletions, sessions, opened, refused, expired;
	struct line lines[ALL_KEYS];
};

static inline uint64_t draw(uint64_t *state, uint64_t bound)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return (x * 0x2545f4914f6cdd1du >> 32) % bound;
}

unsigned draw_key(uint64_t *state);

size_t make_key(unsigned key, char *buffer);

/* The value of a write; its size depends on key and number too. */
size_t make_value(unsigned key, uint64_t number, uint8_t *bytes);

/* The number of the write that stored this value; 0 and *what if it is not exactly that of some write to the key. */
uint64_t number_of(unsigned key, const struct zs_read_value *value, const uint8_t *data, const char **what);

/* The node's process: serves until ORDER_END. The exit code. */
int run_node(struct truth *truth);

/* Peers that do not behave. Each returns 0, or prints what was wrong. */
int send_nonsense(const struct truth *truth, unsigned rounds);
int send_hello_and_vanish(const struct truth *truth);

struct session;

/* Sends so many bytes to the node and compares what comes back; gives up after so many pumps without news. 0 or -1. */
int check_echo(struct session *session, uint64_t total, unsigned rounds_max);

/* A process that listens at the truth's port + 1 and answers requests with nonsense, until it is killed. */
void run_impostor(const struct truth *truth);

#endif
