/*
 * Commands as data: one table says for each its name, arity, flags and keys; the dispatcher, COMMAND, COMMAND
 * DOCS and ACL-like checks all read it.
 */
#ifndef ZS_SERVER_COMMANDS_COMMAND_H
#define ZS_SERVER_COMMANDS_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/resp.h"
#include "server/commands/reply.h"
#include "server/engine/engine.h"

struct zs_client; /* server/net/client.h */
struct zs_node;	  /* server/node/node.h */

/* What a handler works with. All of it belongs to the worker that runs the command and is valid during the
 * call. */
struct zs_call {
	struct zs_node *node;		/* the whole process: settings, other clients, figures */
	struct zs_client *client;	/* the connection; NULL in unit tests of data commands */
	struct zs_thread *thread;	/* the worker's handle on the engine */
	struct zs_reply *reply;		/* where the answer goes: exactly one reply for each call */
	const struct zs_argument *argv; /* argv[0] is the command's name */
	size_t argc;
	const struct zs_command *command;
};

/*
 * Runs one command. ZS_OK: a reply (which may be an error) was written. ZS_EAGAIN: nothing was written and
 * nothing changed, because memory is in quarantine; the dispatcher runs the same call again after a quiesce.
 * ZS_EWARM: the same, because of objects on flash; the call is run again when they are there. What a handler replies
 * when it needed such an object is void (dispatch.c), so most need not know of it.
 * ZS_EWAIT: the same, because of another connection, which needs time: again with the next round of the loop.
 */
typedef int (*zs_handler)(struct zs_call *call);

enum zs_command_flags {
	ZS_CMD_WRITE = 1,
	ZS_CMD_READONLY = 2,
	ZS_CMD_DENYOOM = 4,
	ZS_CMD_FAST = 8,
	ZS_CMD_ADMIN = 16,
	ZS_CMD_NO_AUTH = 32, /* allowed before AUTH */
	ZS_CMD_LOADING = 64,
};

struct zs_command {
	const char *name; /* lower case, "client" */
	zs_handler handler;
	int arity; /* as Redis: counts the name; negative: at least */
	unsigned flags;
	int first_key, last_key, key_step; /* 0, 0, 0 for none */
	const char *group;		   /* of COMMAND DOCS: "string", "generic", "connection", "server" */
	const char *since;
	const char *summary;
	const struct zs_command *subcommands; /* NULL, or a table that ends with a NULL name */
};

/*
 * The command of that name in any case, or NULL. Does not look at subcommands. Constant time, no allocation.
 */
const struct zs_command *zs_command_find(const uint8_t *name, size_t size);

/* All commands, in the order of the table. */
const struct zs_command *zs_command_table(size_t *count);

/*
 * Finds the command, checks arity and the subcommand, runs it (again after a quiesce while it answers
 * ZS_EAGAIN). Unknown commands and wrong arity are answered as Redis 7 does. AUTH is checked by the caller.
 * ZS_OK, or ZS_EAGAIN if memory stayed in quarantine for so long that the caller should do something else
 * meanwhile, or ZS_EWAIT; then nothing was written and nothing changed.
 */
int zs_command_execute(struct zs_call *call);

/* Tables of the parts, each ended by a NULL name. */
extern const struct zs_command zs_commands_string[];	 /* commands_string.c: GET SET APPEND INCR ... */
extern const struct zs_command zs_commands_generic[];	 /* commands_generic.c: DEL EXPIRE SCAN OBJECT ... ZS.DROP */
extern const struct zs_command zs_commands_connection[]; /* commands_connection.c: PING HELLO AUTH CLIENT ... */
extern const struct zs_command zs_commands_server[];	 /* commands_server.c: INFO CONFIG MEMORY SLOWLOG ... */

#endif
