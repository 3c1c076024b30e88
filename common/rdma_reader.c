#include "common/rdma_reader.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "common/landing.h"
#include "common/link.h"

enum {
	ALIGNMENT = 4096,
	WHY_MAX = 256,
	/* A superblock whose tables are just changing is read again, so often at most. */
	TRIES_MAX = 1000,
	/* Gets under way beyond which none takes more of the pool than it needs. */
	FEW = 4,
	/* Gets with READs under way: as many as a client has. Fewer where that turns out to be too slow. */
	WINDOW_MAX = 128,
};

_Static_assert(ZS_STEPS_LANDING_MAX <= ZS_LANDING_MAX && ZS_FRAME_SIZE <= ZS_LANDING_MAX, "every post can land");

struct zs_rdma_reader {
	struct zs_rdma *rdma;
	const struct zs_clock *clock;
	struct zs_rdma_reader_events events;
	struct zs_rdma_connection *connection; /* NULL while down */
	enum zs_rdma_reader_state state;
	struct zs_rdma_session session;
	struct zs_link link;
	unsigned under_way; /* gets */
	unsigned posted;    /* of these, those with READs under way */
	unsigned window;    /* so many may be */
	unsigned timely;    /* since the window last grew */
	uint64_t cut_ns;    /* when the window last shrank */
	unsigned tries;
	uint64_t reads; /* READs posted */
	uint64_t bytes; /* asked for by these */
	void *base;	/* of the pool */
	struct zs_landing pool;
	struct zs_rdma_memory *memory;
	void *superblock;	   /* where it lands, and trial READs after it; NULL: it is not being read */
	struct zs_rdma_get *first; /* those that wait to be posted */
	struct zs_rdma_get **end;
	struct zs_locations *locations;
	struct zs_remote remote;
};

/* ---- gets ---- */

void zs_rdma_reader_release(struct zs_rdma_get *get)
{
	if (get->landing)
		zs_landing_give(&get->reader->pool, get->landing, get->landing_size);
	get->landing = NULL;
}

static void count_reads(struct zs_rdma_reader *r, const struct zs_fetch *fetches, unsigned count)
{
	r->reads += count;
	for (unsigned i = 0; i < count; i++)
		r->bytes += fetches[i].length;
}

/* Posts what the machine asks for. False: there is no room for it now. */
static bool post(struct zs_rdma_reader *r, struct zs_rdma_get *get, uint64_t now_ns)
{
	struct zs_steps *steps = &get->steps;
	int error;

	if (r->posted >= r->window)
		return false;
	get->landing_size = steps->landing_size;
	get->landing = zs_landing_take(&r->pool, steps->landing_size);
	if (!get->landing)
		return false;
	zs_steps_land(steps, get->landing);
	error = zs_rdma_read(r->connection, r->memory, steps->fetches, steps->fetch_count, get, now_ns);
	if (!error) {
		r->posted++;
		count_reads(r, steps->fetches, steps->fetch_count);
		return true;
	}
	zs_rdma_reader_release(get);
	if (error == ZS_EAGAIN)
		return false;
	get->status = zs_steps_cancel(steps);
	return true;
}

static void wait_to_post(struct zs_rdma_reader *r, struct zs_rdma_get *get)
{
	get->next = NULL;
	*r->end = get;
	r->end = &get->next;
}

static void post_or_wait(struct zs_rdma_reader *r, struct zs_rdma_get *get, uint64_t now_ns)
{
	if (r->state != ZS_RDMA_READER_READY || get->abandoned)
		get->status = zs_steps_cancel(&get->steps);
	else if (r->first || !post(r, get, now_ns))
		wait_to_post(r, get);
}

static void end_get(struct zs_rdma_reader *r, struct zs_rdma_get *get)
{
	r->under_way--;
	if (get->status != ZS_STEPS_HIT)
		zs_rdma_reader_release(get);
	if (r->events.over)
		r->events.over(r->events.context, get);
}

/* Posts one that waits. False: there is no room yet. */
static bool post_waiting(struct zs_rdma_reader *r, struct zs_rdma_get *get)
{
	struct zs_steps *steps = &get->steps;
	uint64_t now_ns = zs_clock_ns(r->clock);

	if (r->state != ZS_RDMA_READER_READY || get->abandoned) {
		get->status = zs_steps_cancel(steps);
		return true;
	}
	/* If nothing of it was read yet, it begins only now: the wait does not count. */
	if (steps->round_trips == 1)
		get->status = zs_steps_start(steps, steps->remote, steps->key, steps->key_size, now_ns);
	return get->status != ZS_STEPS_FETCH || post(r, get, now_ns);
}

