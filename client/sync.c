/* The synchronous form: an operation on the stack, and the wait for it. */
#include <stdio.h>
#include <string.h>

#include "client/internal.h"

static void wait_for(struct zslab *client, struct zslab_op *op)
{
	while (op->own.state != ZS_OP_DONE) {
		if (zs_turn(client, UINT64_MAX) == ZSLAB_OK)
			continue;
		/* Without epoll no answer will come: it ends as if its time were over. */
		op->own.deadline_ns = 0;
		zs_expire(client, 0);
	}
}

static int run(struct zslab *handle, struct zslab_op *op, enum zs_op_state state)
{
	int result = zs_enter(handle);

	if (result)
		return result;
	result = zs_submit(handle, op, state);
	if (result == 0)
		wait_for(handle, op);
	if (result >= 0)
		result = op->status;
	else
		op->status = result;
	if (handle->timer >= 0)
		zs_arm(handle);
	zs_leave(handle);
	return result;
}

int zslab_run(struct zslab *handle, struct zslab_op *op)
{
	return run(handle, op, ZS_OP_FLYING_SYNC);
}

/* A read that the node's memory answers needs no operation. *state: that of the one that is needed else. */
static bool read_here(struct zslab *client, const void *key, size_t key_size, void *buffer, size_t buffer_size,
		      size_t *size, int *status, enum zs_op_state *state)
{
	struct zs_node *node;
	uint64_t now_ns;
	bool found = false;

	*state = ZS_OP_FLYING_SYNC;
	if (key_size > ZSLAB_OBJECT_MAX)
		return false;
	node = &client->nodes[zs_topology_node(&client->topology, key, key_size)];
	if (node->shm.attached)
		found = zs_shm_get(node, key, key_size, buffer, buffer_size, size, status);
	else if (node->rdma.attached && zs_turn_if_due(client, &now_ns) == ZSLAB_OK && node->rdma.attached)
		found = zs_readings_get(node, key, key_size, buffer, buffer_size, size, status, now_ns);
	else
		return false;
	*state = ZS_OP_FLYING_ASK;
	if (!found)
		return false;
	client->counters.operations++;
	if (*status)
		snprintf(client->error, sizeof(client->error), "the value has %zu bytes, the buffer %zu", *size,
			 buffer_size);
	return true;
}

int zslab_get_into(struct zslab *handle, const void *key, size_t key_size, void *buffer, size_t buffer_size,
		   size_t *size)
{
	struct zslab_op op;
	int status = zs_enter(handle);
	enum zs_op_state state;
	bool done;

	if (status)
		return status;
	*size = 0;
	done = read_here(handle, key, key_size, buffer, buffer_size, size, &status, &state);
	zs_leave(handle);
	if (done)
		return status;
	op = (struct zslab_op){
		.kind = ZSLAB_GET,
		.key = key,
		.key_size = key_size,
		.buffer = buffer,
		.buffer_size = buffer_size,
	};
	status = run(handle, &op, state);
	*size = op.size;
	return status;
}

int zslab_get(struct zslab *handle, const void *key, size_t key_size, const void **value, size_t *size)
{
	*value = handle->value;
	return zslab_get_into(handle, key, key_size, handle->value, sizeof(handle->value), size);
}

int zslab_mget(struct zslab *handle, struct zslab_item *items, size_t count)
{
	struct zslab_op op = { .kind = ZSLAB_MGET, .items = items, .item_count = count };

	return zslab_run(handle, &op);
}

static struct zslab_op set_op(const void *key, size_t key_size, const void *value, size_t value_size, int64_t ttl_ms)
{
	return (struct zslab_op){
		.kind = ZSLAB_SET,
		.key = key,
		.key_size = key_size,
		.value = value,
		.value_size = value_size,
		.expiry = ttl_ms ? ZSLAB_PX : ZSLAB_NO_EXPIRY,
		.time = ttl_ms,
	};
}

int zslab_set(struct zslab *handle, const void *key, size_t key_size, const void *value, size_t value_size,
	      int64_t ttl_ms)
{
	struct zslab_op op = set_op(key, key_size, value, value_size, ttl_ms);

	return zslab_run(handle, &op);
}

int zslab_add(struct zslab *handle, const void *key, size_t key_size, const void *value, size_t value_size,
	      int64_t ttl_ms)
{
	struct zslab_op op = set_op(key, key_size, value, value_size, ttl_ms);

	op.flags = ZSLAB_IF_ABSENT;
	return zslab_run(handle, &op);
}

int zslab_replace(struct zslab *handle, const void *key, size_t key_size, const void *value, size_t value_size,
		  int64_t ttl_ms)
{
	struct zslab_op op = set_op(key, key_size, value, value_size, ttl_ms);

	op.flags = ZSLAB_IF_PRESENT;
	return zslab_run(handle, &op);
}

int zslab_compare_and_set(struct zslab *handle, const void *key, size_t key_size, const void *old, size_t old_size,
			  const void *value, size_t value_size, int64_t ttl_ms)
{
	struct zslab_op op = set_op(key, key_size, value, value_size, ttl_ms);

	op.flags = ZSLAB_IF_EQUAL;
	op.compare = old;
	op.compare_size = old_size;
	return zslab_run(handle, &op);
}

int zslab_delete(struct zslab *handle, const void *key, size_t key_size)
{
	struct zslab_op op = { .kind = ZSLAB_DELETE, .key = key, .key_size = key_size };

	return zslab_run(handle, &op);
}

int zslab_increment(struct zslab *handle, const void *key, size_t key_size, int64_t by, int64_t *number)
{
	struct zslab_op op = { .kind = ZSLAB_INCREMENT, .key = key, .key_size = key_size, .delta = by };
	int status = zslab_run(handle, &op);

	if (number)
		*number = op.number;
	return status;
}

int zslab_expire(struct zslab *handle, const void *key, size_t key_size, int64_t ttl_ms)
{
	struct zslab_op op = {
		.kind = ZSLAB_EXPIRE,
		.key = key,
		.key_size = key_size,
		.expiry = ttl_ms ? ZSLAB_PX : ZSLAB_NO_EXPIRY,
		.time = ttl_ms,
	};

	return zslab_run(handle, &op);
}

int zslab_touch(struct zslab *handle, const void *key, size_t key_size)
{
	struct zslab_op op = { .kind = ZSLAB_TOUCH, .key = key, .key_size = key_size };

	return zslab_run(handle, &op);
}

int zslab_drop(struct zslab *handle, const void *group, size_t group_size, int64_t *count)
{
	struct zslab_op op = { .kind = ZSLAB_DROP, .group = group, .group_size = group_size };
	int status = zslab_run(handle, &op);

	if (count)
		*count = op.number;
	return status;
}

int zslab_stats(struct zslab *handle, size_t node, const char *section, char *text, size_t text_size, size_t *size)
{
	struct zslab_op op = {
		.kind = ZSLAB_STATS,
		.node = node,
		.key = section,
		.key_size = section ? strlen(section) : 0,
		.buffer = text,
		.buffer_size = text_size ? text_size - 1 : 0,
	};
	int status = zslab_run(handle, &op);

	if (text_size)
		text[op.size < text_size ? op.size : text_size - 1] = 0;
	if (size)
		*size = op.size + 1;
	return status;
}

int zslab_ping(struct zslab *handle, size_t node)
{
	struct zslab_op op = { .kind = ZSLAB_PING, .node = node };

	return zslab_run(handle, &op);
}
