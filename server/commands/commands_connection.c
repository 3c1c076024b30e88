#include <string.h>

#include "server/commands/arguments.h"
#include "server/commands/numbers.h"
#include "server/commands/server_handlers.h"
#include "server/net/client.h"
#include "server/node/node.h"

#define FLAGS_OPEN (ZS_CMD_NO_AUTH | ZS_CMD_LOADING | ZS_CMD_FAST)
#define FLAGS_USUAL (ZS_CMD_LOADING | ZS_CMD_FAST)

/* ---- passwords ---- */

bool zs_password_is_set(struct zs_node *node)
{
	char password[ZS_OPTION_TEXT_MAX];

	zs_options_text(&node->options, ZS_SET_REQUIREPASS, password);
	return password[0] != 0;
}

/* Takes the same time for all wrong ones of one length. */
static bool password_is_right(struct zs_node *node, const struct zs_argument *given)
{
	char password[ZS_OPTION_TEXT_MAX];
	unsigned difference;
	size_t size;

	zs_options_text(&node->options, ZS_SET_REQUIREPASS, password);
	size = strlen(password);
	difference = size != given->size;
	for (size_t i = 0; i < given->size; i++)
		difference |= (unsigned)(given->data[i] ^ (uint8_t)password[size ? i % size : 0]);
	return difference == 0;
}

/* The one user there is. */
static bool is_default_user(const struct zs_argument *user)
{
	return user->size == 7 && memcmp(user->data, "default", 7) == 0;
}

/* False: answered with an error. */
static bool log_in(struct zs_call *call, bool user_is_known, const struct zs_argument *password)
{
	if (user_is_known && (!zs_password_is_set(call->node) || password_is_right(call->node, password))) {
		call->client->authenticated = true;
		return true;
	}
	zs_reply_error(call->reply, "WRONGPASS invalid username-password pair or user is disabled.");
	return false;
}

static int handle_auth(struct zs_call *call)
{
	if (call->argc > 3) {
		zs_argument_syntax_error(call);
	} else if (call->argc == 2 && !zs_password_is_set(call->node)) {
		zs_reply_error(call->reply,
			       "ERR AUTH <password> called without any password configured for the default "
			       "user. Are you sure your configuration is correct?");
	} else if (log_in(call, call->argc == 2 || is_default_user(&call->argv[1]), &call->argv[call->argc - 1])) {
		zs_reply_ok(call->reply);
	}
	return ZS_OK;
}

/* ---- HELLO ---- */

struct hello {
	int protocol; /* 0: as it is */
	const struct zs_argument *name;
};

static bool parse_hello_options(struct zs_call *call, struct hello *hello)
{
	for (size_t i = 2; i < call->argc; i++) {
		const struct zs_argument *option = &call->argv[i];
		size_t more = call->argc - i - 1;

		if (zs_argument_is(option, "auth") && more >= 2) {
			if (!log_in(call, is_default_user(&call->argv[i + 1]), &call->argv[i + 2]))
				return false;
			i += 2;
		} else if (zs_argument_is(option, "setname") && more >= 1) {
			hello->name = &call->argv[++i];
			if (!zs_client_text_is_valid(hello->name->data, hello->name->size)) {
				zs_reply_error(call->reply,
					       "ERR Client names cannot contain spaces, newlines or special "
					       "characters.");
				return false;
			}
		} else {
			zs_reply_error(call->reply, "ERR Syntax error in HELLO option '%.*s'",
				       (int)(option->size < 128 ? option->size : 128), (const char *)option->data);
			return false;
		}
	}
	return true;
}

static bool parse_hello(struct zs_call *call, struct hello *hello)
{
	int64_t protocol;

	if (call->argc < 2)
		return true;
	if (!zs_integer_parse(call->argv[1].data, call->argv[1].size, &protocol)) {
		zs_reply_error(call->reply, "ERR Protocol version is not an integer or out of range");
		return false;
	}
	if (protocol != 2 && protocol != 3) {
		zs_reply_error(call->reply, "NOPROTO unsupported protocol version");
		return false;
	}
	hello->protocol = (int)protocol;
	return parse_hello_options(call, hello);
}

