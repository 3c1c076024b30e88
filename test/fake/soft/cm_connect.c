/* How connections are made and ended. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "test/fake/soft/cm.h"

enum {
	STATUS_NO_LISTENER = 8,
	STATUS_REFUSED = 28,
};

/* ---- sockets ---- */

static socklen_t name_of(const struct sockaddr_in *address, struct sockaddr_un *name)
{
	*name = (struct sockaddr_un){ .sun_family = AF_UNIX };
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			   (size_t)snprintf(name->sun_path + 1, sizeof(name->sun_path) - 1, "zslab-soft-verbs/%u",
					    ntohs(address->sin_port)));
}

static int new_socket(void)
{
	return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int soft_listen_at(const struct sockaddr_in *address)
{
	struct sockaddr_un name;
	socklen_t size = name_of(address, &name);
	int fd = new_socket();

	if (fd < 0 || !bind(fd, (struct sockaddr *)&name, size))
		return fd;
	close(fd);
	errno = EADDRINUSE;
	return -1;
}

/* A peer gets to read our memory: it must be one of ours. */
static bool is_trusted(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) && peer.uid == geteuid();
}

static int send_record(const struct soft_id *id, const struct soft_record *record, const int *descriptors,
		       unsigned count)
{
	/* The way is cut: it is lost. */
	if (soft_get(soft_cut))
		return 0;
	return soft_send(id->socket, record, sizeof(*record), descriptors, count) < 0 ? -1 : 0;
}

/* -1 (errno): the private data is too large. */
static int make_record(struct soft_record *record, enum soft_kind kind, const struct rdma_conn_param *param,
		       uint8_t private_size)
{
	*record = (struct soft_record){ .sent_ns = soft_now_ns(), .kind = kind, .private_size = private_size };
	if (!param)
		return 0;
	if (param->private_data_len > private_size) {
		errno = EINVAL;
		return -1;
	}
	if (param->private_data_len)
		memcpy(record->private_data, param->private_data, param->private_data_len);
	record->number = param->qp_num;
	record->reads_out = param->initiator_depth;
	record->reads_in = param->responder_resources;
	return 0;
}

/* ---- what users do ---- */

/* The socket for messages: ours is in the wire, the peer's end goes with the request. */
static int make_wire(struct soft_id *id, int *peers_end)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
		return -1;
	id->wire = soft_wire_new(ends[0]);
	if (id->wire) {
		*peers_end = ends[1];
		return 0;
	}
	close(ends[0]);
	close(ends[1]);
	return -1;
}

static int request(struct soft_id *id)
{
	int descriptors[3];
	struct sockaddr_un name;
	socklen_t size = name_of(&id->id.route.addr.dst_sin, &name);
	int result;

	/* Nobody else is there, and so nobody answers. */
	if (id->id.route.addr.dst_sin.sin_addr.s_addr != htonl(INADDR_LOOPBACK))
		return 0;
	if (make_wire(id, &descriptors[2]))
		return -1;
	soft_self_descriptors(descriptors);
	id->socket = new_socket();
	if (id->socket >= 0 && connect(id->socket, (struct sockaddr *)&name, size)) {
		id->state = SOFT_ID_ENDED;
		soft_tell(id, RDMA_CM_EVENT_REJECTED, STATUS_NO_LISTENER, NULL);
	}
	result = id->socket < 0 ? -1 : id->state == SOFT_ID_ENDED ? 0 : send_record(id, &id->own, descriptors, 3);
	close(descriptors[2]);
	return result ? result : soft_id_watch(id, true);
}

int rdma_connect(struct rdma_cm_id *cm_id, struct rdma_conn_param *param)
{
	struct soft_id *id = (struct soft_id *)cm_id;

	if (id->state != SOFT_ID_IDLE || !cm_id->verbs) {
		errno = EINVAL;
		return -1;
	}
	if (make_record(&id->own, SOFT_CONNECT, param, SOFT_PRIVATE_CONNECT))
		return -1;
	id->own.from = cm_id->route.addr.src_sin;
	id->own.to = cm_id->route.addr.dst_sin;
	id->retry_count = param->retry_count;
	id->state = SOFT_ID_CONNECTING;
	if (soft_get(soft_cut))
		soft_events_deafen((struct soft_events *)cm_id->channel);
	else if (request(id))
		return -1;
	return soft_await(id, RDMA_CM_EVENT_CONNECT_RESPONSE);
}

