/* Shared receive queues, and what arrives. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "test/fake/soft/soft.h"

enum { MESSAGES_AT_A_TIME = 16 };

struct ibv_srq *ibv_create_srq(struct ibv_pd *pd, struct ibv_srq_init_attr *attributes)
{
	struct soft_receives *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->srq.context = pd->context;
	r->srq.pd = pd;
	r->size = attributes->attr.max_wr;
	r->ring = calloc(r->size, sizeof(r->ring[0]));
	if (r->ring)
		return &r->srq;
	free(r);
	return NULL;
}

int ibv_destroy_srq(struct ibv_srq *srq)
{
	struct soft_receives *r = (struct soft_receives *)srq;

	if (r->pairs)
		return EBUSY;
	free(r->ring);
	free(r);
	return 0;
}

static void feed_starved(struct soft_receives *r)
{
	while (r->starved) {
		struct soft_queue_pair *pair = r->starved;

		r->starved = pair->next_starved;
		pair->is_starved = false;
		soft_listen_to(pair, true);
	}
}

int soft_post_receive(struct ibv_srq *srq, struct ibv_recv_wr *request, struct ibv_recv_wr **bad)
{
	struct soft_receives *r = (struct soft_receives *)srq;

	for (; request; request = request->next) {
		if (request->num_sge != 1 || r->next - r->first == r->size) {
			*bad = request;
			return request->num_sge == 1 ? ENOMEM : EINVAL;
		}
		r->ring[r->next++ % r->size] = (struct soft_place){ request->wr_id, *request->sg_list };
	}
	feed_starved(r);
	return 0;
}

/* Looked at again when there is a buffer: until then the message stays in its socket. */
static void starve(struct soft_queue_pair *pair)
{
	soft_listen_to(pair, false);
	if (pair->is_starved)
		return;
	pair->is_starved = true;
	pair->next_starved = pair->receives->starved;
	pair->receives->starved = pair;
}

void soft_receives_leave(struct soft_queue_pair *pair)
{
	struct soft_queue_pair **link = &pair->receives->starved;

	pair->receives->pairs--;
	while (*link && *link != pair)
		link = &(*link)->next_starved;
	if (*link)
		*link = pair->next_starved;
}

/* Into the buffer. What has no room there breaks the queue pair. */
static void receive_into(struct soft_queue_pair *pair, const struct soft_place *place, const struct soft_header *header,
			 size_t size, bool fits)
{
	struct ibv_wc completion = {
		.wr_id = place->name,
		.status = fits ? IBV_WC_SUCCESS : IBV_WC_LOC_LEN_ERR,
		.opcode = IBV_WC_RECV,
		.byte_len = (uint32_t)size,
		.qp_num = pair->qp.qp_num,
		.wc_flags = header->has_immediate ? IBV_WC_WITH_IMM : 0,
		.imm_data = header->immediate,
	};

	soft_count(soft_received);
	soft_complete(pair->receives_to, &completion);
	if (!fits)
		soft_break(pair);
}

/* False: there is none, or it cannot be taken now. */
static bool take_message(struct soft_queue_pair *pair)
{
	struct soft_receives *r = pair->receives;
	struct soft_header header;
	struct soft_place place;
	struct iovec parts[2] = { { &header, sizeof(header) } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	ssize_t size;

	if (r->first == r->next) {
		starve(pair);
		return false;
	}
	place = r->ring[r->first % r->size];
	if (!soft_key_allows(place.sge.lkey, place.sge.addr, place.sge.length, IBV_ACCESS_LOCAL_WRITE)) {
		soft_break(pair);
		return false;
	}
	parts[1] = (struct iovec){ (void *)(uintptr_t)place.sge.addr, place.sge.length };
	size = recvmsg(pair->wire->fd, &message, MSG_DONTWAIT);
	if (size < (ssize_t)sizeof(header)) {
		/* The peer's end is closed: as with a cable, that is silence. */
		if (!size || (size < 0 && errno != EAGAIN && errno != EINTR))
			soft_listen_to(pair, false);
		return false;
	}
	r->first++;
	receive_into(pair, &place, &header, (size_t)size - sizeof(header), !(message.msg_flags & MSG_TRUNC));
	return true;
}

void soft_take_messages(struct soft_queue_pair *pair)
{
	for (unsigned i = 0; i < MESSAGES_AT_A_TIME; i++) {
		if (soft_get(soft_cut) || soft_is_early(pair->wire->fd)) {
			soft_listen_to(pair, false);
			pair->receives_to->is_deaf = true;
			break;
		}
		if (!pair->receives || !pair->is_heard || !take_message(pair))
			break;
	}
}
