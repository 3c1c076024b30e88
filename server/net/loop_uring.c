/*
 * The loop on io_uring (Linux 6.0 and later). One multishot receive per connection draws from a ring of buffers that
 * all connections of the loop share, so an idle connection owns nothing but a small request in the kernel. Requests are
 * collected and submitted together with the wait for completions: one system call for each round of the loop.
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/error.h"
#include "server/net/loop.h"

#define SUBMISSIONS 1024u
#define COMPLETIONS 8192u
#define BATCH 256u
#define BUFFERS 128u /* a power of two */
#define BUFFER_SIZE 16384u
#define BUFFER_GROUP 0

/* Replies of at least this size are sent without a request to the ring. */
#define SEND_NOW 2048u

/* The low bits of user_data; the rest is the connection, or the loop. */
enum tag { TAG_RECEIVE, TAG_SEND, TAG_WAKE, TAG_WATCH, TAG_IGNORE, TAG_MASK = 7 };

struct uring_loop {
	struct zs_loop loop; /* first */
	struct io_uring ring;
	struct io_uring_buf_ring *buffer_ring;
	uint8_t *buffers;
	uint64_t wake_count;
	int watched_fd; /* -1: none */
	bool watching;	/* a request to poll it is with the kernel */
	struct io_uring_cqe *batch[BATCH];
};

static struct uring_loop *self(struct zs_loop *loop)
{
	return (struct uring_loop *)loop;
}

/* ---- opening ---- */

static int open_ring(struct io_uring *ring)
{
	/* From Linux 6.1, and 6.0 with what it has. */
	static const unsigned flags[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN,
	};
	int error = 0;

	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct io_uring_params params = { .flags = flags[i] | IORING_SETUP_CQSIZE, .cq_entries = COMPLETIONS };

		error = -io_uring_queue_init_params(SUBMISSIONS, ring, &params);
		if (!error && !(params.features & IORING_FEAT_EXT_ARG)) {
			io_uring_queue_exit(ring);
			error = EINVAL;
		}
		if (error != EINVAL)
			break;
	}
	return error;
}

static void return_buffer(struct uring_loop *u, unsigned id)
{
	io_uring_buf_ring_add(u->buffer_ring, u->buffers + (size_t)id * BUFFER_SIZE, BUFFER_SIZE, (unsigned short)id,
			      io_uring_buf_ring_mask(BUFFERS), 0);
	io_uring_buf_ring_advance(u->buffer_ring, 1);
}

static void *map_pages(size_t size)
{
	void *memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? 0 : memory;
}

static int open_buffers(struct uring_loop *u)
{
	struct io_uring_buf_reg reg = { .ring_entries = BUFFERS, .bgid = BUFFER_GROUP };
	int error;

	u->buffer_ring = map_pages(BUFFERS * sizeof(struct io_uring_buf));
	u->buffers = map_pages((size_t)BUFFERS * BUFFER_SIZE);
	if (!u->buffer_ring || !u->buffers)
		return ENOMEM;
	reg.ring_addr = (uintptr_t)u->buffer_ring;
	error = -io_uring_register_buf_ring(&u->ring, &reg, 0);
	if (error)
		return error;
	io_uring_buf_ring_init(u->buffer_ring);
	for (unsigned i = 0; i < BUFFERS; i++)
		return_buffer(u, i);
	return 0;
}

static void free_buffers(struct uring_loop *u)
{
	if (u->buffer_ring)
		munmap(u->buffer_ring, BUFFERS * sizeof(struct io_uring_buf));
	if (u->buffers)
		munmap(u->buffers, (size_t)BUFFERS * BUFFER_SIZE);
}

static struct io_uring_sqe *new_request(struct uring_loop *u, void *pointer, enum tag tag)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	while (!sqe) {
		io_uring_submit(&u->ring);
		sqe = io_uring_get_sqe(&u->ring);
	}
	/* The preparing functions do not touch user_data. */
	sqe->user_data = (uintptr_t)pointer | tag;
	return sqe;
}

static void arm_wake(struct uring_loop *u)
{
	struct io_uring_sqe *sqe = new_request(u, u, TAG_WAKE);

	io_uring_prep_read(sqe, u->loop.wake_fd, &u->wake_count, sizeof(u->wake_count), 0);
}

