#include "common/rdma_reader.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"

enum {
	ALIGNMENT = 4096,
	WHY_MAX = 256,
	/* A superblock whose tables are just changing is read again, so often at most. */
	TRIES_MAX = 1000,
};

/* What READs write to, registered as one. */
struct landing {
	_Alignas(64) uint8_t superblock[ZS_FRAME_SIZE];
	struct zs_steps steps[];
};

struct zs_rdma_reader {
	struct zs_rdma *rdma;
	const struct zs_clock *clock;
	struct zs_rdma_connection *connection;
	enum zs_rdma_reader_state state;
	char why[WHY_MAX];
	unsigned tries;
	unsigned count;
	uint64_t reads;
	size_t landing_size;
	struct landing *landing;
	struct zs_rdma_memory *memory;
	struct zs_locations *locations;
	struct zs_remote remote;
	struct zs_rdma_get gets[];
};

__attribute__((format(printf, 2, 3))) static void go_down(struct zs_rdma_reader *r, const char *format, ...)
{
	struct zs_rdma_connection *connection = r->connection;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(r->why, sizeof(r->why), format, arguments);
	va_end(arguments);
	r->state = ZS_RDMA_READER_DOWN;
	r->connection = NULL;
	zs_remote_revoke(&r->remote);
	if (connection)
		zs_rdma_close(connection);
}

/* ---- gets ---- */

/* Posts what the machine asks for. What cannot be posted has failed, and the machine does not go on after that. */
static void post(struct zs_rdma_get *get)
{
	struct zs_rdma_reader *r = get->reader;
	struct zs_steps *steps = get->steps;
	uint32_t count = steps->fetch_count;

	if (r->state == ZS_RDMA_READER_READY && !zs_rdma_read(r->connection, r->memory, steps->fetches, count, get)) {
		r->reads += count;
		return;
	}
	while (count--)
		get->status = zs_steps_done(steps, false, zs_clock_ns(r->clock));
	assert(get->status == ZS_STEPS_ASK);
}

static void get_done(struct zs_rdma_get *get, bool ok)
{
	uint64_t now_ns = zs_clock_ns(get->reader->clock);
	enum zs_steps_status status = ZS_STEPS_WAIT;

	for (uint32_t left = get->steps->fetch_count; left; left--)
		status = zs_steps_done(get->steps, ok, now_ns);
	get->status = status;
	if (status == ZS_STEPS_FETCH)
		post(get);
}

void zs_rdma_reader_start(struct zs_rdma_get *get, const void *key, size_t key_size)
{
	struct zs_rdma_reader *r = get->reader;

	assert(get->status != ZS_STEPS_FETCH);
	get->status = zs_steps_start(get->steps, &r->remote, key, key_size, zs_clock_ns(r->clock));
	if (get->status == ZS_STEPS_FETCH)
		post(get);
}

/* ---- the node's superblock ---- */

static void read_superblock(struct zs_rdma_reader *r)
{
	struct zs_fetch read = { 0, ZS_FRAME_SIZE, r->landing->superblock };
	int error = zs_rdma_read(r->connection, r->memory, &read, 1, r);

	if (error)
		go_down(r, "cannot read the node's superblock: %s", zs_error_text(error));
	else
		r->reads++;
}

static void superblock_done(struct zs_rdma_reader *r)
{
	const struct zs_rdma_welcome *welcome = zs_rdma_connection_welcome(r->connection);
	char why[WHY_MAX];
	int error =
	    zs_remote_init(&r->remote, r->landing->superblock, welcome->arena_size, r->locations, why, sizeof(why));

	if (error == ZS_EAGAIN && ++r->tries < TRIES_MAX) {
		read_superblock(r);
		return;
	}
	if (error) {
		go_down(r, "%s", why);
		return;
	}
	if (r->remote.incarnation != welcome->incarnation ||
	    r->remote.quarantine_ns != welcome->quarantine_ms * UINT64_C(1000000)) {
		go_down(r, "the node's memory is not that of the node that answered");
		return;
	}
	zs_remote_lease(&r->remote, zs_rdma_connection_begun_ns(r->connection), welcome->lease_ms * UINT64_C(1000000),
			welcome->node_ms);
	r->state = ZS_RDMA_READER_READY;
}

