#include "server/net/client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "server/commands/server_handlers.h"
#include "server/net/pipeline.h"
#include "server/node/node.h"
#include "server/tier/store.h"

/* How long a connection that we end may take to read its last replies. */
#define DRAIN_MS 1000

/* How many leases long an RDMA connection may be silent. */
#define RDMA_SILENCE_LEASES 10

/* A longer receive has several commands, which prefetch for each other. */
#define EXPECTED_MAX 256

/* ---- life ---- */

static void link_client(struct zs_worker *w, struct zs_client *c)
{
	pthread_mutex_lock(&w->lock);
	c->next = w->clients;
	if (c->next)
		c->next->previous = c;
	w->clients = c;
	pthread_mutex_unlock(&w->lock);
}

static void unlink_client(struct zs_worker *w, struct zs_client *c)
{
	pthread_mutex_lock(&w->lock);
	if (c->previous)
		c->previous->next = c->next;
	else
		w->clients = c->next;
	if (c->next)
		c->next->previous = c->previous;
	pthread_mutex_unlock(&w->lock);
	if (w->cursor == c)
		w->cursor = c->next;
}

static void unlink_stalled(struct zs_worker *w, struct zs_client *c)
{
	struct zs_client **link = &w->stalled;

	while (*link && *link != c)
		link = &(*link)->next_stalled;
	if (*link)
		*link = c->next_stalled;
	c->stalled = false;
	c->stall_listed = false;
}

static void set_socket_options(const struct zs_node *node, int fd)
{
	int keepalive = (int)zs_node_setting(node, ZS_SET_TCP_KEEPALIVE);
	int interval = keepalive / 3 ? keepalive / 3 : 1;
	int count = 3;
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (!keepalive)
		return;
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &keepalive, sizeof(keepalive));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

static bool socket_is_unix(int fd)
{
	int domain = AF_INET;
	socklen_t size = sizeof(domain);

	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
	return domain == AF_UNIX;
}

static void forget_client(struct zs_worker *w)
{
	atomic_fetch_sub_explicit(&w->clients_count, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&w->node->clients, 1, memory_order_relaxed);
}

static struct zs_client *new_client(struct zs_worker *worker, enum zs_transport_kind transport)
{
	struct zs_node *node = worker->node;
	struct zs_client *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->worker = worker;
	c->id = atomic_fetch_add_explicit(&node->next_client_id, 1, memory_order_relaxed) + 1;
	c->transport = transport;
	c->pass_fd = -1;
	c->authenticated = !zs_password_is_set(node);
	c->created_ms = worker->now_ms;
	atomic_store_explicit(&c->active_ms, worker->now_ms, memory_order_relaxed);
	atomic_store_explicit(&c->protocol, 2, memory_order_relaxed);
	zs_reply_init(&c->reply, 0);
	zs_reply_init(&c->sending, 0);
	return c;
}

void zs_client_accept(struct zs_worker *worker, int fd)
{
	struct zs_client *c = new_client(worker, socket_is_unix(fd) ? ZS_TRANSPORT_UNIX : ZS_TRANSPORT_TCP);
	int error;

	if (!c) {
		close(fd);
		forget_client(worker);
		return;
	}
	if (c->transport == ZS_TRANSPORT_TCP)
		set_socket_options(worker->node, fd);
	error = zs_loop_add(worker->loop, &c->connection, fd);
	if (error) {
		zs_log(ZS_LOG_WARN, "a connection could not be served", zs_log_text("error", strerror(error)));
		close(fd);
		free(c);
		forget_client(worker);
		return;
	}
	link_client(worker, c);
}

struct zs_client *zs_client_adopt(struct zs_worker *worker, struct zs_rdma_connection *rdma,
				  const struct zs_carrier *carrier)
{
	struct zs_node *node = worker->node;
	uint64_t most = (uint64_t)zs_node_setting(node, ZS_SET_MAXCLIENTS);
	struct zs_client *c = NULL;

	if (atomic_fetch_add_explicit(&node->clients, 1, memory_order_relaxed) < most)
		c = new_client(worker, ZS_TRANSPORT_RDMA);
	if (!c) {
		atomic_fetch_sub_explicit(&node->clients, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&node->rejected, 1, memory_order_relaxed);
		return NULL;
	}
	atomic_fetch_add_explicit(&worker->clients_count, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&node->accepted, 1, memory_order_relaxed);
	c->rdma = rdma;
	zs_loop_adopt(&c->connection, carrier);
	link_client(worker, c);
	return c;
}

