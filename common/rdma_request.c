/* Requests that are with the adapter, and what becomes of them. */
#include <assert.h>

#include "common/rdma_internal.h"

enum {
	POLL_MAX = 16, /* completions taken at a time */
};

/* A completion tells the slot, which connection of that slot, and the request: one that is late belongs to nobody. */
static uint64_t name_of(const struct zs_rdma_connection *c, uint32_t request)
{
	return (uint64_t)c->index << 48 | (uint64_t)c->rdma->slots[c->index].generation << 32 | request;
}

static struct zs_rdma_request *request_at(struct zs_rdma_connection *c, uint32_t number)
{
	return &c->requests[number % c->rdma->requests_max];
}

void zs_rdma_expect_by(struct zs_rdma *rdma, uint64_t deadline_ns)
{
	if (deadline_ns < rdma->next_deadline_ns)
		rdma->next_deadline_ns = deadline_ns;
}

uint64_t zs_rdma_request_begin(struct zs_rdma_connection *c, struct zs_rdma_request request, uint64_t now_ns)
{
	assert(c->next - c->first < c->rdma->requests_max);
	request.deadline_ns = now_ns + c->rdma->options.read_timeout_ms * UINT64_C(1000000);
	*request_at(c, c->next) = request;
	zs_rdma_expect_by(c->rdma, request.deadline_ns);
	return name_of(c, c->next++);
}

/*
 * Some may have been posted before one could not, so nothing can be taken back. The deadline ends the connection, from
 * within the pump, as if no answer had come.
 */
void zs_rdma_request_failed(struct zs_rdma_connection *c)
{
	request_at(c, c->first)->deadline_ns = 0;
	zs_rdma_expect_by(c->rdma, 0);
}

static struct zs_rdma_request take_first(struct zs_rdma_connection *c)
{
	struct zs_rdma_request request = *request_at(c, c->first++);

	if (request.kind == ZS_RDMA_READS)
		c->reads_free += request.count;
	return request;
}

static void end_first(struct zs_rdma_connection *c)
{
	struct zs_rdma_request request = take_first(c);

	if (request.kind == ZS_RDMA_READS)
		c->handler.done(c->handler.context, request.read, true);
	else if (request.kind == ZS_RDMA_MESSAGE)
		zs_rdma_message_sent(c, request.buffer);
}

void zs_rdma_fail_requests(struct zs_rdma_connection *c)
{
	assert(!c->qp);
	while (c->first != c->next) {
		struct zs_rdma_request request = take_first(c);

		if (request.kind == ZS_RDMA_READS)
			c->handler.done(c->handler.context, request.read, false);
		else if (request.buffer)
			zs_rdma_buffer_return(c->rdma, request.buffer);
	}
}

static const char *kind_text(struct zs_rdma_connection *c)
{
	static const char *const texts[] = {
		[ZS_RDMA_READS] = "a read",
		[ZS_RDMA_MESSAGE] = "a message",
		[ZS_RDMA_BIND] = "binding a memory window",
	};

	return c->first == c->next ? "a request" : texts[request_at(c, c->first)->kind];
}

static void take_request(struct zs_rdma *rdma, const struct ibv_wc *completion)
{
	unsigned index = (unsigned)(completion->wr_id >> 48);
	uint16_t generation = (uint16_t)(completion->wr_id >> 32);
	struct zs_rdma_connection *c;

	if (index >= rdma->options.connections || rdma->slots[index].generation != generation)
		return;
	c = rdma->slots[index].connection;
	if (!c || c->state != ZS_RDMA_READY)
		return;
	if (completion->status != IBV_WC_SUCCESS)
		zs_rdma_break(c, "%s failed: %s", kind_text(c), zs_verbs.ibv_wc_status_str(completion->status));
	else if (c->first != c->next && c->first == (uint32_t)completion->wr_id)
		end_first(c);
	else
		zs_rdma_break(c, "the adapter reported a request that is not under way");
}

/* Of a failed completion nothing but the name counts. */
static bool is_receive(const struct zs_rdma *rdma, const struct ibv_wc *completion)
{
	return completion->wr_id & ZS_RDMA_RECEIVE_NAME && (uint32_t)completion->wr_id < rdma->options.receives;
}

unsigned zs_rdma_take_completions(struct zs_rdma *rdma, unsigned most)
{
	struct ibv_wc completions[POLL_MAX];
	unsigned all = 0;
	int count;

	if (!rdma->device.cq)
		return 0;
	do {
		count = ibv_poll_cq(rdma->device.cq, POLL_MAX, completions);
		for (int i = 0; i < count; i++) {
			if (is_receive(rdma, &completions[i]))
				zs_rdma_on_message(rdma, &completions[i]);
			else
				take_request(rdma, &completions[i]);
		}
		all += count > 0 ? (unsigned)count : 0;
	} while (count == POLL_MAX && all < most);
	zs_rdma_feed(rdma);
	return all;
}
