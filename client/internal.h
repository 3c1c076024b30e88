/*
 * The inside of a handle.
 *
 * An operation becomes one or more requests: one for each node it concerns, and one for each piece of a long multi-get.
 * A request waits at its node until a connection is ready and has room, then it is in that one's queue of those sent,
 * whose order is that of the answers. Its operation is complete when no request of it is left. An operation that ends
 * before (its deadline) leaves its requests behind without an operation: their answers are skipped.
 */
#ifndef ZS_CLIENT_INTERNAL_H
#define ZS_CLIENT_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "client/adapter.h"
#include "client/conn_tcp.h"
#include "client/feedback.h"
#include "client/fence.h"
#include "client/lane.h"
#include "client/queue.h"
#include "client/rdma.h"
#include "client/shm.h"
#include "client/topology.h"
#include "client/zslab.h"

#define ZS_NODES_MAX 1024u

/* The endpoint of a node that nobody has tried to connect to. */
#define ZS_NO_ENDPOINT UINT32_MAX

/* Keys of one MGET; more are several, so that a node can serve others in between. */
#define ZS_MGET_MAX 512u

/* Of a guard page: it is wiped in a child process. */
enum zs_guard {
	ZS_GUARD_FORKED,
	ZS_GUARD_IDLE,
	ZS_GUARD_BUSY,
};

enum zs_op_state {
	ZS_OP_IDLE,
	ZS_OP_FLYING,
	ZS_OP_FLYING_SYNC, /* somebody waits for it: it does not go to the list of completed ones */
	ZS_OP_FLYING_ASK,  /* the same, and the node is asked: its memory was looked at already */
	ZS_OP_DONE,
};

/* Items of a multi-get, chained from `first` on; of other operations the operation itself. */
struct zs_share {
	uint32_t first;
	uint32_t last;
	uint32_t count;
};

struct zs_node {
	struct zslab *client;
	unsigned index;
	struct zs_address address;
	unsigned endpoint; /* of the address, tried last */
	struct zs_lane socket;
	struct zs_socket wire;	 /* of `socket` */
	struct zs_lane *lane;	 /* the one that operations take now: `socket` or `rdma.lane` */
	struct zs_queue waiting; /* requests that were not sent */
	uint64_t retry_ns;	 /* when to connect again */
	unsigned failures;	 /* attempts to connect since it was connected */
	int problem;		 /* ZSLAB_OK, or why it is not connected */
	char why[ZSLAB_ERROR_MAX];
	struct zs_shm shm;
	struct zs_session rdma;
	struct zs_feedback feedback;
	struct zs_fence fence;
};

struct zslab {
	volatile uint8_t *guard; /* enum zs_guard */
	int epoll;
	int timer;	   /* makes the epoll set readable for what only time brings; -1: nobody asked for zslab_fd */
	uint64_t timer_ns; /* what it is set to; 0: not set */
	struct zs_watch timer_watch;
	struct zs_adapter adapter;
	uint64_t looked_ns; /* when the epoll set was looked at last */
	enum zslab_via via;
	uint64_t timeout_ns;
	uint64_t connect_timeout_ns;
	unsigned max_in_flight;
	unsigned in_flight;
	struct zslab_op *flying; /* doubly linked */
	struct zslab_op *done;	 /* singly linked, oldest first */
	struct zslab_op **done_end;
	uint64_t next_deadline_ns; /* no operation in flight has an earlier one */
	uint64_t random;
	struct zs_request *spare;
	void (*log)(void *context, const char *sentence);
	void *log_context;
	struct zs_buffer greeting;
	struct zs_topology topology;
	struct zslab_counters counters;
	char error[ZSLAB_ERROR_MAX];
	uint8_t value[ZSLAB_OBJECT_MAX];
	unsigned node_count;
	struct zs_node *nodes;
};

/* ---- core.c ---- */

