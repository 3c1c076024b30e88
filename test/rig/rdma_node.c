/* The node of rdma_read: a real engine whose arena is offered, and one thread that writes and keeps the sessions. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/rdma.h"
#include "server/engine/internal.h"
#include "test/rig/rdma_session.h"
#include "test/rig/rdma_truth.h"

enum {
	MEMORY = 8 << 20, /* little: slots are used again soon */
	QUARANTINE_MS = 40,
	LEASE_MS = 4000,
	BURST = 16,
	SESSIONS = 8,
	ECHO_MAX = 64 << 10, /* more than a client sends before it has to wait */
	PAUSES = 8,	     /* one in so many messages is followed by a pause */
};

/* A connection; what is to be sent back is kept while the stream takes no more. */
struct guest {
	struct zs_rdma_connection *connection; /* NULL: free */
	bool paused;
	size_t used;
	uint8_t echo[ECHO_MAX];
};

struct node {
	struct truth *truth;
	struct zs_engine *engine;
	struct zs_thread *thread;
	struct zs_rdma *rdma;
	struct guest guests[SESSIONS];
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

static struct guest *guest_of(struct node *node, const struct zs_rdma_connection *connection)
{
	for (unsigned i = 0; i < SESSIONS; i++) {
		if (node->guests[i].connection == connection)
			return &node->guests[i];
	}
	give_up("keep a session", "it has more than it allows, or an unknown one");
}

static void on_opened(void *context, struct zs_rdma_connection *connection)
{
	struct node *node = context;
	struct guest *guest = guest_of(node, NULL);

	atomic_fetch_add(&node->truth->opened, 1);
	atomic_fetch_add(&node->truth->sessions, 1);
	guest->connection = connection;
	guest->paused = false;
	guest->used = 0;
}

static void forget(struct node *node, struct guest *guest)
{
	zs_rdma_close(guest->connection);
	guest->connection = NULL;
	atomic_fetch_sub(&node->truth->sessions, 1);
}

static void on_ended(void *context, struct zs_rdma_connection *connection, const char *why)
{
	struct node *node = context;

	(void)why;
	forget(node, guest_of(node, connection));
}

static void answer(struct guest *guest, const void *data, size_t size)
{
	if (size > ECHO_MAX - guest->used)
		give_up("echo", "the client sent more than its window");
	memcpy(guest->echo + guest->used, data, size);
	guest->used += size;
}

static void send_echo(struct guest *guest)
{
	size_t sent = zs_rdma_send(guest->connection, guest->echo, guest->used);

	guest->used -= sent;
	memmove(guest->echo, guest->echo + sent, guest->used);
}

static void grant(struct node *node, struct guest *guest)
{
	struct zs_rdma_session session = {
		.incarnation = node->engine->superblock->incarnation,
		.lease_ms = LEASE_MS,
		.node_ms = zs_clock_ms(zs_clock_system()),
		.quarantine_ms = QUARANTINE_MS,
	};

	if (zs_rdma_grant(guest->connection, &session.target))
		give_up("grant reads", "the device refuses");
	answer(guest, &session, sizeof(session));
}

static void on_received(void *context, struct zs_rdma_connection *connection, const uint8_t *data, size_t size)
{
	struct node *node = context;
	struct guest *guest = guest_of(node, connection);

	if (size == 1 && *data == GRANT)
		grant(node, guest);
	else
		answer(guest, data, size);
	if (!guest->paused && draw(&node->random, PAUSES))
		send_echo(guest);
	/* What the client sends until it has used up its window has room. */
	if (guest->used && !guest->paused) {
		guest->paused = true;
		zs_rdma_pause(connection);
	}
}

static void go_on(struct guest *guest)
{
	send_echo(guest);
	if (guest->used || !guest->paused)
		return;
	guest->paused = false;
	zs_rdma_resume(guest->connection);
}

static void on_writable(void *context, struct zs_rdma_connection *connection)
{
	go_on(guest_of(context, connection));
}

static void end_pauses(struct node *node)
{
	for (unsigned i = 0; i < SESSIONS; i++) {
		if (node->guests[i].connection && node->guests[i].paused)
			go_on(&node->guests[i]);
	}
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
		if (node->guests[i].connection)
			zs_rdma_revoke(node->guests[i].connection);
	}
}

/* The revoked ones end nowhere else. */
static void close_all(struct node *node)
{
	for (unsigned i = 0; i < SESSIONS; i++) {
		if (node->guests[i].connection)
			forget(node, &node->guests[i]);
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
		.handler = { on_opened, on_ended, on_received, on_writable, on_done, node },
	};
	char why[256] = "";

	zs_rdma_options_init(&options);
	options.connections = SESSIONS;
	/* So few that clients have to wait for them, too. */
	options.receives = 12;
	options.sends = 3;
	if (zs_rdma_open(&node->rdma, &options, why, sizeof(why)) ||
	    zs_rdma_listen(node->rdma, &node->truth->address, &offer, why, sizeof(why)))
		give_up("listen", why);
	atomic_store(&node->truth->has_windows, zs_rdma_has_windows(node->rdma));
}

static void rest(struct node *node)
{
	struct pollfd poll_fd = { .fd = zs_rdma_fd(node->rdma), .events = POLLIN };

	zs_thread_upkeep(node->thread, 100);
	zs_thread_offline(node->thread);
	if (zs_rdma_arm(node->rdma))
		poll(&poll_fd, 1, 10);
	zs_rdma_pump(node->rdma);
	end_pauses(node);
	zs_thread_online(node->thread);
}

static void obey(struct node *node, enum order order)
{
	if (order == ORDER_WRITE) {
		for (unsigned i = 0; i < BURST; i++)
			write_once(node);
		zs_thread_upkeep(node->thread, 50);
		zs_rdma_pump(node->rdma);
		end_pauses(node);
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
