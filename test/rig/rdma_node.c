/* The node of rdma_read: a real engine whose arena is offered, and one thread that writes and keeps the sessions. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/rdma.h"
#include "server/engine/internal.h"
#include "test/rig/rdma_truth.h"

enum {
	MEMORY = 8 << 20, /* little: slots are used again soon */
	QUARANTINE_MS = 40,
	LEASE_MS = 4000,
	BURST = 16,
	SESSIONS = 8,
};

struct node {
	struct truth *truth;
	struct zs_engine *engine;
	struct zs_thread *thread;
	struct zs_rdma *rdma;
	struct zs_rdma_connection *sessions[SESSIONS];
	uint64_t random;
};

static _Noreturn void give_up(const char *what, const char *why)
{
	fprintf(stderr, "FAILED: the node cannot %s: %s\n", what, why);
	_exit(1);
}

/* ---- writing ---- */

static int store(struct node *node, unsigned key, uint64_t number, uint64_t deadline)
{
	uint8_t bytes[VALUE_MAX];
	char name[KEY_MAX];
	struct zs_set set = { .key = name, .key_size = make_key(key, name), .value = bytes, .deadline = deadline };
	int result;

	set.value_size = make_value(key, number, bytes);
	while ((result = zs_set(node->thread, &set, NULL)) == ZS_EAGAIN) {
		zs_thread_upkeep(node->thread, 200);
		zs_rdma_pump(node->rdma);
	}
	return result;
}

static void write_once(struct node *node)
{
	unsigned key = draw_key(&node->random);
	struct line *line = &node->truth->lines[key];
	uint64_t number = atomic_load(&line->begun) + 1;
	uint64_t deadline = 0;
	char name[KEY_MAX];
	int result;

	atomic_store(&line->begun, number);
	if (draw(&node->random, 8) == 0) {
		result = zs_delete(node->thread, name, make_key(key, name), NULL);
		if (result == ZS_ENOTFOUND)
			result = ZS_OK;
		atomic_fetch_add(&node->truth->deletions, 1);
	} else {
		if (draw(&node->random, 2))
			deadline = zs_thread_now(node->thread) + 1 + draw(&node->random, 1500);
		result = store(node, key, number, deadline);
		atomic_fetch_add(&node->truth->writes, 1);
	}
	if (result)
		give_up("write", zs_error_text(result));
	atomic_store(&line->done, number);
}

static void fill(struct node *node)
{
	for (unsigned key = 0; key < ALL_KEYS; key++) {
		struct line *line = &node->truth->lines[key];
		int result;

		atomic_store(&line->begun, 1);
		result = store(node, key, 1, 0);
		if (result)
			give_up("fill its memory", zs_error_text(result));
		atomic_store(&line->done, 1);
		zs_thread_quiesce(node->thread);
	}
}

/* ---- sessions ---- */

static void on_opened(void *context, struct zs_rdma_connection *connection)
{
	struct node *node = context;

	atomic_fetch_add(&node->truth->opened, 1);
	atomic_fetch_add(&node->truth->sessions, 1);
	for (unsigned i = 0; i < SESSIONS; i++) {
		if (!node->sessions[i]) {
			node->sessions[i] = connection;
			return;
		}
	}
	give_up("keep a session", "it has more than it allows");
}

static void on_ended(void *context, struct zs_rdma_connection *connection, const char *why)
{
	struct node *node = context;

	(void)why;
	for (unsigned i = 0; i < SESSIONS; i++) {
		if (node->sessions[i] != connection)
			continue;
		node->sessions[i] = NULL;
		atomic_fetch_sub(&node->truth->sessions, 1);
	}
	zs_rdma_close(connection);
}

static void on_done(void *context, void *read, bool ok)
{
	(void)context;
	(void)read;
	(void)ok;
	give_up("go on", "it reads nothing, but a read is over");
}

static void revoke_all(struct node *node)
{
	for (unsigned i = 0; i < SESSIONS; i++) {
		if (node->sessions[i])
			zs_rdma_revoke(node->sessions[i]);
	}
}

/* The revoked ones end nowhere else. */
static void close_all(struct node *node)
{
	for (unsigned i = 0; i < SESSIONS; i++) {
		if (!node->sessions[i])
			continue;
		zs_rdma_close(node->sessions[i]);
		node->sessions[i] = NULL;
		atomic_fetch_sub(&node->truth->sessions, 1);
	}
}

/* ---- running ---- */

static void open_engine(struct node *node)
{
	struct zs_engine_options options;
	char why[256] = "";

	zs_engine_options_init(&options);
	options.memory = MEMORY;
	options.quarantine_ms = QUARANTINE_MS;
	options.huge_pages = false;
	if (zs_engine_open(&options, &node->engine, why, sizeof(why)))
		give_up("open an engine", why);
	node->thread = zs_thread_attach(node->engine);
	if (!node->thread)
		give_up("attach to its engine", "no memory");
	zs_engine_expect_readers(node->engine, true);
}

static void listen_for_readers(struct node *node)
{
	struct zs_rdma_options options;
	struct zs_rdma_offer offer = {
		.arena = node->engine->arena,
		.arena_size = node->engine->arena_size,
		.incarnation = node->engine->superblock->incarnation,
		.quarantine_ms = QUARANTINE_MS,
		.lease_ms = LEASE_MS,
		.handler = { on_opened, on_ended, on_done, node },
	};
	char why[256] = "";

	memcpy(offer.token, node->truth->token, sizeof(offer.token));
	zs_rdma_options_init(&options);
	options.connections = SESSIONS;
	if (zs_rdma_open(&node->rdma, &options, why, sizeof(why)) ||
	    zs_rdma_listen(node->rdma, &node->truth->address, &offer, why, sizeof(why)))
		give_up("listen", why);
}

static void rest(struct node *node)
{
	struct pollfd poll_fd = { .fd = zs_rdma_fd(node->rdma), .events = POLLIN };

	zs_thread_upkeep(node->thread, 100);
	zs_thread_offline(node->thread);
	if (zs_rdma_arm(node->rdma))
		poll(&poll_fd, 1, 10);
	zs_rdma_pump(node->rdma);
	zs_thread_online(node->thread);
}

static void obey(struct node *node, enum order order)
{
	if (order == ORDER_WRITE) {
		for (unsigned i = 0; i < BURST; i++)
			write_once(node);
		zs_thread_upkeep(node->thread, 50);
		zs_rdma_pump(node->rdma);
	} else {
		if (order == ORDER_REVOKE && atomic_load(&node->truth->obeyed) != ORDER_REVOKE)
			revoke_all(node);
		else if (order == ORDER_REST && atomic_load(&node->truth->obeyed) == ORDER_REVOKE)
			close_all(node);
		rest(node);
	}
	atomic_store(&node->truth->refused, zs_rdma_refused(node->rdma));
	atomic_store(&node->truth->obeyed, (int)order);
}

int run_node(struct truth *truth)
{
	static struct node node;
	struct zs_stats stats;
	enum order order;

	node.truth = truth;
	node.random = 0x5eed;
	open_engine(&node);
	listen_for_readers(&node);
	fill(&node);
	atomic_store(&truth->serving, true);
	while ((order = (enum order)atomic_load(&truth->order)) != ORDER_END)
		obey(&node, order);
	zs_rdma_free(node.rdma);
	zs_engine_stats(node.engine, &stats);
	atomic_store(&truth->expired, stats.expired_objects);
	zs_thread_detach(node.thread);
	zs_engine_close(node.engine);
	return 0;
}
