#include "test/fake/rdma_device.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* The verbs that are functions of a device find it here. */
static struct fake_device *current;

static int post_send(struct ibv_qp *qp, struct ibv_send_wr *request, struct ibv_send_wr **bad)
{
	struct fake_device *d = current;

	for (; request; request = request->next) {
		struct fake_request *r = &d->posted[d->posted_next % FAKE_QUEUE];

		if (d->refuses) {
			d->refuses = false;
			*bad = request;
			return ENOMEM;
		}
		*r = (struct fake_request){ .name = request->wr_id, .number = qp->qp_num, .opcode = request->opcode };
		if (request->opcode == IBV_WR_SEND_WITH_IMM) {
			r->credit = ntohl(request->imm_data);
			r->size = request->num_sge ? request->sg_list->length : 0;
			if (r->size)
				memcpy(r->bytes, (const void *)(uintptr_t)request->sg_list->addr, r->size);
		}
		d->posted_next++;
	}
	return 0;
}

static int post_srq_receive(struct ibv_srq *srq, struct ibv_recv_wr *request, struct ibv_recv_wr **bad)
{
	(void)srq;
	(void)bad;
	current->receives[current->receive_count++] = request->wr_id;
	return 0;
}

static int poll_cq(struct ibv_cq *cq, int most, struct ibv_wc *completions)
{
	struct fake_device *d = current;
	int count = 0;

	(void)cq;
	while (count < most && d->completed_first != d->completed_next)
		completions[count++] = d->completions[d->completed_first++ % FAKE_QUEUE];
	return count;
}

static int request_notification(struct ibv_cq *cq, int solicited)
{
	(void)cq;
	(void)solicited;
	current->notifies = true;
	return 0;
}

static int get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **cq, void **context)
{
	eventfd_t count;

	*cq = &current->cq;
	*context = NULL;
	return eventfd_read(channel->fd, &count);
}

static void ack_cq_events(struct ibv_cq *cq, unsigned count)
{
	(void)cq;
	(void)count;
}

static int no_async_event(struct ibv_context *context, struct ibv_async_event *event)
{
	(void)context;
	(void)event;
	return -1;
}

static int destroy_qp(struct ibv_qp *qp)
{
	(void)qp;
	current->destroyed++;
	return 0;
}

static struct ibv_mr *reg_mr(struct ibv_pd *pd, void *base, size_t size, int rights)
{
	(void)pd;
	(void)rights;
	current->mr = (struct ibv_mr){ .addr = base, .length = size };
	return &current->mr;
}

static const char *status_text(enum ibv_wc_status status)
{
	(void)status;
	return "as the test wanted";
}

static struct zs_rdma_connection *add_connection(struct fake_device *d, unsigned i,
						 const struct zs_rdma_handler *handler, unsigned peer_window)
{
	struct zs_rdma *rdma = d->rdma;
	struct zs_rdma_connection *c = calloc(1, sizeof(*c) + rdma->requests_max * sizeof(c->requests[0]));

	if (!c)
		return NULL;
	d->queue_pairs[i] = (struct ibv_qp){ .context = &d->context, .qp_num = 17 + i };
	c->rdma = rdma;
	c->index = i;
	c->state = ZS_RDMA_READY;
	c->introduced = true;
	c->handler = *handler;
	c->qp = &d->queue_pairs[i];
	c->reads_free = rdma->options.reads;
	c->peer_window = peer_window;
	c->may_send = peer_window;
	rdma->slots[i].connection = c;
	c->next_of_number = rdma->by_number[0];
	rdma->by_number[0] = c;
	return c;
}

static bool make_endpoint(struct fake_device *d, const struct zs_rdma_options *options)
{
	struct zs_rdma *rdma = calloc(1, sizeof(*rdma) + options->connections * sizeof(rdma->slots[0]));

	d->rdma = rdma;
	if (!rdma)
		return false;
	rdma->options = *options;
	rdma->options.clock = zs_clock_system();
	rdma->requests_max = options->reads + options->window + 3;
	rdma->starved_end = &rdma->starved;
	rdma->next_deadline_ns = UINT64_MAX;
	rdma->by_number = calloc(1, sizeof(void *));
	rdma->device.verbs = &d->context;
	rdma->device.cq = &d->cq;
	rdma->device.srq = &d->srq;
	d->channel.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	d->events.fd = -1;
	rdma->device.channel = &d->channel;
	rdma->events = &d->events;
	rdma->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	rdma->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (rdma->epoll < 0 || zs_rdma_watch(rdma, rdma->timer) || zs_rdma_watch(rdma, d->channel.fd))
		return false;
	return rdma->by_number && !zs_rdma_buffers_make(rdma) && !zs_rdma_buffers_register(rdma);
}