void zs_client_close(struct zs_client *c)
{
	if (c->connection.closing)
		return;
	unlink_client(c->worker, c);
	unlink_stalled(c->worker, c);
	zs_session_end(&c->worker->node->sessions, &c->session);
	zs_loop_close(c->worker->loop, &c->connection);
}

static void release_reply(struct zs_worker *w, struct zs_reply *reply)
{
	if (reply->data)
		zs_blocks_return(&w->blocks, reply->data, reply->size);
	reply->data = 0;
	reply->used = 0;
	reply->size = 0;
}

static void release_pending(struct zs_client *c)
{
	if (c->pending)
		zs_blocks_return(&c->worker->blocks, c->pending, c->pending_size);
	c->pending = 0;
	c->pending_start = 0;
	c->pending_used = 0;
	c->pending_size = 0;
}

static void on_released(void *context, struct zs_connection *connection)
{
	struct zs_client *c = (struct zs_client *)connection;

	(void)context;
	release_reply(c->worker, &c->reply);
	release_reply(c->worker, &c->sending);
	release_pending(c);
	zs_resp_reset(&c->parser);
	zs_store_call_free(c->warm_call);
	free(c->name);
	free(c->library_name);
	free(c->library_version);
	forget_client(c->worker);
	free(c);
}

void zs_client_close_after_reply(struct zs_client *c)
{
	c->close_asked = true;
}

void zs_client_reset(struct zs_client *c)
{
	c->authenticated = !zs_password_is_set(c->worker->node);
	c->reply_off = false;
	c->reply_skip = false;
	c->reply_skip_next = false;
	c->reply.protocol = 2;
	atomic_store_explicit(&c->protocol, 2, memory_order_relaxed);
	atomic_store_explicit(&c->no_evict, false, memory_order_relaxed);
	zs_client_set_text(c, &c->name, 0, 0);
	zs_session_end(&c->worker->node->sessions, &c->session);
	/* What may be read over it cannot be taken back but with the connection. */
	if (c->reads_by_rdma)
		zs_client_close_after_reply(c);
}

bool zs_client_text_is_valid(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (data[i] < '!' || data[i] > '~')
			return false;
	}
	return true;
}

bool zs_client_set_text(struct zs_client *c, char **text, const uint8_t *data, size_t size)
{
	char *copy = 0;
	char *old;

	if (size) {
		copy = malloc(size + 1);
		if (!copy)
			return false;
		memcpy(copy, data, size);
		copy[size] = 0;
	}
	pthread_mutex_lock(&c->worker->lock);
	old = *text;
	*text = copy;
	pthread_mutex_unlock(&c->worker->lock);
	free(old);
	return true;
}

bool zs_client_asked_too_much(const struct zs_client *c)
{
	const struct zs_store_call *call = c->warm_call ? c->warm_call : c->worker->warm_call;

	return call && zs_store_call_is_full(call);
}

/* ---- output ---- */

static size_t unsent(const struct zs_client *c)
{
	return c->sending.used + c->reply.used;
}

static size_t output_pause(const struct zs_client *c)
{
	return (size_t)zs_node_setting(c->worker->node, ZS_SET_OUTPUT_PAUSE);
}

/* Our side says that nothing more comes; the peer gets some time to read what it has not read yet. */
static void begin_drain(struct zs_client *c)
{
	c->draining = true;
	c->drain_deadline_ms = c->worker->now_ms + DRAIN_MS;
	if (c->connection.fd >= 0)
		shutdown(c->connection.fd, SHUT_WR);
	zs_loop_resume(c->worker->loop, &c->connection);
	if (c->connection.ended)
		zs_client_close(c);
}

static void give_reply_room(struct zs_client *c)
{
	size_t limit = (size_t)zs_node_setting(c->worker->node, ZS_SET_OUTPUT_LIMIT);

	c->reply.limit = limit > c->sending.used ? limit - c->sending.used : 0;
	if (c->reply.limit < ZS_BLOCK_SIZE)
		c->reply.limit = ZS_BLOCK_SIZE;
	if (c->reply.data)
		return;
	c->reply.data = zs_blocks_take(&c->worker->blocks);
	c->reply.size = c->reply.data ? ZS_BLOCK_SIZE : 0;
}

static void close_overflown(struct zs_client *c)
{
	zs_count(&c->worker->stats->overflows, 1);
	zs_log(ZS_LOG_WARN, "a client was closed: it has more unread replies than client-output-limit",
	       zs_log_number("id", (int64_t)c->id));
	zs_client_close(c);
}

