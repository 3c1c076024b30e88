/* The requests of a queue pair. They are worked on in order, at once where that is possible. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "test/fake/soft/soft.h"

/* Between two attempts, where the peer does not answer or takes nothing more. */
#define AGAIN_NS UINT64_C(1000000)

/* Not a status of the verbs: the request is not over. */
#define NOT_YET ((enum ibv_wc_status) - 1)

/* ---- posting ---- */

static int check(const struct soft_queue_pair *pair, const struct ibv_send_wr *wr)
{
	bool is_inline = wr->send_flags & IBV_SEND_INLINE;

	if (pair->qp.state != IBV_QPS_RTS && pair->qp.state != IBV_QPS_ERR)
		return EINVAL;
	if (wr->num_sge < 0 || wr->num_sge > 1)
		return EINVAL;
	if (is_inline && wr->num_sge && wr->sg_list->length > pair->inline_max)
		return EINVAL;
	if (pair->next - pair->first == pair->size || soft_is_due(soft_refuse))
		return ENOMEM;
	return wr->opcode == IBV_WR_SEND || wr->opcode == IBV_WR_SEND_WITH_IMM || wr->opcode == IBV_WR_RDMA_READ ||
		       wr->opcode == IBV_WR_BIND_MW
		   ? 0
		   : EINVAL;
}

/* What is to go wrong with it, by the settings. */
static enum soft_fault fault_of(enum ibv_wr_opcode opcode)
{
	if (soft_is_due(soft_dead))
		return SOFT_FAULT_DEAD;
	if (soft_is_due(soft_fatal))
		return SOFT_FAULT_FATAL;
	if (soft_is_due(soft_drop))
		return SOFT_FAULT_DROP;
	if (opcode == IBV_WR_RDMA_READ && soft_is_due(soft_deny))
		return SOFT_FAULT_DENY;
	return SOFT_FAULT_NONE;
}

static uint64_t when_due(struct soft_queue_pair *pair, uint64_t now_ns)
{
	uint64_t serial_ns = soft_get(soft_serial_us) * 1000;

	if (serial_ns)
		pair->busy_until_ns = (pair->busy_until_ns > now_ns ? pair->busy_until_ns : now_ns) + serial_ns;
	return (serial_ns ? pair->busy_until_ns : now_ns) + soft_get(soft_delay_us) * 1000;
}

/* Copies what the caller may change after the post, but not what it leaves unset. */
static void enqueue(struct soft_queue_pair *pair, const struct ibv_send_wr *wr, uint64_t now_ns)
{
	struct soft_request *r = &pair->requests[pair->next++ % pair->size];

	r->name = wr->wr_id;
	r->opcode = wr->opcode;
	r->flags = wr->send_flags;
	r->place = (struct ibv_sge){ 0 };
	r->due_ns = when_due(pair, now_ns);
	r->give_up_ns = 0;
	r->fault = fault_of(wr->opcode);
	if (wr->opcode == IBV_WR_BIND_MW) {
		r->bind.window = (struct soft_window *)wr->bind_mw.mw;
		r->bind.key = wr->bind_mw.rkey;
		r->bind.info = wr->bind_mw.bind_info;
		return;
	}
	if (wr->num_sge)
		r->place = *wr->sg_list;
	if (wr->opcode == IBV_WR_SEND_WITH_IMM)
		r->immediate = wr->imm_data;
	if (wr->opcode == IBV_WR_RDMA_READ) {
		r->read.address = wr->wr.rdma.remote_addr;
		r->read.key = wr->wr.rdma.rkey;
	}
	if (wr->send_flags & IBV_SEND_INLINE && r->place.length)
		memcpy(r->bytes, (const void *)(uintptr_t)r->place.addr, r->place.length);
}

int soft_post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
	struct soft_queue_pair *pair = (struct soft_queue_pair *)qp;
	uint64_t now_ns = soft_now_ns();
	int error = 0;

	for (; wr && !error; wr = error ? wr : wr->next) {
		error = check(pair, wr);
		if (error)
			*bad = wr;
		else
			enqueue(pair, wr, now_ns);
	}
	soft_expect(pair->sends_to, soft_work(pair, now_ns));
	return error;
}

/* ---- working on them ---- */