bool fake_open(struct fake_device *d, const struct zs_rdma_options *options, const struct zs_rdma_handler *handler,
	       unsigned peer_window)
{
	memset(d, 0, sizeof(*d));
	current = d;
	d->posted = calloc(FAKE_QUEUE, sizeof(d->posted[0]));
	d->context.ops.post_send = post_send;
	d->context.ops.post_srq_recv = post_srq_receive;
	d->context.ops.poll_cq = poll_cq;
	d->context.ops.req_notify_cq = request_notification;
	d->srq.context = &d->context;
	d->cq.context = &d->context;
	zs_verbs.ibv_destroy_qp = destroy_qp;
	zs_verbs.ibv_get_cq_event = get_cq_event;
	zs_verbs.ibv_ack_cq_events = ack_cq_events;
	zs_verbs.ibv_get_async_event = no_async_event;
	zs_verbs.ibv_reg_mr = reg_mr;
	zs_verbs.ibv_wc_status_str = status_text;
	if (!d->posted || !make_endpoint(d, options)) {
		fake_close(d);
		return false;
	}
	for (unsigned i = 0; i < FAKE_PEERS; i++) {
		d->connections[i] = add_connection(d, i, handler, peer_window);
		if (!d->connections[i]) {
			fake_close(d);
			return false;
		}
	}
	return true;
}

void fake_close(struct fake_device *d)
{
	if (d->rdma) {
		for (unsigned i = 0; i < FAKE_PEERS; i++) {
			if (d->connections[i])
				zs_rdma_close(d->connections[i]);
		}
		zs_rdma_reap(d->rdma);
		zs_rdma_buffers_free(d->rdma);
		close(d->channel.fd);
		close(d->rdma->timer);
		close(d->rdma->epoll);
		free(d->rdma->by_number);
	}
	free(d->rdma);
	free(d->posted);
	d->rdma = NULL;
	d->posted = NULL;
}

bool fake_is_awake(const struct fake_device *d)
{
	struct pollfd poll_fd = { .fd = zs_rdma_fd(d->rdma), .events = POLLIN };

	return poll(&poll_fd, 1, 0) > 0;
}

const struct fake_request *fake_take(struct fake_device *d)
{
	return d->posted_first == d->posted_next ? NULL : &d->posted[d->posted_first++ % FAKE_QUEUE];
}

static struct ibv_wc *new_completion(struct fake_device *d)
{
	struct ibv_wc *completion = &d->completions[d->completed_next++ % FAKE_QUEUE];

	memset(completion, 0, sizeof(*completion));
	if (d->notifies)
		eventfd_write(d->channel.fd, 1);
	d->notifies = false;
	return completion;
}

void fake_complete(struct fake_device *d, const struct fake_request *request, enum ibv_wc_status status)
{
	struct ibv_wc *completion = new_completion(d);

	completion->wr_id = request->name;
	completion->status = status;
	completion->qp_num = request->number;
}

bool fake_arrive(struct fake_device *d, unsigned peer, const void *bytes, uint32_t size, uint32_t credit,
		 bool has_credit)
{
	struct ibv_wc *completion;
	uint64_t name;

	if (!d->receive_count)
		return false;
	name = d->receives[--d->receive_count];
	if (size)
		memcpy(d->rdma->buffers[(uint32_t)name].bytes, bytes, size);
	completion = new_completion(d);
	completion->wr_id = name;
	completion->status = IBV_WC_SUCCESS;
	completion->opcode = IBV_WC_RECV;
	completion->qp_num = d->queue_pairs[peer].qp_num;
	completion->byte_len = size;
	completion->imm_data = htonl(credit);
	completion->wc_flags = has_credit ? IBV_WC_WITH_IMM : 0;
	return true;
}
