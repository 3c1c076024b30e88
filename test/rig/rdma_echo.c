/*
 * The stream of rdma_read's node, which sends back what it gets: bytes go there and come back in pieces of all sizes,
 * with both sides pausing at times, so that windows and buffers are used up and have to come back.
 */
#include <inttypes.h>
#include <stdio.h>

#include "test/rig/rdma_session.h"
#include "test/rig/rdma_truth.h"

enum {
	PIECE_MAX = 9000, /* more than two messages */
	PAUSES = 16,	  /* one in so many messages is followed by a pause */
};

struct echo {
	struct session *session;
	uint64_t random;
	uint64_t total;
	uint64_t sent;
	uint64_t seen;
	uint64_t wrong_at;  /* plus 1; 0: nowhere */
	uint64_t paused_at; /* the round in which we paused; 0: we have not */
	uint64_t round;
	bool full; /* the stream took less than it was given */
	uint64_t refusals;
};

static uint8_t byte_at(uint64_t position)
{
	return (uint8_t)((position * 0x9e3779b97f4a7c15u) >> 56);
}

static void on_echo(void *context, const uint8_t *data, size_t size)
{
	struct echo *e = context;

	for (size_t i = 0; i < size; i++) {
		if (data[i] != byte_at(e->seen + i) && !e->wrong_at)
			e->wrong_at = e->seen + i + 1;
	}
	e->seen += size;
	if (!draw(&e->random, PAUSES)) {
		zs_rdma_pause(e->session->connection);
		e->paused_at = e->round;
	}
}

static void on_writable(void *context)
{
	((struct echo *)context)->full = false;
}

static void send_piece(struct echo *e)
{
	uint8_t bytes[PIECE_MAX];
	size_t size = 1 + draw(&e->random, PIECE_MAX);
	size_t taken;

	if (size > e->total - e->sent)
		size = e->total - e->sent;
	for (size_t i = 0; i < size; i++)
		bytes[i] = byte_at(e->sent + i);
	taken = zs_rdma_send(e->session->connection, bytes, size);
	e->sent += taken;
	e->full = taken < size;
	e->refusals += e->full;
}

int check_echo(struct session *session, uint64_t total, unsigned rounds_max)
{
	static struct echo e;

	e = (struct echo){ .session = session, .random = 0xec40, .total = total, .round = 1 };
	session->echoed = on_echo;
	session->writable = on_writable;
	session->context = &e;
	for (unsigned quiet = 0; e.seen < total && session->connection && quiet < rounds_max; e.round++) {
		uint64_t seen = e.seen;

		if (!e.full && e.sent < total)
			send_piece(&e);
		if (e.paused_at && e.round > e.paused_at + 50) {
			zs_rdma_resume(session->connection);
			e.paused_at = 0;
		}
		zs_rdma_pump(session->rdma);
		quiet = e.seen == seen ? quiet + 1 : 0;
	}
	session->echoed = NULL;
	session->writable = NULL;
	if (!session->connection) {
		fprintf(stderr, "FAILED: the stream ended after %" PRIu64 " bytes: %s\n", e.seen, session->why);
		return -1;
	}
	if (e.paused_at)
		zs_rdma_resume(session->connection);
	if (e.seen != total || e.wrong_at || !e.refusals) {
		fprintf(stderr,
			"FAILED: %" PRIu64 " bytes of %" PRIu64 " sent came back of %" PRIu64
			", the first wrong one is number %" PRIu64 "; the stream was full %" PRIu64 " times\n",
			e.seen, e.sent, total, e.wrong_at, e.refusals);
		return -1;
	}
	printf("stream: %" PRIu64 " bytes there and back, full %" PRIu64 " times on the way\n", total, e.refusals);
	return 0;
}
