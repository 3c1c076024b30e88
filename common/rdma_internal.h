/* What the parts of an endpoint share; for rdma*.c only. */
#ifndef ZS_COMMON_RDMA_INTERNAL_H
#define ZS_COMMON_RDMA_INTERNAL_H

#include "common/rdma.h"
#include "common/rdma_verbs.h"

enum zs_rdma_state {
	ZS_RDMA_RESOLVING,
	ZS_RDMA_CONNECTING,
	ZS_RDMA_ACCEPTING,
	ZS_RDMA_READY,
	ZS_RDMA_BROKEN,
};

enum zs_rdma_kind {
	ZS_RDMA_READS, /* those of one zs_rdma_read */
	ZS_RDMA_MESSAGE,
	ZS_RDMA_BIND, /* of a memory window */
};

/* A request, or several READs that end together. They end in the order in which they were posted. */
struct zs_rdma_request {
	enum zs_rdma_kind kind;
	unsigned count;		       /* of READs */
	void *read;		       /* their name */
	struct zs_rdma_buffer *buffer; /* of a message; NULL: it went inline */
	uint64_t deadline_ns;
};

struct zs_rdma_connection {
	struct zs_rdma *rdma;
	unsigned index; /* of its slot */
	enum zs_rdma_state state;
	bool introduced; /* the owner knows of it */
	bool closed;	 /* the owner has let go of it */
	bool accepted;	 /* it was the peer that connected */
	struct rdma_cm_id *id;
	struct ibv_qp *qp;
	struct zs_rdma_connection *next_of_number; /* in the endpoint's table by queue pair number */
	struct ibv_mw *window;
	struct zs_rdma_target target; /* of our READs; of the peer's, once they are granted */
	struct zs_rdma_handler handler;
	struct sockaddr_in local;
	struct sockaddr_in peer;
	unsigned depth;
	uint64_t deadline_ns; /* until it has to be ready */
	unsigned reads_free;

	/* The stream. */
	unsigned may_send;    /* messages that the peer would take now */
	unsigned peer_window; /* and at most */
	unsigned taken;	      /* of the peer's messages, and the peer does not know it */
	unsigned inline_max;
	unsigned messages; /* of ours that are under way */
	bool paused;
	bool blocked; /* zs_rdma_send took less than it was given */
	bool starved; /* and is on the endpoint's list of those that wait for a send buffer */
	struct zs_rdma_connection *next_starved;

	uint32_t first; /* requests under way: [first, next), at their number modulo `requests_max` of the endpoint */
	uint32_t next;
	struct zs_rdma_request requests[];
};

struct zs_rdma_memory {
	struct zs_rdma *rdma;
	struct ibv_mr *mr;
};

/* Of one message. The first `receives` of an endpoint's are for receiving. */
struct zs_rdma_buffer {
	struct zs_rdma_buffer *next; /* free ones */
	uint8_t *bytes;
};

/* The one device of an endpoint. All NULL before it is known. */
struct zs_rdma_device {
	struct ibv_context *verbs;
	struct ibv_pd *pd;
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	struct ibv_srq *srq;
	struct ibv_mr *buffers_mr;
	unsigned depth_in;  /* READs it answers at a time for one queue pair */
	unsigned depth_out; /* READs it has under way at a time for one queue pair */
	bool has_windows;   /* that were seen to work */
	bool armed;	    /* the next completion makes the channel readable */
};

struct zs_rdma_slot {
	struct zs_rdma_connection *connection; /* NULL: free */
	uint16_t generation;		       /* of completions that belong to the present one */
};

struct zs_rdma {
	struct zs_rdma_options options;
	unsigned requests_max; /* under way on one connection */
	struct rdma_event_channel *events;
	int epoll;
	int timer;
	struct zs_rdma_device device;
	struct rdma_cm_id *listener;
	struct zs_rdma_offer offer;
	struct ibv_mr *arena;
	uint8_t *bytes; /* of all buffers, mapped */
	struct zs_rdma_buffer *buffers;
	struct zs_rdma_buffer *free_buffers;
	struct zs_rdma_connection *starved; /* oldest first */
	struct zs_rdma_connection **starved_end;
	struct zs_rdma_connection **by_number; /* chains, a power of two of them */
	uint32_t number_mask;
	unsigned connections;
	uint64_t pinned;
	uint64_t refused;
	uint64_t looked_ns; /* when the descriptors were looked at last; 0: they are to be, with the next pump */
	unsigned pumps;
	uint64_t next_deadline_ns; /* none is over before */
	bool reaping;		   /* some connection is closed and not freed yet */
	struct zs_rdma_slot slots[];
};

/* Marks names of receive requests; the lower half is the buffer's number. Slots of connections stay below. */
#define ZS_RDMA_RECEIVE_NAME (UINT64_C(1) << 63)

static inline unsigned zs_rdma_least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* ---- rdma_device.c ---- */