uint64_t zs_now(void);
/* A number below `bound`. */
uint64_t zs_random_number(struct zslab *client, uint64_t bound);
/* Tells the log about a node, and which way to it this is about. */
void zs_note(struct zslab *client, const struct zs_node *node, const char *way, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

struct zs_request *zs_request_new(struct zslab *client);
void zs_request_free(struct zslab *client, struct zs_request *request);

/* One request of the operation has ended: a status other than ZSLAB_OK becomes the operation's if it is the first. */
void zs_op_part_done(struct zslab *client, struct zslab_op *op, int status);
/* Says what is wrong with an operation, if nothing was said yet. */
void zs_op_explain(struct zslab *client, struct zslab_op *op, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Says that its buffer is too small. ZSLAB_ESMALL. */
int zs_op_too_small(struct zslab *client, struct zslab_op *op);

/* Makes requests of (a share of) an operation that took off; they wait at the node. */
void zs_ask(struct zs_node *node, struct zslab_op *op, struct zs_share share);

/* Sends what waits, at all nodes. */
void zs_pump_all(struct zslab *client);

/* Ends operations whose deadline has passed. */
void zs_expire(struct zslab *client, uint64_t now_ns);

/* Sends, waits at most until `until_ns` (0: not at all), receives, does what time has brought. ZSLAB_OK or ZSLAB_ESYS.
 */
int zs_turn(struct zslab *client, uint64_t until_ns);

/* A turn without a wait, now and then, for those who do without one: leases want to be renewed. *now_ns: the time then.
 */
int zs_turn_if_due(struct zslab *client, uint64_t *now_ns);

/* zslab_submit without the guard. */
int zs_submit(struct zslab *client, struct zslab_op *op, enum zs_op_state state);

/* Makes the descriptor of zslab_fd readable when there will be something to do. */
void zs_arm(struct zslab *client);

/* Takes the handle for one call. ZSLAB_OK, ZSLAB_EBUSY or ZSLAB_EFORK. */
static inline int zs_enter(const struct zslab *client)
{
	if (__builtin_expect(*client->guard != ZS_GUARD_IDLE, 0))
		return *client->guard == ZS_GUARD_FORKED ? ZSLAB_EFORK : ZSLAB_EBUSY;
	*client->guard = ZS_GUARD_BUSY;
	return ZSLAB_OK;
}

static inline void zs_leave(const struct zslab *client)
{
	*client->guard = ZS_GUARD_IDLE;
}

/* ---- node.c ---- */

int zs_node_init(struct zs_node *node, struct zslab *client, unsigned index, const char *address, char *why,
		 size_t why_size);
void zs_node_free(struct zs_node *node);

/* Sends what waits, as far as there is room. With `eager` also when answers are awaited anyway. */
void zs_node_pump(struct zs_node *node, bool eager);

/* Connects again if it is time, gives up what is too slow. */
void zs_node_tick(struct zs_node *node, uint64_t now_ns);

/* When zs_node_tick must be called next; UINT64_MAX: no need. */
uint64_t zs_node_next(const struct zs_node *node);

/* Ends the requests of operations whose deadline has passed. */
void zs_node_expire(struct zs_node *node, uint64_t now_ns);

/* How operations travel now, for people: "tcp", "unix socket" or "rdma". */
const char *zs_node_transport(const struct zs_node *node);

/* ---- encode.c ---- */

/* ZSLAB_OK, or ZSLAB_EINVAL or ZSLAB_ETOOBIG with a sentence in `why`: what no node would take. */
int zs_check_op(const struct zslab *client, const struct zslab_op *op, char *why, size_t why_size);

/* Whether doing it twice is the same as doing it once. */
bool zs_op_is_repeatable(const struct zslab_op *op);

/* Whether it only reads. */
bool zs_op_is_read(const struct zslab_op *op);

/* Appends the request to `out`. ZSLAB_OK, or ZSLAB_ENOMEM, and then `out` is as it was. */
int zs_encode(const struct zs_request *request, struct zs_buffer *out);

/* Appends a command. ZSLAB_OK or ZSLAB_ENOMEM. */
int zs_encode_hello(struct zs_buffer *out, const struct zslab_options *options);

/* ---- answer.c ---- */

/*
 * The next token of the answer to a request that has an operation. ZSLAB_OK, and what went wrong in *status (of the
 * operation); or ZSLAB_EPROTO with a sentence in `why`, if no node would answer so.
 */
int zs_answer(struct zs_node *node, struct zs_request *request, const struct zs_token *token, int *status, char *why,
	      size_t why_size);

/* Copies a value that was found. ZSLAB_OK or ZSLAB_ESMALL. */
int zs_copy_value(void *buffer, size_t buffer_size, const void *value, size_t size, size_t *stored);

/* Gives keys of a multi-get that will not be read a status. */
void zs_fail_items(struct zs_request *request, int status);

#endif