void soft_id_repeat(struct soft_id *id)
{
	if (id->state == SOFT_ID_CONNECTING && id->socket < 0 && request(id)) {
		id->state = SOFT_ID_ENDED;
		soft_tell(id, RDMA_CM_EVENT_UNREACHABLE, -errno, NULL);
	}
}

int rdma_accept(struct rdma_cm_id *cm_id, struct rdma_conn_param *param)
{
	struct soft_id *id = (struct soft_id *)cm_id;
	struct soft_record record;
	int descriptors[2];

	if (id->state != SOFT_ID_REQUESTED) {
		errno = EINVAL;
		return -1;
	}
	if (make_record(&record, SOFT_ACCEPT, param, SOFT_PRIVATE_ACCEPT))
		return -1;
	soft_self_descriptors(descriptors);
	if (send_record(id, &record, descriptors, 2))
		return -1;
	return soft_await(id, RDMA_CM_EVENT_ESTABLISHED);
}

int rdma_reject(struct rdma_cm_id *cm_id, const void *data, uint8_t size)
{
	struct soft_id *id = (struct soft_id *)cm_id;
	struct rdma_conn_param param = { .private_data = data, .private_data_len = size };
	struct soft_record record;

	if (id->state != SOFT_ID_REQUESTED) {
		errno = EINVAL;
		return -1;
	}
	if (make_record(&record, SOFT_REJECT, &param, SOFT_PRIVATE_REJECT))
		return -1;
	id->state = SOFT_ID_ENDED;
	return send_record(id, &record, NULL, 0);
}

int rdma_establish(struct rdma_cm_id *cm_id)
{
	struct soft_id *id = (struct soft_id *)cm_id;
	struct soft_record record;

	if (id->state != SOFT_ID_CONNECTED) {
		errno = EINVAL;
		return -1;
	}
	(void)make_record(&record, SOFT_ESTABLISH, NULL, 0);
	return send_record(id, &record, NULL, 0);
}

/* The last message of the connection manager was not needed. */
int rdma_notify(struct rdma_cm_id *cm_id, enum ibv_event_type event)
{
	struct soft_id *id = (struct soft_id *)cm_id;

	(void)event;
	if (id->state == SOFT_ID_REQUESTED) {
		id->state = SOFT_ID_CONNECTED;
		soft_tell(id, RDMA_CM_EVENT_ESTABLISHED, 0, NULL);
	}
	return 0;
}

int rdma_disconnect(struct rdma_cm_id *cm_id)
{
	struct soft_id *id = (struct soft_id *)cm_id;
	struct soft_record record;

	if (id->state != SOFT_ID_CONNECTED) {
		errno = EINVAL;
		return -1;
	}
	(void)make_record(&record, SOFT_DISCONNECT, NULL, 0);
	return send_record(id, &record, NULL, 0);
}

/* ---- queue pairs ---- */

static void fill_ready_to_receive(const struct soft_id *id, struct ibv_qp_attr *a)
{
	a->path_mtu = IBV_MTU_4096;
	a->dest_qp_num = id->peer.number;
	a->max_dest_rd_atomic = id->peer.reads_out;
	a->ah_attr.is_global = 1;
	a->ah_attr.port_num = 1;
	soft_gid_of(id->wire, &a->ah_attr.grh.dgid);
}

int rdma_init_qp_attr(struct rdma_cm_id *cm_id, struct ibv_qp_attr *a, int *mask)
{
	struct soft_id *id = (struct soft_id *)cm_id;

	*mask = IBV_QP_STATE;
	switch (a->qp_state) {
	case IBV_QPS_INIT:
		a->port_num = 1;
		*mask |= IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS;
		return 0;
	case IBV_QPS_RTR:
		if (!id->wire)
			break;
		fill_ready_to_receive(id, a);
		*mask |= IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC |
			 IBV_QP_MIN_RNR_TIMER;
		return 0;
	case IBV_QPS_RTS:
		a->timeout = id->ack_timeout;
		a->retry_cnt = id->retry_count;
		a->rnr_retry = 7;
		a->max_rd_atomic = id->peer.reads_in;
		*mask |= IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC;
		return 0;
	default:
		break;
	}
	errno = EINVAL;
	return -1;
}