/* The length of the completion queue. */
unsigned zs_rdma_completions(const struct zs_rdma *rdma);

/* Takes a device into use, or sees that it is the one in use. ZS_OK, ZS_ESYS, ZS_ENOMEM or ZS_EINVAL, and `why`. */
int zs_rdma_device_use(struct zs_rdma *rdma, const struct rdma_cm_id *id, char *why, size_t why_size);
void zs_rdma_device_release(struct zs_rdma *rdma);

/* Registers the offer's arena, if that is still to be done. `id` leads to the device in use. */
int zs_rdma_device_offer(struct zs_rdma *rdma, const struct rdma_cm_id *id, char *why, size_t why_size);

/* A descriptor is made so that pumping never blocks, and waking the endpoint. 0 or -1 (errno). */
int zs_rdma_watch(struct zs_rdma *rdma, int fd);

/* ---- rdma_window.c ---- */

/* Whether the device's memory windows give a peer what they should and take it away again: tried by real reads. */
bool zs_rdma_windows_work(const struct zs_rdma_device *device, const struct rdma_cm_id *id);

/* ---- rdma_buffers.c ---- */

/* Makes the buffers of an endpoint, unregistered. ZS_OK or ZS_ENOMEM. */
int zs_rdma_buffers_make(struct zs_rdma *rdma);
void zs_rdma_buffers_free(struct zs_rdma *rdma);

/* Registers them with the device and posts those for receiving. 0 or an errno. */
int zs_rdma_buffers_register(struct zs_rdma *rdma);

/* Posts a buffer for receiving, again. 0 or an errno. */
int zs_rdma_buffer_post(struct zs_rdma *rdma, struct zs_rdma_buffer *buffer);

/* One to send from, or NULL; and back. */
struct zs_rdma_buffer *zs_rdma_buffer_take(struct zs_rdma *rdma);
void zs_rdma_buffer_return(struct zs_rdma *rdma, struct zs_rdma_buffer *buffer);

/* ---- rdma_connection.c ---- */

void zs_rdma_on_event(struct zs_rdma *rdma, const struct rdma_cm_event *event);

/* The end of a connection, unless it is broken already. */
__attribute__((format(printf, 2, 3))) void zs_rdma_break(struct zs_rdma_connection *connection, const char *format,
							 ...);

/* It works both ways from now on. */
void zs_rdma_become_ready(struct zs_rdma_connection *connection);

/* An event of the adapter about a connection's queue pair. */
void zs_rdma_on_async(struct zs_rdma_connection *connection, enum ibv_event_type type);

/* Frees what was closed. */
void zs_rdma_reap(struct zs_rdma *rdma);

/* ---- rdma_queue_pair.c ---- */

/* Makes the queue pair of a connection whose device is known, without rights for the peer. 0 or an errno. */
int zs_rdma_queue_pair_make(struct zs_rdma_connection *connection);

/* Makes it ready to send, as negotiated. 0 or an errno. */
int zs_rdma_queue_pair_start(struct zs_rdma_connection *connection);

/* After this no request of ours goes on and none of the peer's is answered. */
void zs_rdma_queue_pair_destroy(struct zs_rdma_connection *connection);

/* The connection whose queue pair has this number; NULL: none. */
struct zs_rdma_connection *zs_rdma_of_number(const struct zs_rdma *rdma, uint32_t number);

/* ---- rdma_request.c ---- */

/*
 * Takes note of requests that are to be posted now, and names the one that is signalled. The caller has seen that there
 * is room. The time that the endpoint gives them counts from `now_ns`.
 */
uint64_t zs_rdma_request_begin(struct zs_rdma_connection *connection, struct zs_rdma_request request, uint64_t now_ns);

/* They could not be posted. The connection is broken with the next pump. */
void zs_rdma_request_failed(struct zs_rdma_connection *connection);

/* Ends all requests of a connection without a queue pair; reads are reported as failed. */
void zs_rdma_fail_requests(struct zs_rdma_connection *connection);

/* Takes what has completed, but about so much at most; how many. */
unsigned zs_rdma_take_completions(struct zs_rdma *rdma, unsigned most);

/* Lowers the endpoint's next deadline. */
void zs_rdma_expect_by(struct zs_rdma *rdma, uint64_t deadline_ns);

/* ---- rdma_stream.c ---- */

/* A buffer has received something, which may be of a connection that is gone. */
void zs_rdma_on_message(struct zs_rdma *rdma, const struct ibv_wc *completion);

/* A message of ours has left. */
void zs_rdma_message_sent(struct zs_rdma_connection *connection, struct zs_rdma_buffer *buffer);

/* Lets those go on that wait for send buffers, as far as there are some. */
void zs_rdma_feed(struct zs_rdma *rdma);

/* Takes a connection off the list of those that wait for a send buffer. */
void zs_rdma_stream_end(struct zs_rdma_connection *connection);

#endif
