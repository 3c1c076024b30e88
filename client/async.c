/* The asynchronous form, and what a handle tells about itself. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "client/internal.h"

int zslab_submit(struct zslab *handle, struct zslab_op *op)
{
	int result = zs_enter(handle);

	if (result)
		return result;
	result = zs_submit(handle, op, ZS_OP_FLYING);
	zs_arm(handle);
	zs_leave(handle);
	return result;
}

static size_t fetch(struct zslab *client, struct zslab_op **ops, size_t max)
{
	size_t count = 0;

	while (count < max && client->done) {
		ops[count++] = client->done;
		client->done = client->done->own.next;
	}
	if (!client->done)
		client->done_end = &client->done;
	return count;
}

static int poll_until(struct zslab *client, struct zslab_op **ops, size_t max, uint64_t until_ns)
{
	bool waits = until_ns && !client->done;
	size_t count = 0;

	while (!count) {
		int error = zs_turn(client, waits && client->in_flight ? until_ns : 0);

		if (error)
			return error;
		count = fetch(client, ops, max);
		if (!waits || !client->in_flight || zs_now() >= until_ns)
			break;
	}
	return (int)count;
}

int zslab_poll(struct zslab *handle, struct zslab_op **ops, size_t max, int timeout_ms)
{
	uint64_t until = 0;
	int result = zs_enter(handle);

	if (result)
		return result;
	if (timeout_ms)
		until = timeout_ms < 0 ? UINT64_MAX : zs_now() + (uint64_t)timeout_ms * 1000000;
	result = poll_until(handle, ops, max < INT32_MAX ? max : INT32_MAX, until);
	zs_arm(handle);
	zs_leave(handle);
	return result;
}

static void on_timer(void *owner, uint32_t events)
{
	struct zslab *client = owner;
	uint64_t times;

	(void)events;
	if (read(client->timer, &times, sizeof(times)) == (ssize_t)sizeof(times))
		client->timer_ns = 0;
}

int zslab_fd(struct zslab *handle)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = &handle->timer_watch };
	int result = zs_enter(handle);

	if (result)
		return result;
	result = handle->epoll;
	if (handle->timer < 0) {
		handle->timer_watch = (struct zs_watch){ on_timer, handle };
		handle->timer = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
		if (handle->timer < 0 || epoll_ctl(handle->epoll, EPOLL_CTL_ADD, handle->timer, &event)) {
			snprintf(handle->error, sizeof(handle->error), "timerfd: %s", strerror(errno));
			result = ZSLAB_ESYS;
		}
	}
	zs_arm(handle);
	zs_leave(handle);
	return result;
}

/* ---- about the handle ---- */

const char *zslab_error(const struct zslab *handle)
{
	return handle->error;
}

int zslab_counters(struct zslab *handle, struct zslab_counters *counters)
{
	int result = zs_enter(handle);

	if (result)
		return result;
	*counters = handle->counters;
	for (unsigned i = 0; i < handle->node_count; i++) {
		const struct zs_rdma_reader *reader = handle->nodes[i].rdma.reader;

		if (!reader)
			continue;
		counters->rdma_reads += zs_rdma_reader_reads(reader);
		counters->rdma_bytes += zs_rdma_reader_bytes(reader);
	}
	zs_leave(handle);
	return ZSLAB_OK;
}

size_t zslab_node_count(const struct zslab *handle)
{
	return handle->node_count;
}

size_t zslab_node_of(const struct zslab *handle, const void *key, size_t key_size)
{
	return zs_topology_node(&handle->topology, key, key_size);
}

int zslab_node_state(struct zslab *handle, size_t number, struct zslab_node_state *state)
{
	const struct zs_node *node;
	int result = zs_enter(handle);

	if (result)
		return result;
	if (number >= handle->node_count) {
		result = ZSLAB_EINVAL;
		goto leave;
	}
	node = &handle->nodes[number];
	*state = (struct zslab_node_state){
		.address = node->address.text,
		.connected = zs_lane_is_ready(node->lane) || zs_lane_is_ready(&node->socket),
		.attached = node->shm.attached || node->rdma.attached,
		.problem = node->why[0]	      ? node->why
			   : node->shm.why[0] ? node->shm.why
					      : node->rdma.why,
	};
	state->operations = !state->connected			 ? "none"
			    : zs_lane_is_ready(&node->rdma.lane) ? "rdma"
			    : node->address.is_unix		 ? "unix"
								 : "tcp";
	state->reads = node->shm.attached ? "shm" : state->operations;
leave:
	zs_leave(handle);
	return result;
}