static enum ibv_wc_status send_message(struct soft_queue_pair *pair, const struct soft_request *r)
{
	bool is_inline = r->flags & IBV_SEND_INLINE;
	struct soft_header header = { .sent_ns = soft_now_ns(), .has_immediate = r->opcode == IBV_WR_SEND_WITH_IMM };
	struct iovec parts[2] = {
		{ &header, sizeof(header) },
		{ is_inline ? (void *)(uintptr_t)r->bytes : (void *)(uintptr_t)r->place.addr, r->place.length },
	};
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };

	if (header.has_immediate)
		header.immediate = r->immediate;
	if (!is_inline && r->place.length && !soft_key_allows(r->place.lkey, r->place.addr, r->place.length, 0))
		return IBV_WC_LOC_PROT_ERR;
	if (!pair->wire)
		return IBV_WC_LOC_QP_OP_ERR;
	if (sendmsg(pair->wire->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return IBV_WC_SUCCESS;
	return NOT_YET;
}

static enum ibv_wc_status read_peer(const struct soft_queue_pair *pair, const struct soft_request *r)
{
	if (!soft_key_allows(r->place.lkey, r->place.addr, r->place.length, IBV_ACCESS_LOCAL_WRITE))
		return IBV_WC_LOC_PROT_ERR;
	if (r->fault == SOFT_FAULT_DENY)
		return IBV_WC_REM_ACCESS_ERR;
	switch (soft_peer_read(soft_peer_of(pair), pair->peer_number, r->read.key, r->read.address,
			       (void *)(uintptr_t)r->place.addr, r->place.length)) {
	case SOFT_DONE:
		return IBV_WC_SUCCESS;
	case SOFT_DENIED:
		return IBV_WC_REM_ACCESS_ERR;
	default:
		return NOT_YET;
	}
}

/* One attempt. */
static enum ibv_wc_status attempt(struct soft_queue_pair *pair, struct soft_request *r)
{
	enum soft_door door;

	if (r->opcode == IBV_WR_BIND_MW)
		return soft_window_bind(r->bind.window, r->bind.key, &r->bind.info, pair->qp.qp_num);
	door = soft_door_of(soft_peer_of(pair), pair->peer_number);
	if (soft_get(soft_cut) || r->fault == SOFT_FAULT_DROP || door == SOFT_DOOR_SHUT || door == SOFT_DOOR_BROKEN)
		return NOT_YET;
	return r->opcode == IBV_WR_RDMA_READ ? read_peer(pair, r) : send_message(pair, r);
}

static enum ibv_wc_status attempt_in_time(struct soft_queue_pair *pair, struct soft_request *r, uint64_t now_ns)
{
	enum ibv_wc_status status = attempt(pair, r);

	if (status != NOT_YET)
		return status;
	if (!r->give_up_ns)
		r->give_up_ns = now_ns + pair->patience_ns;
	return now_ns >= r->give_up_ns ? IBV_WC_RETRY_EXC_ERR : NOT_YET;
}

static void end_first(struct soft_queue_pair *pair, enum ibv_wc_status status)
{
	const struct soft_request *r = &pair->requests[pair->first++ % pair->size];
	struct ibv_wc completion = { .wr_id = r->name, .status = status, .qp_num = pair->qp.qp_num };

	if (status == IBV_WC_SUCCESS)
		soft_count(r->opcode == IBV_WR_RDMA_READ ? soft_reads : soft_sends);
	if (status == IBV_WC_SUCCESS && !pair->signals_all && !(r->flags & IBV_SEND_SIGNALED))
		return;
	completion.opcode = r->opcode == IBV_WR_RDMA_READ ? IBV_WC_RDMA_READ
			    : r->opcode == IBV_WR_BIND_MW ? IBV_WC_BIND_MW
							  : IBV_WC_SEND;
	completion.byte_len = r->place.length;
	soft_complete(pair->sends_to, &completion);
}

void soft_flush(struct soft_queue_pair *pair)
{
	while (pair->first != pair->next)
		end_first(pair, IBV_WC_WR_FLUSH_ERR);
}

/* True if the request has broken the queue pair or the device. */
static bool breaks(struct soft_queue_pair *pair, const struct soft_request *r)
{
	if (r->fault == SOFT_FAULT_DEAD) {
		soft_break_all();
		soft_raise(IBV_EVENT_DEVICE_FATAL, NULL);
	} else if (r->fault == SOFT_FAULT_FATAL) {
		soft_raise(IBV_EVENT_QP_FATAL, pair);
	} else {
		return pair->qp.state == IBV_QPS_ERR || soft_door_of(soft_self(), pair->qp.qp_num) == SOFT_DOOR_BROKEN;
	}
	return true;
}

uint64_t soft_work(struct soft_queue_pair *pair, uint64_t now_ns)
{
	while (pair->first != pair->next) {
		struct soft_request *r = &pair->requests[pair->first % pair->size];
		enum ibv_wc_status status;

		if (breaks(pair, r)) {
			soft_break(pair);
			break;
		}
		if (now_ns < r->due_ns)
			return r->due_ns;
		status = attempt_in_time(pair, r, now_ns);
		if (status == NOT_YET)
			return now_ns + AGAIN_NS;
		end_first(pair, status);
		if (status != IBV_WC_SUCCESS)
			soft_break(pair);
	}
	return UINT64_MAX;
}
