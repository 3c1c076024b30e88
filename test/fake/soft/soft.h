/*
 * What the parts of soft verbs share. The whole:
 *
 *   settings.c    faults, counters, and the socket pairs that outlive a cut
 *   table.c       what peers may read of this process, in shared memory
 *   wire.c        sockets that carry messages and descriptors
 *   device.c      the device, its memory regions and windows
 *   completion.c  completion queues and their channels
 *   receive.c     shared receive queues, and what arrives
 *   queue_pair.c  queue pairs and their states
 *   request.c     the requests of a queue pair, worked on in order
 *   async.c       asynchronous events
 *   cm.c, cm_connect.c  the connection manager
 *
 * A connection is a pair of Unix sockets: one of the connection managers, one for messages. There is no thread: things
 * go on when somebody posts, polls or asks for events, and the descriptors become readable when that is worth it. A
 * READ takes nothing from the peer's processor, as with a real device: each side gave the other its table of keys and a
 * descriptor of its memory (/proc/self/mem), so that a process that is stopped can be read, and one that has died
 * answers nothing.
 *
 * An object belongs to one thread at a time, so that ThreadSanitizer sees whether the user holds to that. Only the
 * device, its table and its asynchronous events are for all threads.
 */
#ifndef ZS_TEST_FAKE_SOFT_H
#define ZS_TEST_FAKE_SOFT_H

#include <infiniband/verbs.h>
#include <pthread.h>
#include <rdma/rdma_cma.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "test/fake/soft/soft_control.h"

/* These macros of the header lead around the functions. */
#undef ibv_reg_mr
#undef ibv_query_port

/* ---- settings.c ---- */

enum soft_setting {
#define SOFT_SETTING_ENUM(name, value) soft_##name,
	SOFT_SETTINGS(SOFT_SETTING_ENUM)
#undef SOFT_SETTING_ENUM
	    SOFT_SETTING_COUNT,
};

uint64_t soft_get(enum soft_setting setting);
void soft_count(enum soft_setting setting);

/* Whether it is the turn of a fault that comes every nth time. */
bool soft_is_due(enum soft_setting setting);

uint64_t soft_now_ns(void);

/* Closes a socket; while the path is cut the peer must not notice, so that is done later. */
void soft_close(int fd);

/* ---- table.c ---- */

enum soft_answer {
	SOFT_DONE,
	SOFT_DENIED,
	SOFT_SILENCE, /* nobody there answers */
};

/* What a queue pair does about its peer's requests. */
enum soft_door {
	SOFT_DOOR_SHUT,	  /* nothing */
	SOFT_DOOR_OPEN,	  /* it takes messages, and refuses READs */
	SOFT_DOOR_READ,	  /* it takes messages, and answers READs */
	SOFT_DOOR_BROKEN, /* nothing, because of a request that it refused */
};

struct soft_table;

/* A process, as others see it. */
struct soft_peer {
	int memory;
	struct soft_table *table;
};

/* This process; memory -1: its descriptors cannot be made. */
const struct soft_peer *soft_self(void);

/* The descriptors that make a peer of us for others: of memory and table. */
void soft_self_descriptors(int descriptors[2]);

/* Takes them over. 0 or -1. */
int soft_peer_open(struct soft_peer *peer, const int descriptors[2]);
void soft_peer_close(struct soft_peer *peer);

/* A new key, and queue pair number, that mean nothing yet. 0: there are too many. */
uint32_t soft_key_new(void);
uint32_t soft_number_new(void);
void soft_number_free(uint32_t number);

/* What a key is from now on; `number`: for this queue pair alone, 0: for all. */
void soft_key_set(uint32_t key, uint64_t address, uint64_t length, unsigned rights, uint32_t number);

/* It means nothing any more; whoever reads by it now does not succeed. */
void soft_key_free(uint32_t key);

/* Whether these bytes of our own are within the key's, which has all these rights. */
bool soft_key_allows(uint32_t key, uint64_t address, uint64_t length, unsigned rights);

void soft_door_set(uint32_t number, enum soft_door door);
enum soft_door soft_door_of(const struct soft_peer *peer, uint32_t number);

/* Reads through the peer's queue pair. A request that is refused breaks it. */
enum soft_answer soft_peer_read(const struct soft_peer *peer, uint32_t number, uint32_t key, uint64_t address, void *to,
				uint32_t size);

/* ---- wire.c ---- */

/* What two queue pairs are connected by. */
struct soft_wire {
	int fd; /* of messages; -1: none, READs only */
	struct soft_peer peer;
	unsigned references;
};

struct soft_wire *soft_wire_new(int fd);
void soft_wire_release(struct soft_wire *wire);

/* Sends and receives a record with descriptors. Both return its size, 0 for the end, or -1 (errno). */
ssize_t soft_send(int fd, const void *record, size_t size, const int *descriptors, unsigned count);
ssize_t soft_receive(int fd, void *record, size_t size, int *descriptors, unsigned count);

/* Whether what has come is not to be seen yet. Everything that is sent begins with when it was, by soft_now_ns. */
bool soft_is_early(int fd);

/* The address vector that leads along a wire, and back; NULL: that of this process itself. */
void soft_gid_of(const struct soft_wire *wire, union ibv_gid *gid);
bool soft_gid_leads(const union ibv_gid *gid, struct soft_wire **wire);

/* ---- device.c ---- */

struct ibv_context *soft_context(void);

struct soft_region {
	struct ibv_mr mr;
	unsigned rights;
	unsigned windows; /* bound to it */
};

