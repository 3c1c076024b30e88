/* Opening and closing a handle. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/internal.h"

#define TIMEOUT_MS 1000u
#define CONNECT_TIMEOUT_MS 2000u
#define MAX_IN_FLIGHT 1024u

static int fail(char *why, size_t why_size, int status, const char *sentence)
{
	snprintf(why, why_size, "%s", sentence);
	return status;
}

static int check_options(const struct zslab_options *options, size_t count, char *why, size_t why_size)
{
	if (count < 1 || count > ZS_NODES_MAX)
		return fail(why, why_size, ZSLAB_EINVAL, "a handle is opened to 1 to 1024 addresses");
	if (options->via > ZSLAB_VIA_TCP)
		return fail(why, why_size, ZSLAB_EINVAL, "the transport is none of enum zslab_via");
	if (options->client_name && (!*options->client_name || strpbrk(options->client_name, " \t\r\n")))
		return fail(why, why_size, ZSLAB_EINVAL, "a client name has at least one character and no spaces");
	if (options->user && !options->password)
		return fail(why, why_size, ZSLAB_EINVAL, "a user needs a password");
	return ZSLAB_OK;
}

static void apply(struct zslab *client, const struct zslab_options *options)
{
	unsigned connect_ms = options->connect_timeout_ms ? options->connect_timeout_ms : CONNECT_TIMEOUT_MS;

	client->via = options->via;
	client->timeout_ns = (options->timeout_ms ? options->timeout_ms : TIMEOUT_MS) * UINT64_C(1000000);
	client->connect_timeout_ns = connect_ms * UINT64_C(1000000);
	client->max_in_flight = options->max_in_flight ? options->max_in_flight : MAX_IN_FLIGHT;
	client->log = options->log;
	client->log_context = options->log_context;
	client->random = zs_now() ^ (uint64_t)(uintptr_t)client ^ (uint64_t)getpid() << 32;
	client->random += !client->random;
}

/* A page that a child finds empty. Without it (kernels before 4.14 do not have it) fork would go unnoticed. */
static volatile uint8_t *make_guard(void)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return NULL;
	(void)madvise(page, size, MADV_WIPEONFORK);
	*page = ZS_GUARD_IDLE;
	return page;
}

static int build(struct zslab *client, const char *const *addresses, size_t count, const struct zslab_options *options,
		 char *why, size_t why_size)
{
	client->guard = make_guard();
	client->epoll = epoll_create1(EPOLL_CLOEXEC);
	client->nodes = calloc(count, sizeof(*client->nodes));
	if (!client->guard || !client->nodes || zs_encode_hello(&client->greeting, options))
		return fail(why, why_size, ZSLAB_ENOMEM, "not enough memory for the handle");
	if (client->epoll < 0) {
		snprintf(why, why_size, "cannot make an epoll set: %s", strerror(errno));
		return ZSLAB_ESYS;
	}
	zs_topology_init(&client->topology, (uint32_t)count);
	for (size_t i = 0; i < count; i++) {
		struct zs_node *node = &client->nodes[client->node_count++];
		int status = zs_node_init(node, client, (unsigned)i, addresses[i], why, why_size);

		if (status)
			return status;
	}
	return ZSLAB_OK;
}

/* Connected, with its memory attached if that is wanted; or tried once in vain. */
static bool is_settled(const struct zs_node *node)
{
	if (!zs_lane_is_ready(&node->socket))
		return node->problem != ZSLAB_OK;
	return node->shm.settled && node->rdma.settled;
}

static bool all_settled(const struct zslab *client)
{
	for (unsigned i = 0; i < client->node_count; i++) {
		if (!is_settled(&client->nodes[i]))
			return false;
	}
	return true;
}