/*
 * Sends what it can of the replies together with a descriptor. Not by way of the loop, which knows bytes only. Returns
 * how many bytes are sent; -1: it broke, or the peer has not even room for the first one.
 */
static ssize_t send_descriptor(struct zs_client *c)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec bytes = { c->sending.data, c->sending.used };
	struct msghdr message = {
		.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof(control.room)
	};

	control.header = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(&control.header), &c->pass_fd, sizeof(int));
	c->pass_fd = -1;
	return sendmsg(c->connection.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Hands what was built to the kernel, if nothing is there already. */
static void flush(struct zs_client *c)
{
	struct zs_worker *w = c->worker;
	int protocol = c->reply.protocol;
	ssize_t sent = 0;

	if (c->reply.overflow) {
		close_overflown(c);
		return;
	}
	if (c->reply.used == 0) {
		release_reply(w, &c->reply);
		return;
	}
	if (c->sending.used)
		return;
	c->sending = c->reply;
	zs_reply_init(&c->reply, 0);
	c->reply.protocol = protocol;
	zs_count(&w->stats->bytes_out, c->sending.used);
	if (c->pass_fd >= 0) {
		sent = send_descriptor(c);
		if (sent < 0) {
			zs_client_close(c);
			return;
		}
	}
	if ((size_t)sent == c->sending.used)
		release_reply(w, &c->sending);
	else
		zs_loop_send(w->loop, &c->connection, c->sending.data + sent, c->sending.used - (size_t)sent);
}

/* ---- input ---- */

/* Room for `more` bytes behind the pending ones. */
static bool reserve_pending(struct zs_client *c, size_t more)
{
	size_t kept = c->pending_used - c->pending_start;
	size_t wanted = c->pending_size;
	uint8_t *data;

	if (!c->pending && more <= ZS_BLOCK_SIZE) {
		c->pending = zs_blocks_take(&c->worker->blocks);
		c->pending_size = c->pending ? ZS_BLOCK_SIZE : 0;
		return c->pending != 0;
	}
	if (c->pending && c->pending_start) {
		memmove(c->pending, c->pending + c->pending_start, kept);
		c->pending_start = 0;
		c->pending_used = kept;
	}
	if (c->pending && c->pending_size - kept >= more)
		return true;
	if (!wanted)
		wanted = ZS_BLOCK_SIZE;
	while (wanted - kept < more)
		wanted *= 2;
	data = realloc(c->pending, wanted);
	if (!data)
		return false;
	c->pending = data;
	c->pending_size = wanted;
	return true;
}

static bool append_pending(struct zs_client *c, const uint8_t *data, size_t size)
{
	if (!reserve_pending(c, size)) {
		zs_log(ZS_LOG_WARN, "a client was closed: no memory for its request",
		       zs_log_number("id", (int64_t)c->id), zs_log_number("bytes", (int64_t)size));
		zs_client_close(c);
		return false;
	}
	memcpy(c->pending + c->pending_used, data, size);
	c->pending_used += size;
	return true;
}

static void note_sizes(struct zs_client *c)
{
	atomic_store_explicit(&c->pending_bytes, c->pending_used - c->pending_start, memory_order_relaxed);
	atomic_store_explicit(&c->output_bytes, unsent(c), memory_order_relaxed);
}

static bool can_run(const struct zs_client *c)
{
	return !c->connection.closing && !c->close_asked && !c->stalled;
}

static void stall(struct zs_client *c)
{
	if (c->stall_listed)
		return;
	c->stall_listed = true;
	zs_loop_pause(c->worker->loop, &c->connection);
	c->next_stalled = c->worker->stalled;
	c->worker->stalled = c;
}

/* Runs the commands in `data` and sends their replies. Returns how much of it is done. */
static size_t run(struct zs_client *c, const uint8_t *data, size_t size)
{
	size_t position = 0;

	/* These commands came after the worker last took the time, and what had expired by then must not be found. */
	zs_thread_quiesce(c->worker->engine_thread);
	c->running = true;
	while (can_run(c) && position < size) {
		size_t done;

		give_reply_room(c);
		done = zs_pipeline_run(c, data + position, size - position, output_pause(c));
		position += done;
		flush(c);
		if (c->connection.closing)
			break;
		if (unsent(c) >= output_pause(c)) {
			c->paused = true;
			zs_loop_pause(c->worker->loop, &c->connection);
			break;
		}
		if (done == 0)
			break; /* an incomplete command */
	}
	c->running = false;
	return position;
}

static void finish_run(struct zs_client *c)
{
	if (c->connection.closing)
		return;
	if (c->stalled)
		stall(c);
	if (c->close_asked && !c->draining) {
		release_pending(c);
		if (unsent(c) == 0)
			begin_drain(c);
	} else if (c->connection.ended && unsent(c) == 0 && !c->stalled) {
		zs_client_close(c);
		return;
	}
	note_sizes(c);
}

static void run_pending(struct zs_client *c)
{
	if (c->pending_used > c->pending_start)
		c->pending_start += run(c, c->pending + c->pending_start, c->pending_used - c->pending_start);
	if (c->pending_start == c->pending_used && !c->connection.closing)
		release_pending(c);
	finish_run(c);
}

static void on_received(void *context, struct zs_connection *connection, const uint8_t *data, size_t size)
{
	struct zs_client *c = (struct zs_client *)connection;
	struct zs_worker *w = c->worker;
	size_t done;

	(void)context;
	zs_count(&w->stats->bytes_in, size);
	atomic_store_explicit(&c->active_ms, w->now_ms, memory_order_relaxed);
	if (c->close_asked)
		return;
	if (c->pending || c->paused || c->stalled) {
		if (append_pending(c, data, size) && !c->paused && !c->stalled &&
		    c->pending_used - c->pending_start >= c->parser.needed)
			run_pending(c);
		return;
	}
	done = run(c, data, size);
	if (done < size && !c->connection.closing && !c->close_asked && !append_pending(c, data + done, size - done))
		return;
	finish_run(c);
}

/* These requests are parsed twice, which costs less than to wait for their objects one by one. */
static void on_expected(void *context, const struct zs_received *list, size_t count)
{
	struct zs_worker *w = context;
	struct zs_key keys[ZS_EXPECTED_MAX];
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		const struct zs_client *c = (const struct zs_client *)list[i].connection;

		if (list[i].size <= EXPECTED_MAX && !c->connection.closing && !c->pending && c->authenticated &&
		    zs_pipeline_first_key(w, list[i].data, list[i].size, &keys[used]))
			used++;
	}
	zs_prefetch_batch(w->engine_thread, keys, used);
}