struct soft_window {
	struct ibv_mw mw;
	struct soft_region *region; /* NULL: not bound */
};

/* Binds a window of type 2 for a queue pair. */
enum ibv_wc_status soft_window_bind(struct soft_window *window, uint32_t key, const struct ibv_mw_bind_info *info,
				    uint32_t number);

/* ---- completion.c ---- */

struct soft_queue_pair;

struct soft_completions {
	struct ibv_cq cq;
	int epoll; /* of what may bring completions: sockets, and the timer */
	int timer;
	struct ibv_wc *ring; /* [first, next) modulo size */
	unsigned first, next, size;
	bool armed;
	bool has_event;		       /* that nobody has fetched */
	bool is_deaf;		       /* some socket is not watched for a while */
	uint64_t next_ns;	       /* when requests are to be looked at; UINT64_MAX: none waits */
	struct soft_queue_pair *pairs; /* whose requests complete here */
	struct soft_completions *next_of_channel;
};

void soft_complete(struct soft_completions *queue, const struct ibv_wc *completion);

/* Lets happen what can happen; waits so long for something that does. */
void soft_progress(struct soft_completions *queue, uint64_t wait_ms);

/* Requests are to be looked at then. */
void soft_expect(struct soft_completions *queue, uint64_t when_ns);

int soft_poll(struct ibv_cq *cq, int most, struct ibv_wc *completions);
int soft_notify(struct ibv_cq *cq, int solicited);

/* ---- receive.c ---- */

/* A buffer to receive in. */
struct soft_place {
	uint64_t name;
	struct ibv_sge sge;
};

struct soft_receives {
	struct ibv_srq srq;
	struct soft_place *ring; /* [first, next) modulo size */
	unsigned first, next, size;
	unsigned pairs;			 /* that receive here */
	struct soft_queue_pair *starved; /* those whose messages wait for a buffer */
};

/* What is sent before a message's bytes. */
struct soft_header {
	uint64_t sent_ns;
	uint32_t has_immediate;
	uint32_t immediate; /* as it was given, in network order */
};

int soft_post_receive(struct ibv_srq *srq, struct ibv_recv_wr *request, struct ibv_recv_wr **bad);

/* Takes what has arrived for a queue pair. */
void soft_take_messages(struct soft_queue_pair *pair);

/* The queue pair goes. */
void soft_receives_leave(struct soft_queue_pair *pair);

/* ---- request.c ---- */

enum { SOFT_INLINE_MAX = 512 };

enum soft_fault {
	SOFT_FAULT_NONE,
	SOFT_FAULT_DROP,
	SOFT_FAULT_DENY,
	SOFT_FAULT_FATAL,
	SOFT_FAULT_DEAD,
};

struct soft_request {
	uint64_t name;
	enum ibv_wr_opcode opcode;
	unsigned flags;
	enum soft_fault fault;
	uint32_t immediate;
	struct ibv_sge place;
	uint64_t due_ns;     /* when it is worked on */
	uint64_t give_up_ns; /* 0: it has not been tried in vain */
	union {
		struct {
			uint64_t address;
			uint32_t key;
		} read;
		struct {
			struct soft_window *window;
			uint32_t key;
			struct ibv_mw_bind_info info;
		} bind;
		uint8_t bytes[SOFT_INLINE_MAX]; /* of a message that was sent inline */
	};
};

int soft_post_send(struct ibv_qp *qp, struct ibv_send_wr *request, struct ibv_send_wr **bad);

/* Works on requests as far as possible. When to come again; UINT64_MAX: there is no need. */
uint64_t soft_work(struct soft_queue_pair *pair, uint64_t now_ns);

/* Ends all requests of a queue pair that is broken. */
void soft_flush(struct soft_queue_pair *pair);

/* ---- queue_pair.c ---- */

struct soft_queue_pair {
	struct ibv_qp qp;
	uint64_t busy_until_ns; /* where requests take time, one after the other */
	struct soft_completions *sends_to;
	struct soft_completions *receives_to;
	struct soft_receives *receives; /* NULL: it receives nothing */
	struct soft_wire *wire;
	uint32_t peer_number;
	unsigned rights;      /* of the peer */
	uint64_t patience_ns; /* until an unanswered request is given up */
	bool signals_all;
	bool is_heard; /* its socket is watched */
	bool is_starved;
	uint32_t inline_max;
	struct soft_request *requests; /* [first, next) modulo size */
	unsigned first, next, size;
	struct soft_queue_pair *next_pair; /* of sends_to */
	struct soft_queue_pair *next_starved;
	struct soft_queue_pair *next_of_device;
	unsigned events_out; /* asynchronous ones that are not acknowledged; async.c's */
};

/* Whom its requests go to. */
const struct soft_peer *soft_peer_of(const struct soft_queue_pair *pair);

/* Breaks it: nothing is answered and all requests end. */
void soft_break(struct soft_queue_pair *pair);

/* All queue pairs of the device break. Those of other threads notice with their next request. */
void soft_break_all(void);

/* Watches the socket, or stops. */
void soft_listen_to(struct soft_queue_pair *pair, bool listen);

/* ---- async.c ---- */

/* Makes the descriptor of the device's events. 0 or -1. */
int soft_async_open(struct ibv_context *context);

/* `pair` NULL: of the device. */
void soft_raise(enum ibv_event_type type, struct soft_queue_pair *pair);

/* Waits until nobody has an event of this queue pair in hand, and takes back those that nobody has. */
void soft_forget_events(struct soft_queue_pair *pair);

#endif