/* ---- what comes ---- */

static void end(struct soft_id *id)
{
	id->state = SOFT_ID_ENDED;
	soft_id_watch(id, false);
}

static void take_caller(struct soft_id *listener)
{
	int fd = accept4(listener->socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct soft_id *id;

	if (fd < 0)
		return;
	id = is_trusted(fd) ? soft_id_new((struct soft_events *)listener->id.channel, NULL, listener->id.ps) : NULL;
	if (!id) {
		close(fd);
		return;
	}
	id->socket = fd;
	id->state = SOFT_ID_EMBRYO;
	id->listener = listener;
	soft_id_watch(id, true);
}

static int open_peer(struct soft_id *id, int *descriptors)
{
	int error = soft_peer_open(&id->wire->peer, descriptors);

	descriptors[0] = descriptors[1] = -1;
	return error;
}

/* False: it says nothing that makes sense. */
static bool take_request(struct soft_id *id, int *descriptors)
{
	if (id->peer.kind != SOFT_CONNECT || descriptors[2] < 0)
		return false;
	id->wire = soft_wire_new(descriptors[2]);
	if (!id->wire)
		return false;
	descriptors[2] = -1;
	if (open_peer(id, descriptors))
		return false;
	id->id.verbs = soft_context();
	id->id.port_num = 1;
	id->id.route.addr.src_sin = id->peer.to;
	id->id.route.addr.dst_sin = id->peer.from;
	/* A real one takes the caller's. */
	id->retry_count = 3;
	id->state = SOFT_ID_REQUESTED;
	soft_tell(id, RDMA_CM_EVENT_CONNECT_REQUEST, 0, &id->peer);
	return true;
}

static void take_answer(struct soft_id *id, int *descriptors)
{
	if (id->peer.kind == SOFT_ACCEPT && descriptors[1] >= 0 && !open_peer(id, descriptors)) {
		id->state = SOFT_ID_CONNECTED;
		soft_tell(id, RDMA_CM_EVENT_CONNECT_RESPONSE, 0, &id->peer);
		return;
	}
	end(id);
	soft_tell(id, RDMA_CM_EVENT_REJECTED, STATUS_REFUSED, &id->peer);
}

static void take_record(struct soft_id *id, const struct soft_record *record, int *descriptors)
{
	if (id->state == SOFT_ID_EMBRYO || id->state == SOFT_ID_CONNECTING)
		id->peer = *record;
	if (id->state == SOFT_ID_EMBRYO) {
		if (!take_request(id, descriptors))
			rdma_destroy_id(&id->id);
	} else if (id->state == SOFT_ID_CONNECTING) {
		take_answer(id, descriptors);
	} else if (id->state == SOFT_ID_REQUESTED && record->kind == SOFT_ESTABLISH) {
		id->state = SOFT_ID_CONNECTED;
		soft_tell(id, RDMA_CM_EVENT_ESTABLISHED, 0, NULL);
	} else {
		end(id);
		soft_tell(id, RDMA_CM_EVENT_DISCONNECTED, 0, NULL);
	}
}

/* The other end is closed: as if it had said so. */
static void take_end(struct soft_id *id)
{
	static const struct soft_record gone = { .kind = SOFT_DISCONNECT, .private_size = SOFT_PRIVATE_REJECT };
	int none[3] = { -1, -1, -1 };

	take_record(id, &gone, none);
}

void soft_id_ready(struct soft_id *id)
{
	struct soft_record record;
	int descriptors[3];
	ssize_t size;

	if (soft_get(soft_cut) || (id->state != SOFT_ID_LISTENING && soft_is_early(id->socket))) {
		soft_events_deafen((struct soft_events *)id->id.channel);
		soft_id_watch(id, false);
		return;
	}
	if (id->state == SOFT_ID_LISTENING) {
		take_caller(id);
		return;
	}
	size = soft_receive(id->socket, &record, sizeof(record), descriptors, 3);
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (size != sizeof(record)) {
		take_end(id);
		return;
	}
	take_record(id, &record, descriptors);
	for (unsigned i = 0; i < 3; i++) {
		if (descriptors[i] >= 0)
			close(descriptors[i]);
	}
}