static void on_ended(void *context, struct zs_connection *connection, int error)
{
	struct zs_client *c = (struct zs_client *)connection;

	(void)context;
	/* A peer that only shut its side still gets the replies to what it sent. */
	if (error || c->draining || (unsent(c) == 0 && !c->paused && !c->stalled))
		zs_client_close(c);
}

static void on_sent(void *context, struct zs_connection *connection, int error)
{
	struct zs_client *c = (struct zs_client *)connection;

	(void)context;
	release_reply(c->worker, &c->sending);
	if (error) {
		zs_client_close(c);
		return;
	}
	if (c->running)
		return;
	flush(c);
	if (c->connection.closing)
		return;
	if (c->paused && unsent(c) < output_pause(c)) {
		c->paused = false;
		run_pending(c);
		if (!c->paused && !c->stalled && !c->connection.closing)
			zs_loop_resume(c->worker->loop, &c->connection);
		return;
	}
	finish_run(c);
}

void zs_client_retry(struct zs_client *c)
{
	unlink_stalled(c->worker, c);
	if (c->paused)
		return; /* goes on when its replies are taken */
	run_pending(c);
	if (!c->paused && !c->stalled && !c->connection.closing)
		zs_loop_resume(c->worker->loop, &c->connection);
}

/* A host that is gone says nothing, and over RDMA nobody tells us. Our clients renew their leases. */
static uint64_t rdma_idle_ms(const struct zs_client *c, uint64_t idle_ms)
{
	uint64_t most = (uint64_t)zs_node_setting(c->worker->node, ZS_SET_LEASE) * RDMA_SILENCE_LEASES;

	return idle_ms && idle_ms < most ? idle_ms : most;
}

void zs_client_check_age(struct zs_client *c, uint64_t now_ms, uint64_t idle_ms)
{
	uint64_t active = atomic_load_explicit(&c->active_ms, memory_order_relaxed);

	if (c->transport == ZS_TRANSPORT_RDMA)
		idle_ms = rdma_idle_ms(c, idle_ms);

	if (c->draining) {
		if (now_ms >= c->drain_deadline_ms)
			zs_client_close(c);
	} else if (idle_ms && now_ms - active > idle_ms) {
		zs_count(&c->worker->stats->idle_closed, 1);
		zs_client_close(c);
	}
}

const struct zs_loop_handler zs_client_handler = {
	.expected = on_expected,
	.received = on_received,
	.ended = on_ended,
	.sent = on_sent,
	.released = on_released,
};