/* ---- the connection ---- */

static void on_opened(void *context, struct zs_rdma_connection *connection)
{
	struct zs_rdma_reader *r = context;

	r->connection = connection;
	if (!r->memory && zs_rdma_memory_add(r->rdma, r->landing, r->landing_size, &r->memory))
		go_down(r, "cannot register %zu bytes of memory (see ulimit -l)", r->landing_size);
	else
		read_superblock(r);
}

static void on_ended(void *context, struct zs_rdma_connection *connection, const char *why)
{
	struct zs_rdma_reader *r = context;

	if (r->connection == connection)
		go_down(r, "%s", why);
}

/* Reads of a connection that is gone come here too, with failure, before another one can be begun. */
static void on_done(void *context, void *read, bool ok)
{
	struct zs_rdma_reader *r = context;

	if (read != r)
		get_done(read, ok);
	else if (ok)
		superblock_done(r);
}

int zs_rdma_reader_connect(struct zs_rdma_reader *r, const struct sockaddr_in *address, const uint8_t *token, char *why,
			   size_t why_size)
{
	struct zs_rdma_handler handler = { on_opened, on_ended, on_done, r };
	int error;

	go_down(r, "connecting again");
	r->tries = 0;
	error = zs_rdma_connect(r->rdma, address, token, &handler, &r->connection, why, why_size);
	if (error)
		go_down(r, "%s", why);
	else
		r->state = ZS_RDMA_READER_CONNECTING;
	return error;
}

void zs_rdma_reader_disconnect(struct zs_rdma_reader *r)
{
	go_down(r, "disconnected");
}

/* ---- making and freeing ---- */

struct zs_rdma_reader *zs_rdma_reader_new(struct zs_rdma *rdma, unsigned gets, size_t location_memory)
{
	struct zs_rdma_reader *r;

	if (!gets || gets > 1024)
		return NULL;
	r = calloc(1, sizeof(*r) + gets * sizeof(r->gets[0]));
	if (!r)
		return NULL;
	r->rdma = rdma;
	r->clock = zs_rdma_clock(rdma);
	r->count = gets;
	r->landing_size = sizeof(*r->landing) + gets * sizeof(r->landing->steps[0]);
	r->landing_size = (r->landing_size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	r->landing = aligned_alloc(ALIGNMENT, r->landing_size);
	r->locations = zs_locations_new(location_memory);
	if (!r->landing || !r->locations) {
		zs_rdma_reader_free(r);
		return NULL;
	}
	memset(r->landing, 0, r->landing_size);
	for (unsigned i = 0; i < gets; i++)
		r->gets[i] = (struct zs_rdma_get){ ZS_STEPS_ASK, &r->landing->steps[i], r };
	return r;
}

void zs_rdma_reader_free(struct zs_rdma_reader *r)
{
	if (!r)
		return;
	go_down(r, "freed");
	zs_rdma_memory_remove(r->memory);
	zs_locations_free(r->locations);
	free(r->landing);
	free(r);
}

enum zs_rdma_reader_state zs_rdma_reader_state(const struct zs_rdma_reader *r)
{
	return r->state;
}

const char *zs_rdma_reader_why(const struct zs_rdma_reader *r)
{
	return r->why;
}

struct zs_remote *zs_rdma_reader_remote(struct zs_rdma_reader *r)
{
	return &r->remote;
}

struct zs_rdma_get *zs_rdma_reader_get(struct zs_rdma_reader *r, unsigned i)
{
	return i < r->count ? &r->gets[i] : NULL;
}

uint64_t zs_rdma_reader_reads(const struct zs_rdma_reader *r)
{
	return r->reads;
}