static int open_uring(const struct zs_loop_handler *handler, struct zs_loop **loop)
{
	struct uring_loop *u = calloc(1, sizeof(*u));
	int error;

	if (!u)
		return ZS_ENOMEM;
	u->loop = (struct zs_loop){ .backend = &zs_loop_uring, .handler = *handler };
	u->watched_fd = -1;
	u->loop.wake_fd = eventfd(0, EFD_CLOEXEC);
	if (u->loop.wake_fd < 0) {
		error = errno;
		goto free_loop;
	}
	error = open_ring(&u->ring);
	if (error)
		goto close_wake;
	error = open_buffers(u);
	if (error)
		goto close_ring;
	io_uring_register_ring_fd(&u->ring); /* saves a lookup per call; works without */
	arm_wake(u);
	*loop = &u->loop;
	return ZS_OK;
close_ring:
	io_uring_queue_exit(&u->ring);
	free_buffers(u);
close_wake:
	close(u->loop.wake_fd);
free_loop:
	free(u);
	errno = error;
	return ZS_ESYS;
}

static void close_all(struct zs_loop *loop)
{
	struct uring_loop *u = self(loop);

	zs_loop_release_all(loop);
	io_uring_queue_exit(&u->ring);
	free_buffers(u);
	close(loop->wake_fd);
	free(u);
}

/* ---- requests ---- */