/* Posts those that wait, as far as there is room. Without a connection they are over. */
static void serve(struct zs_rdma_reader *r)
{
	struct zs_rdma_get *get;

	while ((get = r->first) && post_waiting(r, get)) {
		r->first = get->next;
		if (!r->first)
			r->end = &r->first;
		if (get->status != ZS_STEPS_FETCH)
			end_get(r, get);
	}
}

/*
 * Reads that take too long are in vain, and too many at once take too long on a slow link: so the window halves when
 * one was too slow, not twice for what was posted together, and grows by one for each full window of others.
 */
static void adapt_window(struct zs_rdma_reader *r, const struct zs_rdma_get *get, uint64_t now_ns)
{
	bool is_slow = get->status == ZS_STEPS_ASK && get->steps.reason == ZS_ASK_SLOW;

	if (is_slow && get->steps.started_ns >= r->cut_ns) {
		r->window = r->window > 1 ? r->window / 2 : 1;
		r->cut_ns = now_ns;
		r->timely = 0;
	} else if (!is_slow && r->window < WINDOW_MAX && ++r->timely >= r->window) {
		r->window++;
		r->timely = 0;
	}
}

static void get_done(struct zs_rdma_reader *r, struct zs_rdma_get *get, bool ok)
{
	uint64_t now_ns = zs_clock_ns(r->clock);

	r->posted--;
	if (get->abandoned) {
		get->status = zs_steps_cancel(&get->steps);
	} else {
		for (uint32_t left = get->steps.fetch_count; left; left--)
			get->status = zs_steps_done(&get->steps, ok, now_ns);
	}
	if (get->status == ZS_STEPS_FETCH) {
		zs_rdma_reader_release(get);
		post_or_wait(r, get, now_ns);
	}
	adapt_window(r, get, now_ns);
	if (get->status != ZS_STEPS_FETCH)
		end_get(r, get);
}

void zs_rdma_reader_start(struct zs_rdma_reader *r, struct zs_rdma_get *get, const void *key, size_t key_size,
			  uint64_t now_ns)
{
	assert(get->status != ZS_STEPS_FETCH || !get->reader);
	zs_rdma_reader_release(get);
	get->reader = r;
	get->abandoned = false;
	r->remote.span = r->under_way < FEW ? r->link.span : 0;
	get->status = zs_steps_start(&get->steps, &r->remote, key, key_size, now_ns);
	if (get->status == ZS_STEPS_FETCH)
		post_or_wait(r, get, now_ns);
	r->under_way += get->status == ZS_STEPS_FETCH;
}

void zs_rdma_reader_abandon(struct zs_rdma_get *get)
{
	get->abandoned = true;
}

/* ---- the node's superblock ---- */

/* Ends the connection's use, but not the connection. */
static void go_down(struct zs_rdma_reader *r)
{
	r->state = ZS_RDMA_READER_DOWN;
	r->connection = NULL;
	zs_remote_revoke(&r->remote);
}

static void be_unfit(struct zs_rdma_reader *r, const char *why)
{
	go_down(r);
	if (r->events.unfit)
		r->events.unfit(r->events.context, why);
}

/* Reads parts of the superblock's frame. */
static int read_frame(struct zs_rdma_reader *r, const struct zs_fetch *parts, unsigned count)
{
	struct zs_fetch fetches[2];
	int error;

	r->superblock = zs_landing_take(&r->pool, ZS_FRAME_SIZE);
	if (!r->superblock)
		return ZS_EAGAIN;
	for (unsigned i = 0; i < count; i++)
		fetches[i] =
		    (struct zs_fetch){ parts[i].address, parts[i].length, (uint8_t *)r->superblock + parts[i].address };
	error = zs_rdma_read(r->connection, r->memory, fetches, count, r, zs_clock_ns(r->clock));
	if (error) {
		zs_landing_give(&r->pool, r->superblock, ZS_FRAME_SIZE);
		r->superblock = NULL;
		return error;
	}
	count_reads(r, fetches, count);
	return ZS_OK;
}

static int read_superblock(struct zs_rdma_reader *r)
{
	const struct zs_fetch all = { 0, ZS_FRAME_SIZE, NULL };

	return read_frame(r, &all, 1);
}

/* Posts the next trial of the link; without one, or without room for it, the reader is ready. */
static void try_link(struct zs_rdma_reader *r)
{
	struct zs_fetch parts[2];
	unsigned count = zs_link_next(&r->link, parts, zs_clock_ns(r->clock));

	if (count && !read_frame(r, parts, count))
		return;
	r->state = ZS_RDMA_READER_READY;
	if (r->events.ready)
		r->events.ready(r->events.context);
}

