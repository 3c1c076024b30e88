/*
 * One multishot receive per connection out of a shared ring of buffers, and one send at a time. Sends go to
 * the kernel together, with the call that waits.
 */
#include "bench/driver_internal.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define BUFFERS 64 /* a power of two */
#define GROUP 0
#define CQES 64

/* The low bit of user_data tells what a completion belongs to, the rest is the index. */
enum request_type { RECEIVE, SEND };

struct uring_state {
	struct io_uring ring;
	struct io_uring_buf_ring *buffers;
	size_t mapped;
	char *room;
};

static void give_buffer(struct uring_state *state, unsigned id, int offset)
{
	io_uring_buf_ring_add(state->buffers, state->room + (size_t)id * ZS_DRIVER_CHUNK, ZS_DRIVER_CHUNK,
			      (unsigned short)id, BUFFERS - 1, offset);
}

static int register_buffers(struct uring_state *state)
{
	struct io_uring_buf_reg registration = { 0 };
	size_t ring_size = BUFFERS * sizeof(struct io_uring_buf);
	char *memory;
	int error;

	state->mapped = ring_size + (size_t)BUFFERS * ZS_DRIVER_CHUNK;
	memory = mmap(NULL, state->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -errno;
	state->buffers = (struct io_uring_buf_ring *)memory;
	state->room = memory + ring_size;
	registration.ring_addr = (uint64_t)(uintptr_t)memory;
	registration.ring_entries = BUFFERS;
	registration.bgid = GROUP;
	error = io_uring_register_buf_ring(&state->ring, &registration, 0);
	if (error) {
		munmap(memory, state->mapped);
		return error;
	}
	io_uring_buf_ring_init(state->buffers);
	for (unsigned i = 0; i < BUFFERS; i++)
		give_buffer(state, i, (int)i);
	io_uring_buf_ring_advance(state->buffers, BUFFERS);
	return 0;
}

static int uring_open(struct zs_driver *driver)
{
	struct uring_state *state = calloc(1, sizeof(*state));
	unsigned entries = 64;
	int error;

	if (!state)
		return -ENOMEM;
	while (entries < 2 * driver->count)
		entries *= 2;
	error = io_uring_queue_init(entries, &state->ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
	if (error)
		goto free_state;
	error = register_buffers(state);
	if (error)
		goto exit_ring;
	driver->state = state;
	return 0;

exit_ring:
	io_uring_queue_exit(&state->ring);
free_state:
	free(state);
	return error;
}

static void uring_close(struct zs_driver *driver)
{
	struct uring_state *state = driver->state;

	io_uring_queue_exit(&state->ring);
	munmap(state->buffers, state->mapped);
	free(state);
}

static uint64_t tag(unsigned index, enum request_type type)
{
	return (uint64_t)index << 1 | type;
}

static struct io_uring_sqe *get_sqe(struct uring_state *state)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&state->ring);

	if (!sqe) {
		io_uring_submit(&state->ring);
		sqe = io_uring_get_sqe(&state->ring);
	}
	if (!sqe)
		abort(); /* the queue holds a receive and a send of every connection */
	return sqe;
}

static int uring_add(struct zs_driver *driver, unsigned index)
{
	struct io_uring_sqe *sqe = get_sqe(driver->state);

	io_uring_prep_recv_multishot(sqe, driver->connections[index].fd, NULL, 0, 0);
	sqe->user_data = tag(index, RECEIVE);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = GROUP;
	return 0;
}

static bool uring_send(struct zs_driver *driver, unsigned index)
{
	struct zs_driver_connection *connection = &driver->connections[index];
	struct io_uring_sqe *sqe = get_sqe(driver->state);

	io_uring_prep_send(sqe, connection->fd, connection->data, connection->size, MSG_NOSIGNAL | MSG_WAITALL);
	sqe->user_data = tag(index, SEND);
	connection->busy = true;
	return false;
}

/*
 * A connection is reported as lost when the kernel has neither of its requests any more: the owner may then use the
 * index for another one.
 */
static void report_end(struct zs_driver *driver, unsigned index)
{
	const struct zs_driver_connection *connection = &driver->connections[index];

	if (connection->ended && !connection->busy)
		zs_driver_lost(driver, index, connection->error);
}

static void send_done(struct zs_driver *driver, unsigned index, int result)
{
	struct zs_driver_connection *connection = &driver->connections[index];

	connection->busy = false;
	if (result < 0) {
		connection->error = -result;
		shutdown(connection->fd, SHUT_RDWR); /* ends the receive, too */
	}
	if (connection->ended || result < 0) {
		report_end(driver, index);
		return;
	}
	connection->data += result;
	connection->size -= (size_t)result;
	if (connection->size) {
		uring_send(driver, index);
		return;
	}
	driver->events.sent(driver->events.context, index);
}

static void receive_done(struct zs_driver *driver, unsigned index, const struct io_uring_cqe *cqe)
{
	struct zs_driver_connection *connection = &driver->connections[index];
	struct uring_state *state = driver->state;

	if (cqe->res > 0) {
		unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;

		driver->events.data(driver->events.context, index, state->room + (size_t)id * ZS_DRIVER_CHUNK,
				    (size_t)cqe->res);
		give_buffer(state, id, 0);
		io_uring_buf_ring_advance(state->buffers, 1);
	} else if (cqe->res != -ENOBUFS) {
		connection->ended = true;
		if (!connection->error)
			connection->error = -cqe->res;
		report_end(driver, index);
		return;
	}
	/* Out of buffers, or the kernel ended the multishot: ask again. */
	if (!(cqe->flags & IORING_CQE_F_MORE))
		uring_add(driver, index);
}

static int uring_wait(struct zs_driver *driver, int timeout_ms)
{
	struct uring_state *state = driver->state;
	struct __kernel_timespec timeout = { timeout_ms / 1000, (long long)(timeout_ms % 1000) * 1000000 };
	struct io_uring_cqe *cqes[CQES];
	unsigned count;
	int error;

	if (timeout_ms)
		error = io_uring_submit_and_wait_timeout(&state->ring, cqes, 1, &timeout, NULL);
	else
		error = io_uring_submit_and_get_events(&state->ring);
	if (error < 0 && error != -ETIME && error != -EINTR)
		return error;
	while ((count = io_uring_peek_batch_cqe(&state->ring, cqes, CQES)) > 0) {
		for (unsigned i = 0; i < count; i++) {
			unsigned index = (unsigned)(cqes[i]->user_data >> 1);

			if ((cqes[i]->user_data & 1) == SEND)
				send_done(driver, index, cqes[i]->res);
			else
				receive_done(driver, index, cqes[i]);
		}
		io_uring_cq_advance(&state->ring, count);
	}
	return 0;
}

const struct zs_driver_kind zs_driver_uring = {
	"io_uring", uring_open, uring_close, uring_add, uring_send, uring_wait,
};