/* Whether a node that is connected lacks the way of reading that was demanded. */
static int check_demands(const struct zs_node *node, char *why, size_t why_size)
{
	static const char no_answer[] = "it does not answer in time";

	if (node->client->via == ZSLAB_VIA_SHM && !node->shm.attached) {
		snprintf(why, why_size, "node %.100s gives us no shared memory: %s", node->address.text,
			 node->shm.why[0] ? node->shm.why : no_answer);
		return ZSLAB_ETRANSPORT;
	}
	if (node->client->via == ZSLAB_VIA_RDMA && !node->rdma.attached) {
		snprintf(why, why_size,
			 "no RDMA with node %.100s: %s. It takes an RDMA device and its libraries on both sides, and a "
			 "node that listens for it there (zslabd --rdma); via auto does without",
			 node->address.text, node->rdma.why[0] ? node->rdma.why : no_answer);
		return ZSLAB_ETRANSPORT;
	}
	return ZSLAB_OK;
}

/* Is what the first attempts brought good enough to begin with? */
static int judge(const struct zslab *client, char *why, size_t why_size)
{
	unsigned connected = 0;
	int status = ZSLAB_OK;

	for (unsigned i = 0; !status && i < client->node_count; i++) {
		const struct zs_node *node = &client->nodes[i];

		if (node->problem == ZSLAB_EAUTH || node->problem == ZSLAB_EPROTO) {
			snprintf(why, why_size, "node %.100s (%s): %s", node->address.text, node->socket.name,
				 node->why);
			return node->problem;
		}
		if (zs_lane_is_ready(&node->socket)) {
			connected++;
			status = check_demands(node, why, why_size);
		}
	}
	if (status || connected)
		return status;
	snprintf(why, why_size, "node %.100s (%s) cannot be reached: %s; is it running there?",
		 client->nodes[0].address.text, client->nodes[0].socket.name, client->nodes[0].why);
	return ZSLAB_EUNREACHABLE;
}

static int connect_all(struct zslab *client, char *why, size_t why_size)
{
	uint64_t until = zs_now() + client->connect_timeout_ns;
	int status = ZSLAB_OK;

	while (!status && !all_settled(client) && zs_now() < until)
		status = zs_turn(client, until);
	if (status)
		return fail(why, why_size, status, client->error);
	return judge(client, why, why_size);
}

int zslab_open(struct zslab **handle, const char *const *addresses, size_t count, const struct zslab_options *options,
	       char *why, size_t why_size)
{
	static const struct zslab_options defaults = { 0 };
	struct zslab *client;
	int status;

	*handle = NULL;
	options = options ? options : &defaults;
	status = check_options(options, count, why, why_size);
	if (status)
		return status;
	client = calloc(1, sizeof(*client));
	if (!client)
		return fail(why, why_size, ZSLAB_ENOMEM, "not enough memory for the handle");
	client->epoll = -1;
	client->timer = -1;
	client->done_end = &client->done;
	client->next_deadline_ns = UINT64_MAX;
	apply(client, options);
	status = build(client, addresses, count, options, why, why_size);
	if (!status)
		status = options->no_wait ? zs_turn(client, 0) : connect_all(client, why, why_size);
	if (status) {
		zslab_close(client);
		return status;
	}
	*handle = client;
	return ZSLAB_OK;
}

void zslab_close(struct zslab *handle)
{
	struct zs_request *request;
	bool is_child;

	if (!handle)
		return;
	is_child = handle->guard && *handle->guard == ZS_GUARD_FORKED;
	for (unsigned i = 0; i < handle->node_count; i++) {
		if (is_child)
			zs_session_forget(&handle->nodes[i]);
		zs_node_free(&handle->nodes[i]);
	}
	if (!is_child)
		zs_adapter_close(handle);
	while ((request = handle->spare)) {
		handle->spare = request->next;
		free(request);
	}
	for (struct zslab_op *op = handle->flying; op; op = op->own.next)
		op->own.state = ZS_OP_IDLE;
	zs_buffer_free(&handle->greeting);
	free(handle->nodes);
	if (handle->timer >= 0)
		close(handle->timer);
	if (handle->epoll >= 0)
		close(handle->epoll);
	if (handle->guard)
		munmap((void *)(uintptr_t)handle->guard, (size_t)sysconf(_SC_PAGESIZE));
	free(handle);
}