static void take_superblock(struct zs_rdma_reader *r, const uint8_t *page)
{
	char why[WHY_MAX];
	int error = zs_remote_init(&r->remote, page, r->session.target.size, r->locations, why, sizeof(why));

	if (error == ZS_EAGAIN && ++r->tries < TRIES_MAX && !read_superblock(r))
		return;
	if (error) {
		be_unfit(r, why);
		return;
	}
	if (r->remote.incarnation != r->session.incarnation ||
	    r->remote.quarantine_ns != r->session.quarantine_ms * UINT64_C(1000000)) {
		be_unfit(r, "the node's memory is not that of the node that answered");
		return;
	}
	zs_remote_lease(&r->remote, r->session.sent_ns, r->session.lease_ms * UINT64_C(1000000), r->session.node_ms);
	zs_link_begin(&r->link);
	try_link(r);
}

static void frame_done(struct zs_rdma_reader *r, bool ok)
{
	uint8_t page[ZS_FRAME_SIZE];

	memcpy(page, r->superblock, sizeof(page));
	zs_landing_give(&r->pool, r->superblock, ZS_FRAME_SIZE);
	r->superblock = NULL;
	if (!ok || r->state != ZS_RDMA_READER_BEGINNING)
		return; /* the connection's owner knows */
	if (!zs_link_is_tried(&r->link)) {
		take_superblock(r, page);
		return;
	}
	zs_link_done(&r->link, zs_clock_ns(r->clock));
	try_link(r);
}

/* ---- the connection ---- */

int zs_rdma_reader_begin(struct zs_rdma_reader *r, struct zs_rdma_connection *connection,
			 const struct zs_rdma_session *session, char *why, size_t why_size)
{
	int error = ZS_OK;

	assert(r->state == ZS_RDMA_READER_DOWN);
	if (zs_rdma_aim(connection, &session->target) || session->target.size < ZS_FRAME_SIZE ||
	    session->target.size % ZS_FRAME_SIZE) {
		snprintf(why, why_size, "the node offers %llu bytes at %llx, which is no arena",
			 (unsigned long long)session->target.size, (unsigned long long)session->target.address);
		return ZS_EPROTO;
	}
	if (!r->memory)
		error = zs_rdma_memory_add(r->rdma, r->base, ZS_LANDING_SIZE, &r->memory);
	if (error) {
		snprintf(why, why_size, "cannot register %u bytes of memory (see ulimit -l)", ZS_LANDING_SIZE);
		return error;
	}
	r->session = *session;
	r->link = (struct zs_link){ 0 };
	r->window = WINDOW_MAX;
	r->timely = 0;
	r->cut_ns = 0;
	r->tries = 0;
	r->connection = connection;
	r->state = ZS_RDMA_READER_BEGINNING;
	error = read_superblock(r);
	if (error) {
		go_down(r);
		snprintf(why, why_size, "cannot read the node's superblock: %s", zs_error_text(error));
	}
	return error;
}

void zs_rdma_reader_end(struct zs_rdma_reader *r)
{
	go_down(r);
	serve(r);
}

void zs_rdma_reader_done(struct zs_rdma_reader *r, void *read, bool ok)
{
	if (read == r)
		frame_done(r, ok);
	else
		get_done(r, read, ok);
	serve(r);
}

/* ---- making and freeing ---- */

struct zs_rdma_reader *zs_rdma_reader_new(struct zs_rdma *rdma, size_t location_memory,
					  const struct zs_rdma_reader_events *events)
{
	struct zs_rdma_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->rdma = rdma;
	r->clock = zs_rdma_clock(rdma);
	r->events = *events;
	r->end = &r->first;
	r->base = aligned_alloc(ALIGNMENT, ZS_LANDING_SIZE);
	r->locations = zs_locations_new(location_memory);
	if (!r->base || !r->locations) {
		zs_rdma_reader_free(r);
		return NULL;
	}
	memset(r->base, 0, ZS_LANDING_SIZE);
	zs_landing_init(&r->pool, r->base);
	return r;
}

void zs_rdma_reader_free(struct zs_rdma_reader *r)
{
	if (!r)
		return;
	zs_rdma_memory_remove(r->memory);
	zs_locations_free(r->locations);
	free(r->base);
	free(r);
}

enum zs_rdma_reader_state zs_rdma_reader_state(const struct zs_rdma_reader *r)
{
	return r->state;
}

struct zs_remote *zs_rdma_reader_remote(struct zs_rdma_reader *r)
{
	return &r->remote;
}

uint64_t zs_rdma_reader_reads(const struct zs_rdma_reader *r)
{
	return r->reads;
}

uint64_t zs_rdma_reader_bytes(const struct zs_rdma_reader *r)
{
	return r->bytes;
}
