/* Queue pairs and their states. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "test/fake/soft/soft.h"

/* 4.096 us times two to the power of the timeout, for each of the attempts. */
#define TIMEOUT_UNIT_NS UINT64_C(4096)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct soft_queue_pair *all;

const struct soft_peer *soft_peer_of(const struct soft_queue_pair *pair)
{
	return pair->wire ? &pair->wire->peer : soft_self();
}

/* ---- life ---- */

static bool make(struct soft_queue_pair *pair, const struct ibv_qp_init_attr *attributes)
{
	pair->size = attributes->cap.max_send_wr;
	pair->requests = calloc(pair->size, sizeof(pair->requests[0]));
	pair->qp.qp_num = pair->requests ? soft_number_new() : 0;
	if (!pair->qp.qp_num) {
		free(pair->requests);
		return false;
	}
	pair->next_pair = pair->sends_to->pairs;
	pair->sends_to->pairs = pair;
	if (pair->receives)
		pair->receives->pairs++;
	pthread_mutex_lock(&lock);
	pair->next_of_device = all;
	all = pair;
	pthread_mutex_unlock(&lock);
	return true;
}

struct ibv_qp *ibv_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attributes)
{
	struct soft_queue_pair *pair;

	if (attributes->qp_type != IBV_QPT_RC || attributes->cap.max_send_sge > 1 ||
	    attributes->cap.max_inline_data > SOFT_INLINE_MAX || !attributes->cap.max_send_wr) {
		errno = EINVAL;
		return NULL;
	}
	pair = calloc(1, sizeof(*pair));
	if (!pair)
		return NULL;
	pair->qp = (struct ibv_qp){ .context = pd->context,
				    .qp_context = attributes->qp_context,
				    .pd = pd,
				    .send_cq = attributes->send_cq,
				    .recv_cq = attributes->recv_cq,
				    .srq = attributes->srq,
				    .state = IBV_QPS_RESET,
				    .qp_type = IBV_QPT_RC };
	pair->sends_to = (struct soft_completions *)attributes->send_cq;
	pair->receives_to = (struct soft_completions *)attributes->recv_cq;
	pair->receives = (struct soft_receives *)attributes->srq;
	pair->signals_all = attributes->sq_sig_all;
	pair->inline_max = attributes->cap.max_inline_data;
	if (make(pair, attributes))
		return &pair->qp;
	free(pair);
	errno = ENOMEM;
	return NULL;
}

static void unlink_pair(struct soft_queue_pair *pair)
{
	struct soft_queue_pair **link = &pair->sends_to->pairs;

	while (*link != pair)
		link = &(*link)->next_pair;
	*link = pair->next_pair;
	pthread_mutex_lock(&lock);
	link = &all;
	while (*link != pair)
		link = &(*link)->next_of_device;
	*link = pair->next_of_device;
	pthread_mutex_unlock(&lock);
}

int ibv_destroy_qp(struct ibv_qp *qp)
{
	struct soft_queue_pair *pair = (struct soft_queue_pair *)qp;

	soft_number_free(qp->qp_num);
	soft_listen_to(pair, false);
	unlink_pair(pair);
	if (pair->receives)
		soft_receives_leave(pair);
	soft_forget_events(pair);
	soft_wire_release(pair->wire);
	free(pair->requests);
	free(pair);
	return 0;
}

/* ---- what it does for its peer ---- */

void soft_listen_to(struct soft_queue_pair *pair, bool listen)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = pair };

	listen = listen && (pair->qp.state == IBV_QPS_RTR || pair->qp.state == IBV_QPS_RTS);
	if (!pair->wire || listen == pair->is_heard)
		return;
	pair->is_heard = listen;
	epoll_ctl(pair->receives_to->epoll, listen ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, pair->wire->fd, &event);
}

static void set_door(const struct soft_queue_pair *pair)
{
	enum soft_door door = SOFT_DOOR_SHUT;

	if (pair->qp.state == IBV_QPS_RTR || pair->qp.state == IBV_QPS_RTS)
		door = pair->rights & IBV_ACCESS_REMOTE_READ ? SOFT_DOOR_READ : SOFT_DOOR_OPEN;
	soft_door_set(pair->qp.qp_num, door);
}

void soft_break(struct soft_queue_pair *pair)
{
	if (pair->qp.state != IBV_QPS_ERR) {
		pair->qp.state = IBV_QPS_ERR;
		set_door(pair);
		soft_listen_to(pair, false);
		if (pair->receives)
			soft_raise(IBV_EVENT_QP_LAST_WQE_REACHED, pair);
	}
	soft_flush(pair);
}

void soft_break_all(void)
{
	pthread_mutex_lock(&lock);
	for (struct soft_queue_pair *pair = all; pair; pair = pair->next_of_device)
		soft_door_set(pair->qp.qp_num, SOFT_DOOR_BROKEN);
	pthread_mutex_unlock(&lock);
}

/* ---- states ---- */

static const struct transition {
	enum ibv_qp_state from;
	enum ibv_qp_state to;
	int needs;
} transitions[] = {
	{ IBV_QPS_RESET, IBV_QPS_INIT, IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS },
	{ IBV_QPS_INIT, IBV_QPS_RTR,
	  IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC |
	      IBV_QP_MIN_RNR_TIMER },
	{ IBV_QPS_RTR, IBV_QPS_RTS,
	  IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC },
	{ IBV_QPS_RTS, IBV_QPS_RTS, 0 },
};

static bool is_possible(const struct soft_queue_pair *pair, enum ibv_qp_state to, int mask)
{
	for (size_t i = 0; i < sizeof(transitions) / sizeof(transitions[0]); i++) {
		const struct transition *t = &transitions[i];

		if (t->from == pair->qp.state && t->to == to)
			return (mask & t->needs) == t->needs;
	}
	return to == IBV_QPS_ERR;
}

static int connect_to(struct soft_queue_pair *pair, const struct ibv_qp_attr *attributes)
{
	struct soft_wire *wire;

	if (!soft_gid_leads(&attributes->ah_attr.grh.dgid, &wire))
		return EINVAL;
	if (wire) {
		wire->references++;
		pair->wire = wire;
	}
	pair->peer_number = attributes->dest_qp_num;
	return 0;
}

int ibv_modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *attributes, int mask)
{
	struct soft_queue_pair *pair = (struct soft_queue_pair *)qp;
	int error = 0;

	if (!(mask & IBV_QP_STATE) || !is_possible(pair, attributes->qp_state, mask))
		return EINVAL;
	if (attributes->qp_state == IBV_QPS_ERR) {
		soft_break(pair);
		return 0;
	}
	if (attributes->qp_state == IBV_QPS_RTR)
		error = connect_to(pair, attributes);
	if (error)
		return error;
	if (mask & IBV_QP_ACCESS_FLAGS)
		pair->rights = attributes->qp_access_flags;
	if (mask & IBV_QP_TIMEOUT)
		pair->patience_ns = (TIMEOUT_UNIT_NS << attributes->timeout) * (attributes->retry_cnt + 1u);
	qp->state = attributes->qp_state;
	set_door(pair);
	soft_listen_to(pair, true);
	return 0;
}
