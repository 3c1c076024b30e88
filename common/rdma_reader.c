#include "common/rdma_reader.h"

#include <assert.h>
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
	struct zs_rdma_session session;
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

void zs_rdma_reader_end(struct zs_rdma_reader *r, const char *why)
{
	snprintf(r->why, sizeof(r->why), "%s", why);
	r->state = ZS_RDMA_READER_DOWN;
	r->connection = NULL;
	zs_remote_revoke(&r->remote);
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

static int read_superblock(struct zs_rdma_reader *r)
{
	struct zs_fetch read = { 0, ZS_FRAME_SIZE, r->landing->superblock };
	int error = zs_rdma_read(r->connection, r->memory, &read, 1, r);

	r->reads += !error;
	return error;
}

static void superblock_done(struct zs_rdma_reader *r)
{
	const struct zs_rdma_session *session = &r->session;
	char why[WHY_MAX];
	int error =
	    zs_remote_init(&r->remote, r->landing->superblock, session->target.size, r->locations, why, sizeof(why));

	if (error == ZS_EAGAIN && ++r->tries < TRIES_MAX && !read_superblock(r))
		return;
	if (error) {
		zs_rdma_reader_end(r, why);
		return;
	}
	if (r->remote.incarnation != session->incarnation ||
	    r->remote.quarantine_ns != session->quarantine_ms * UINT64_C(1000000)) {
		zs_rdma_reader_end(r, "the node's memory is not that of the node that answered");
		return;
	}
	zs_remote_lease(&r->remote, session->sent_ns, session->lease_ms * UINT64_C(1000000), session->node_ms);
	r->state = ZS_RDMA_READER_READY;
}

/* ---- the session ---- */

void zs_rdma_reader_done(struct zs_rdma_reader *r, void *read, bool ok)
{
	if (read != r)
		get_done(read, ok);
	else if (r->state != ZS_RDMA_READER_BEGINNING)
		return; /* of a session that is over */
	else if (ok)
		superblock_done(r);
	else
		zs_rdma_reader_end(r, "the node's superblock cannot be read");
}

int zs_rdma_reader_begin(struct zs_rdma_reader *r, struct zs_rdma_connection *connection,
			 const struct zs_rdma_session *session, char *why, size_t why_size)
{
	int error;

	if (zs_rdma_aim(connection, &session->target) || session->target.size < ZS_FRAME_SIZE ||
	    session->target.size % ZS_FRAME_SIZE) {
		snprintf(why, why_size, "the node offers %llu bytes at %llx, which is no arena",
			 (unsigned long long)session->target.size, (unsigned long long)session->target.address);
		return ZS_EPROTO;
	}
	zs_rdma_reader_end(r, "a session begins");
	r->connection = connection;
	r->session = *session;
	r->tries = 0;
	error = r->memory ? ZS_OK : zs_rdma_memory_add(r->rdma, r->landing, r->landing_size, &r->memory);
	if (!error)
		error = read_superblock(r);
	if (error) {
		snprintf(why, why_size, "cannot read the node's superblock: %s", zs_error_text(error));
		zs_rdma_reader_end(r, why);
		return error;
	}
	r->state = ZS_RDMA_READER_BEGINNING;
	return ZS_OK;
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