static void arm_receive(struct uring_loop *u, struct zs_connection *c)
{
	struct io_uring_sqe *sqe = new_request(u, c, TAG_RECEIVE);

	io_uring_prep_recv_multishot(sqe, c->fd, 0, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = BUFFER_GROUP;
	c->armed = true;
	c->requests++;
}

static int add(struct zs_loop *loop, struct zs_connection *c, int fd)
{
	(void)fd;
	arm_receive(self(loop), c);
	return 0;
}

static int watch(struct zs_loop *loop, int fd)
{
	self(loop)->watched_fd = fd;
	return ZS_OK;
}

/* Once for each wait that sleeps: it is asked whether the descriptor is readable, not whether it becomes so. */
static void arm_watch(struct uring_loop *u)
{
	if (u->watched_fd < 0 || u->watching)
		return;
	io_uring_prep_poll_add(new_request(u, u, TAG_WATCH), u->watched_fd, POLLIN);
	u->watching = true;
}

static void pause_receive(struct zs_loop *loop, struct zs_connection *c)
{
	if (!c->armed)
		return;
	io_uring_prep_cancel64(new_request(self(loop), 0, TAG_IGNORE), (uintptr_t)c | TAG_RECEIVE, 0);
}

static void resume_receive(struct zs_loop *loop, struct zs_connection *c)
{
	if (!c->armed)
		arm_receive(self(loop), c);
}

static void submit_send(struct uring_loop *u, struct zs_connection *c)
{
	struct io_uring_sqe *sqe = new_request(u, c, TAG_SEND);

	io_uring_prep_send(sqe, c->fd, c->send_data, c->send_size, MSG_NOSIGNAL | MSG_WAITALL);
	c->requests++;
}

/*
 * A long reply goes out at once: it has just been written and is in the processor's cache, where that of the next
 * connection may then be written. Short ones are collected.
 */
static void send_all(struct zs_loop *loop, struct zs_connection *c, const uint8_t *data, size_t size)
{
	ssize_t n = size >= SEND_NOW ? send(c->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;

	if (n < 0)
		n = 0; /* the request will meet the same error, and tell */
	c->send_data = data + n;
	c->send_size = size - (size_t)n;
	if (c->send_size)
		submit_send(self(loop), c);
	else
		loop->handler.sent(loop->handler.context, c, 0);
}

static void close_connection(struct zs_loop *loop, struct zs_connection *c)
{
	if (c->requests == 0) {
		zs_loop_defer_release(loop, c);
		return;
	}
	/* The requests end with what shutdown makes of them; a cancel would leave a window between two of them. */
	shutdown(c->fd, SHUT_RDWR);
	if (c->armed)
		io_uring_prep_cancel64(new_request(self(loop), 0, TAG_IGNORE), (uintptr_t)c | TAG_RECEIVE, 0);
}

/* ---- completions ---- */

static void wait_events(struct zs_loop *loop, unsigned timeout_ms)
{
	struct uring_loop *u = self(loop);
	struct io_uring_cqe *cqe;
	struct __kernel_timespec timeout = { .tv_sec = timeout_ms / 1000,
					     .tv_nsec = (long long)(timeout_ms % 1000) * 1000000 };

	if (timeout_ms == 0) {
		io_uring_submit_and_get_events(&u->ring);
		return;
	}
	arm_watch(u);
	io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, &timeout, 0);
}

static void one_request_less(struct uring_loop *u, struct zs_connection *c)
{
	c->requests--;
	if (c->closing && c->requests == 0)
		zs_loop_defer_release(&u->loop, c);
}

static void end(struct uring_loop *u, struct zs_connection *c, int error)
{
	c->ended = true;
	u->loop.handler.ended(u->loop.handler.context, c, error);
}

static uint8_t *buffer_of(const struct uring_loop *u, unsigned flags)
{
	return u->buffers + (size_t)(flags >> IORING_CQE_BUFFER_SHIFT) * BUFFER_SIZE;
}

static void on_receive(struct uring_loop *u, struct zs_connection *c, int result, unsigned flags)
{
	struct zs_loop_handler *handler = &u->loop.handler;

	if (!(flags & IORING_CQE_F_MORE))
		c->armed = false;
	if (flags & IORING_CQE_F_BUFFER) {
		if (result > 0 && !c->closing)
			handler->received(handler->context, c, buffer_of(u, flags), (size_t)result);
		return_buffer(u, flags >> IORING_CQE_BUFFER_SHIFT);
	}
	if (flags & IORING_CQE_F_MORE)
		return;
	if (!c->closing && !c->ended) {
		/* Out of buffers (they are back by now), paused, or a multishot that ended for reasons of its own. */
		if (result > 0 || result == -ENOBUFS || result == -ECANCELED || result == -EINTR) {
			if (c->receiving && !c->armed)
				arm_receive(u, c);
		} else {
			end(u, c, -result);
		}
	}
	one_request_less(u, c);
}

static void on_send(struct uring_loop *u, struct zs_connection *c, int result)
{
	struct zs_loop_handler *handler = &u->loop.handler;

	if (!c->closing) {
		if (result > 0 && (size_t)result < c->send_size) {
			c->send_data += result;
			c->send_size -= (size_t)result;
			submit_send(u, c);
		} else if (result == -EINTR) {
			submit_send(u, c);
		} else {
			c->send_size = 0;
			handler->sent(handler->context, c, result < 0 ? -result : 0);
		}
	}
	one_request_less(u, c);
}

static struct zs_connection *connection_of(const struct io_uring_cqe *cqe)
{
	return (struct zs_connection *)((char *)io_uring_cqe_get_data(cqe) - (cqe->user_data & TAG_MASK));
}

static void complete(struct uring_loop *u, const struct io_uring_cqe *cqe)
{
	struct zs_connection *c = connection_of(cqe);

	switch ((enum tag)(cqe->user_data & TAG_MASK)) {
	case TAG_RECEIVE:
		on_receive(u, c, cqe->res, cqe->flags);
		break;
	case TAG_SEND:
		on_send(u, c, cqe->res);
		break;
	case TAG_WAKE:
		arm_wake(u);
		u->loop.handler.woken(u->loop.handler.context);
		break;
	case TAG_WATCH:
		u->watching = false;
		break;
	default:
		break;
	}
}

/* What was received among the next completions; returns how many of these were looked at. */
static unsigned look_ahead(struct uring_loop *u, struct io_uring_cqe *const *batch, unsigned count)
{
	struct zs_received list[ZS_EXPECTED_MAX];
	unsigned used = 0;
	unsigned i;

	for (i = 0; i < count && used < ZS_EXPECTED_MAX; i++) {
		const struct io_uring_cqe *cqe = batch[i];

		if ((cqe->user_data & TAG_MASK) != TAG_RECEIVE || !(cqe->flags & IORING_CQE_F_BUFFER) || cqe->res <= 0)
			continue;
		list[used].connection = connection_of(cqe);
		list[used].data = buffer_of(u, cqe->flags);
		list[used++].size = (size_t)cqe->res;
	}
	if (used > 1)
		u->loop.handler.expected(u->loop.handler.context, list, used);
	return i;
}

static void complete_all(struct uring_loop *u, unsigned count)
{
	unsigned seen = 0;

	for (unsigned i = 0; i < count; i++) {
		if (i == seen)
			seen += look_ahead(u, u->batch + i, count - i);
		complete(u, u->batch[i]);
	}
}

static size_t dispatch(struct zs_loop *loop)
{
	struct uring_loop *u = self(loop);
	size_t total = 0;
	unsigned count;

	/* Not until it is empty: upkeep and sleepers of other rings want their turn. */
	while (total < COMPLETIONS && (count = io_uring_peek_batch_cqe(&u->ring, u->batch, BATCH)) > 0) {
		complete_all(u, count);
		io_uring_cq_advance(&u->ring, count);
		total += count;
	}
	zs_loop_release_all(loop);
	return total;
}

int zs_loop_uring_try(void)
{
	struct uring_loop u = { 0 };
	int error = open_ring(&u.ring);

	if (error)
		return error;
	error = open_buffers(&u);
	io_uring_queue_exit(&u.ring);
	free_buffers(&u);
	return error;
}

const struct zs_loop_backend zs_loop_uring = {
	.open = open_uring,
	.close_all = close_all,
	.add = add,
	.watch = watch,
	.carrier = { pause_receive, resume_receive, send_all, close_connection },
	.wait = wait_events,
	.dispatch = dispatch,
};
