/*
 * A connection, as commands see it.
 *
 * A client belongs to one worker. Fields marked "shared" may be read by other workers under the lock of the owner's
 * list; texts are changed under that lock.
 */
#ifndef ZS_SERVER_NET_CLIENT_H
#define ZS_SERVER_NET_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/resp.h"
#include "server/commands/command.h"
#include "server/commands/reply.h"
#include "server/net/loop.h"
#include "server/net/worker.h"
#include "server/node/sessions.h"

struct zs_rdma_connection;
struct zs_store_call;

enum zs_transport_kind {
	ZS_TRANSPORT_TCP,
	ZS_TRANSPORT_UNIX,
	ZS_TRANSPORT_RDMA,
};

struct zs_client {
	struct zs_connection connection; /* first */
	struct zs_worker *worker;
	struct zs_client *previous, *next; /* shared: the worker's list */
	struct zs_client *next_stalled;
	uint64_t id; /* shared, constant */

	struct zs_resp parser;
	uint8_t *pending; /* input that is not executed yet: [start, used) */
	size_t pending_start;
	size_t pending_used;
	size_t pending_size;

	struct zs_reply reply;	 /* being built */
	struct zs_reply sending; /* with the kernel */

	bool authenticated;
	bool running;	   /* its commands are being executed further up the stack */
	bool paused;	   /* reads too slowly: no command is run until it has taken its replies */
	bool stalled;	   /* waits for memory in quarantine, or for flash */
	bool stall_listed; /* and is on the worker's list of such clients */
	bool close_asked;  /* to be closed once its replies are sent */
	bool draining;	   /* replies are sent, our side is shut; waits for the peer to see them */
	bool reply_off;	   /* CLIENT REPLY OFF */
	bool reply_skip;   /* CLIENT REPLY SKIP: this command's reply is not sent */
	bool reply_skip_next;
	enum zs_transport_kind transport; /* shared, constant */
	int pass_fd;			  /* goes out with the next replies; -1: none */
	struct zs_session session;	  /* that reads by a mapping */
	struct zs_rdma_connection *rdma;  /* shared; NULL: not by RDMA, or closed */
	bool reads_by_rdma;
	struct zs_store_call *warm_call; /* what its stalled command has asked flash for; NULL: nothing */
	struct {
		size_t next; /* argument; 0: from the beginning */
		int64_t count;
	} progress; /* of a stalled command that has done a part */
	uint64_t drain_deadline_ms;

	/* shared */
	bool kill; /* under the lock */
	_Atomic bool no_evict;
	_Atomic int protocol; /* 2 or 3 */
	_Atomic uint64_t active_ms;
	_Atomic size_t pending_bytes;
	_Atomic size_t output_bytes;
	_Atomic(const struct zs_command *) last_command;
	uint64_t created_ms;
	char *name; /* NULL: none */
	char *library_name;
	char *library_version;
};

/* Takes over a connected socket; closes it if that cannot be. Owner's thread only, as all below but the last two. */
void zs_client_accept(struct zs_worker *worker, int fd);

/* Takes over a connection of the worker's RDMA endpoint; NULL if that cannot be, and then it is still the caller's. */
struct zs_client *zs_client_adopt(struct zs_worker *worker, struct zs_rdma_connection *rdma,
				  const struct zs_carrier *carrier);

/* The callbacks of the loop. */
extern const struct zs_loop_handler zs_client_handler;

/* Goes on with a client that was stalled. */
void zs_client_retry(struct zs_client *client);

/* Ends a connection now. The memory lives until the loop has released it. */
void zs_client_close(struct zs_client *client);

/* Ends a connection as soon as its replies are sent. */
void zs_client_close_after_reply(struct zs_client *client);

/* Back to the state of a new connection (RESET). */
void zs_client_reset(struct zs_client *client);

/* May this be a client's name or the like? Redis allows printable characters without spaces. */
bool zs_client_text_is_valid(const uint8_t *data, size_t size);

/* Replaces one of the texts by a copy; NULL removes it. False if memory is out. */
bool zs_client_set_text(struct zs_client *client, char **text, const uint8_t *data, size_t size);

/* Closes it if it was idle or is draining for too long. */
void zs_client_check_age(struct zs_client *client, uint64_t now_ms, uint64_t idle_ms);

/* Whether its command has asked flash for more than one command may. */
bool zs_client_asked_too_much(const struct zs_client *client);

/* Addresses of both ends, "127.0.0.1:1234". Under the owner's lock. */
void zs_client_peer(const struct zs_client *client, char *text, size_t size);
void zs_client_local(const struct zs_client *client, char *text, size_t size);

#endif
