/*
 * The stream of bytes: messages, and the windows that bound them.
 *
 * A side may send as many messages as the other side's window before it hears that some were taken. It hears so in the
 * immediate data of every message, so most times it costs nothing. Where nothing is to be sent, an empty message says
 * so, when half a window was taken. Empty messages are not counted in a window; there are at most two of them under
 * way, because a peer that has not heard from us sends no more than a window.
 */
#include <arpa/inet.h>
#include <string.h>

#include "common/rdma_internal.h"

/* Messages under way to the adapter, beyond which the stream waits: a window and the empty ones. */
static unsigned messages_max(const struct zs_rdma_connection *c)
{
	return c->rdma->options.window + 2;
}

static void post(struct zs_rdma_connection *c, const void *data, size_t size, struct zs_rdma_buffer *buffer)
{
	struct ibv_sge place = { (uintptr_t)data, (uint32_t)size, buffer ? c->rdma->device.buffers_mr->lkey : 0 };
	struct zs_rdma_request record = { .kind = ZS_RDMA_MESSAGE, .buffer = buffer };
	struct ibv_send_wr request = {
		.wr_id = zs_rdma_request_begin(c, record, zs_clock_ns(c->rdma->options.clock)),
		.sg_list = &place,
		.num_sge = size ? 1 : 0,
		.opcode = IBV_WR_SEND_WITH_IMM,
		.send_flags = IBV_SEND_SIGNALED | (buffer ? 0 : IBV_SEND_INLINE),
		.imm_data = htonl(c->paused ? 0 : c->taken),
	};
	struct ibv_send_wr *bad;

	if (!c->paused)
		c->taken = 0;
	c->messages++;
	if (ibv_post_send(c->qp, &request, &bad))
		zs_rdma_request_failed(c);
}

/* ---- sending ---- */

static void starve(struct zs_rdma_connection *c)
{
	if (c->starved)
		return;
	c->starved = true;
	c->next_starved = NULL;
	*c->rdma->starved_end = c;
	c->rdma->starved_end = &c->next_starved;
}

static void remove_starved(struct zs_rdma_connection *c)
{
	struct zs_rdma_connection **link = &c->rdma->starved;

	while (*link != c)
		link = &(*link)->next_starved;
	*link = c->next_starved;
	if (!*link)
		c->rdma->starved_end = link;
	c->starved = false;
}

void zs_rdma_stream_end(struct zs_rdma_connection *c)
{
	if (c->starved)
		remove_starved(c);
}

/* Sends one message. False: not now. */
static bool send_one(struct zs_rdma_connection *c, const uint8_t *data, size_t size)
{
	struct zs_rdma_buffer *buffer = NULL;

	if (!c->may_send || c->messages >= messages_max(c))
		return false;
	if (size > c->inline_max) {
		buffer = zs_rdma_buffer_take(c->rdma);
		if (!buffer) {
			starve(c);
			return false;
		}
		memcpy(buffer->bytes, data, size);
	}
	c->may_send--;
	post(c, buffer ? buffer->bytes : data, size, buffer);
	return true;
}

size_t zs_rdma_send(struct zs_rdma_connection *c, const void *data, size_t size)
{
	const uint8_t *bytes = data;
	size_t sent = 0;

	if (c->state != ZS_RDMA_READY)
		return 0;
	while (sent < size) {
		size_t piece = size - sent < ZS_RDMA_MESSAGE_SIZE ? size - sent : ZS_RDMA_MESSAGE_SIZE;

		if (!send_one(c, bytes + sent, piece))
			break;
		sent += piece;
	}
	c->blocked = sent < size;
	return sent;
}

static void try_again(struct zs_rdma_connection *c)
{
	if (!c->blocked || c->state != ZS_RDMA_READY)
		return;
	c->blocked = false;
	c->handler.writable(c->handler.context, c);
}

/* ---- what was taken ---- */

static void tell(struct zs_rdma_connection *c)
{
	if (c->state == ZS_RDMA_READY && !c->paused && c->taken * 2 >= c->rdma->options.window &&
	    c->messages < messages_max(c))
		post(c, NULL, 0, NULL);
}

void zs_rdma_pause(struct zs_rdma_connection *c)
{
	c->paused = true;
}

void zs_rdma_resume(struct zs_rdma_connection *c)
{
	c->paused = false;
	tell(c);
}

/* ---- receiving ---- */

/* What the peer says it has taken. False: it cannot have. */
static bool take_credit(struct zs_rdma_connection *c, const struct ibv_wc *completion)
{
	uint32_t told = completion->wc_flags & IBV_WC_WITH_IMM ? ntohl(completion->imm_data) : UINT32_MAX;

	if (told > c->peer_window - c->may_send || (!told && !completion->byte_len))
		return false;
	c->may_send += told;
	return true;
}

static void take(struct zs_rdma_connection *c, const struct ibv_wc *completion, const uint8_t *bytes)
{
	/* The peer's first message may overtake the connection manager's last. */
	if (c->state == ZS_RDMA_ACCEPTING)
		zs_rdma_become_ready(c);
	if (c->state != ZS_RDMA_READY)
		return;
	if (!take_credit(c, completion)) {
		zs_rdma_break(c, "the peer says that it took messages which it cannot have");
		return;
	}
	if (completion->byte_len) {
		if (c->taken == c->rdma->options.window) {
			zs_rdma_break(c, "the peer sends more messages than it may");
			return;
		}
		c->taken++;
		c->handler.received(c->handler.context, c, bytes, completion->byte_len);
	}
	if (!c->starved)
		try_again(c);
	tell(c);
}

void zs_rdma_on_message(struct zs_rdma *rdma, const struct ibv_wc *completion)
{
	struct zs_rdma_connection *c = zs_rdma_of_number(rdma, completion->qp_num);
	struct zs_rdma_buffer *buffer = &rdma->buffers[(uint32_t)completion->wr_id];

	if (completion->status == IBV_WC_SUCCESS && completion->byte_len <= ZS_RDMA_MESSAGE_SIZE && c)
		take(c, completion, buffer->bytes);
	else if (c && completion->status != IBV_WC_WR_FLUSH_ERR)
		zs_rdma_break(c, "a message was not received: %s", zs_verbs.ibv_wc_status_str(completion->status));
	/* Cannot fail: it is one of those that the queue was made for. */
	(void)zs_rdma_buffer_post(rdma, buffer);
}

void zs_rdma_message_sent(struct zs_rdma_connection *c, struct zs_rdma_buffer *buffer)
{
	c->messages--;
	if (buffer)
		zs_rdma_buffer_return(c->rdma, buffer);
	if (!c->starved)
		try_again(c);
	tell(c);
}

void zs_rdma_feed(struct zs_rdma *rdma)
{
	while (rdma->starved && rdma->free_buffers) {
		struct zs_rdma_connection *longest = rdma->starved;

		remove_starved(longest);
		try_again(longest);
	}
}