static void reply_hello(struct zs_call *call)
{
	struct zs_reply *r = call->reply;

	zs_reply_map(r, 7);
	zs_reply_bulk_text(r, "server");
	zs_reply_bulk_text(r, "redis"); /* clients choose their ways by this word */
	zs_reply_bulk_text(r, "version");
	zs_reply_bulk_text(r, ZS_REDIS_VERSION);
	zs_reply_bulk_text(r, "proto");
	zs_reply_integer(r, r->protocol);
	zs_reply_bulk_text(r, "id");
	zs_reply_integer(r, (int64_t)call->client->id);
	zs_reply_bulk_text(r, "mode");
	zs_reply_bulk_text(r, "standalone");
	zs_reply_bulk_text(r, "role");
	zs_reply_bulk_text(r, "master");
	zs_reply_bulk_text(r, "modules");
	zs_reply_array(r, 0);
}

static int handle_hello(struct zs_call *call)
{
	struct hello hello = { 0 };

	if (!parse_hello(call, &hello))
		return ZS_OK;
	if (!call->client->authenticated) {
		zs_reply_error(call->reply,
			       "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO "
			       "AUTH <user> <pass> option can be used to authenticate the client and select the RESP "
			       "protocol version at the same time");
		return ZS_OK;
	}
	if (hello.name)
		zs_client_set_text(call->client, &call->client->name, hello.name->data, hello.name->size);
	if (hello.protocol) {
		call->reply->protocol = hello.protocol;
		atomic_store_explicit(&call->client->protocol, hello.protocol, memory_order_relaxed);
	}
	reply_hello(call);
	return ZS_OK;
}

/* ---- the small ones ---- */

static int handle_ping(struct zs_call *call)
{
	if (call->argc > 2)
		zs_reply_error(call->reply, "ERR wrong number of arguments for 'ping' command");
	else if (call->argc == 2)
		zs_reply_bulk(call->reply, call->argv[1].data, call->argv[1].size);
	else
		zs_reply_status(call->reply, "PONG");
	return ZS_OK;
}

static int handle_echo(struct zs_call *call)
{
	zs_reply_bulk(call->reply, call->argv[1].data, call->argv[1].size);
	return ZS_OK;
}

static int handle_select(struct zs_call *call)
{
	int64_t number;

	if (!zs_argument_integer(call, &call->argv[1], &number))
		return ZS_OK;
	if (number == 0)
		zs_reply_ok(call->reply);
	else
		zs_reply_error(call->reply, "ERR DB index is out of range");
	return ZS_OK;
}

static int handle_quit(struct zs_call *call)
{
	zs_reply_ok(call->reply);
	zs_client_close_after_reply(call->client);
	return ZS_OK;
}

static int handle_reset(struct zs_call *call)
{
	zs_client_reset(call->client);
	zs_reply_status(call->reply, "RESET");
	return ZS_OK;
}

#define COMMAND(name, handler, arity, flags, since, summary, subcommands)                       \
	{                                                                                       \
		name, handler, arity, flags, 0, 0, 0, "connection", since, summary, subcommands \
	}

const struct zs_command zs_commands_connection[] = {
	COMMAND("auth", handle_auth, -2, FLAGS_OPEN, "1.0.0", "Authenticate to the server", 0),
	COMMAND("client", zs_handle_help, -2, ZS_CMD_LOADING, "2.4.0", "A container for client connection commands",
		zs_commands_client),
	COMMAND("echo", handle_echo, 2, FLAGS_USUAL, "1.0.0", "Echo the given string", 0),
	COMMAND("hello", handle_hello, -1, FLAGS_OPEN, "6.0.0", "Handshake with the server", 0),
	COMMAND("ping", handle_ping, -1, FLAGS_USUAL, "1.0.0", "Ping the server", 0),
	COMMAND("quit", handle_quit, -1, FLAGS_OPEN, "1.0.0", "Close the connection", 0),
	COMMAND("reset", handle_reset, 1, FLAGS_OPEN, "6.2.0", "Reset the connection", 0),
	COMMAND("select", handle_select, 2, FLAGS_USUAL, "1.0.0", "Change the selected database; 0 is the only one", 0),
	COMMAND("zs.attach", zs_handle_attach, 2, FLAGS_USUAL, "0.1.0",
		"Begin a session that reads the node's memory by itself; for libzslab, over a Unix socket or RDMA", 0),
	COMMAND("zs.fence", zs_handle_fence, 2, FLAGS_USUAL, "0.1.0",
		"End another connection so that nothing of it is done after the answer", 0),
	COMMAND("zs.lease", zs_handle_lease, 1, FLAGS_USUAL, "0.1.0", "Renew the lease of such a session over RDMA", 0),
	COMMAND("zs.touched", zs_handle_touched, -2, FLAGS_USUAL, "0.1.0",
		"Tell which keys such a session has read, by their hashes", 0),
	{ 0 },
};
