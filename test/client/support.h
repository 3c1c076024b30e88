/* What the tests of the client share: real nodes, fake nodes, and handles to them. Every failure ends the test. */
#ifndef ZS_TEST_CLIENT_SUPPORT_H
#define ZS_TEST_CLIENT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include "client/zslab.h"

/* ---- real nodes ---- */

/*
 * A zslabd (its path: environment variable ZSLABD) with a directory of its own. It listens at ZS_RDMA_ADDRESS, if that
 * is set, as in the guests of the rig and with soft verbs (test/fake/soft): there is RDMA. ZS_RDMA_BIND: what the node
 * has to bind for that, if it is something else.
 */
struct test_node {
	pid_t pid;
	const char *host;
	char directory[64];
	char unix_address[128];
	char tcp_address[64];
	int port;
	const char *options[16];
};

/* Starts it with these options (up to 15, ended by NULL) and waits until it accepts connections. */
void node_start(struct test_node *node, const char *const *options);

/* Starts it again, at the same addresses. */
void node_restart(struct test_node *node);

/* SIGKILL, and waits for its end. The directory stays. */
void node_kill(struct test_node *node);

/* SIGTERM; it has to end well. Removes the directory. Also for one that was killed. */
void node_stop(struct test_node *node);

void node_freeze(struct test_node *node);
void node_thaw(struct test_node *node);

/* ---- fake nodes ---- */

enum fake_end {
	FAKE_KEEPS, /* says nothing more */
	FAKE_CLOSES,
};

/* A server that accepts any number of connections and gives each the same answers, one for each command it gets. */
struct fake {
	int listener;
	char address[64];
	pthread_t thread;
	const char *const *answers; /* ended by NULL; the answer to HELLO comes first */
	const size_t *sizes;	    /* of the answers; NULL: they are texts */
	enum fake_end end;	    /* after the last answer */
	unsigned connections;	    /* so far; atomic */
	bool stops;
};

extern const char fake_hello[];

/* Only listens; who accepts is the caller's business, and so is the end of it. */
void fake_listen(struct fake *fake);

void fake_start(struct fake *fake, const char *const *answers, enum fake_end end);
void fake_stop(struct fake *fake);

/* ---- handles ---- */

/* Opens one that has to open. */
struct zslab *open_handle(const char *address, enum zslab_via via);
struct zslab *open_with(const char *const *addresses, size_t count, const struct zslab_options *options);

/* Calls with texts. */
int set_text(struct zslab *handle, const char *key, const char *value);

/* The status, and the value as a text. */
int get_text(struct zslab *handle, const char *key, char *value, size_t value_size);

#define assert_value(handle, key, expected)                                                     \
	do {                                                                                    \
		char value_[ZSLAB_OBJECT_MAX + 1];                                              \
		assert_status(handle, get_text(handle, key, value_, sizeof(value_)), ZSLAB_OK); \
		assert_string_equal(value_, expected);                                          \
	} while (0)

/* A status, shown with the handle's sentence if it is another one. */
#define assert_status(handle, status, expected) check_status(handle, status, expected, __FILE__, __LINE__)
void check_status(const struct zslab *handle, int status, int expected, const char *file, int line);

/* The sentence mentions this. */
void assert_mentions(const char *sentence, const char *part);

void sleep_ms(unsigned ms);
uint64_t now_ms(void);

/* Calls `condition` until it holds, for at most ten seconds. */
bool wait_until(bool (*condition)(void *context), void *context);

#endif
