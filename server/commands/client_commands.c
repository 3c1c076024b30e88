/* CLIENT: the connections, of all workers. */
#include <stdio.h>
#include <string.h>

#include "server/commands/arguments.h"
#include "server/commands/dispatch.h"
#include "server/commands/numbers.h"
#include "server/commands/server_handlers.h"
#include "server/net/client.h"
#include "server/node/node.h"

/* Which clients are meant. */
struct filter {
	const struct zs_argument *ids; /* any of these */
	size_t ids_count;
	const struct zs_argument *address;
	const struct zs_argument *local_address;
	bool nobody; /* a type or user that no client of ours has */
	bool skip_me;
	uint64_t min_age_s; /* MAXAGE: only older ones */
};

/* ---- printing ---- */

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

static void print_command(const struct zs_client *c, char *text, size_t size)
{
	const struct zs_command *command = atomic_load_explicit(&c->last_command, memory_order_relaxed);

	if (command)
		zs_command_full_name(command, '|', text, size);
	else
		snprintf(text, size, "NULL");
}

/* Under the lock of the client's worker. */
static void print_client(struct zs_reply *text, const struct zs_client *c, uint64_t now_ms)
{
	uint64_t active = atomic_load_explicit(&c->active_ms, memory_order_relaxed);
	size_t pending = atomic_load_explicit(&c->pending_bytes, memory_order_relaxed);
	size_t output = atomic_load_explicit(&c->output_bytes, memory_order_relaxed);
	char peer[640];
	char local[640];
	char command[64];

	zs_client_peer(c, peer, sizeof(peer));
	zs_client_local(c, local, sizeof(local));
	print_command(c, command, sizeof(command));
	zs_text_printf(text, "id=%llu addr=%.300s laddr=%.300s fd=%d", (unsigned long long)c->id, peer, local,
		       c->connection.fd);
	zs_text_printf(text, " name=%s age=%llu idle=%llu flags=%s%s db=0 sub=0 psub=0 ssub=0 multi=-1",
		       or_empty(c->name), (unsigned long long)(now_ms - c->created_ms) / 1000,
		       (unsigned long long)(now_ms > active ? now_ms - active : 0) / 1000,
		       c->transport == ZS_TRANSPORT_UNIX ? "U" : "N",
		       atomic_load_explicit(&c->no_evict, memory_order_relaxed) ? "e" : "");
	zs_text_printf(text,
		       " qbuf=%zu qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=%zu oll=0 omem=%zu tot-mem=%zu "
		       "events=r cmd=%s user=default redir=-1 resp=%d",
		       pending, output, output, sizeof(*c) + pending + output, command,
		       atomic_load_explicit(&c->protocol, memory_order_relaxed));
	zs_text_printf(text, " lib-name=%s lib-ver=%s\n", or_empty(c->library_name), or_empty(c->library_version));
}

/* ---- choosing ---- */

static bool id_is_listed(const struct filter *filter, uint64_t id)
{
	int64_t number;

	for (size_t i = 0; i < filter->ids_count; i++) {
		if (zs_integer_parse(filter->ids[i].data, filter->ids[i].size, &number) && (uint64_t)number == id)
			return true;
	}
	return filter->ids_count == 0;
}

static bool text_is(const struct zs_argument *wanted, const char *text)
{
	return strlen(text) == wanted->size && memcmp(text, wanted->data, wanted->size) == 0;
}

static bool matches(const struct filter *filter, const struct zs_client *c, const struct zs_client *me, uint64_t now_ms)
{
	char address[640];

	if (filter->nobody || (filter->skip_me && c == me) || !id_is_listed(filter, c->id))
		return false;
	if (filter->min_age_s && (now_ms - c->created_ms) / 1000 < filter->min_age_s)
		return false;
	if (filter->address) {
		zs_client_peer(c, address, sizeof(address));
		if (!text_is(filter->address, address))
			return false;
	}
	if (filter->local_address) {
		zs_client_local(c, address, sizeof(address));
		if (!text_is(filter->local_address, address))
			return false;
	}
	return true;
}

typedef void (*client_function)(void *context, struct zs_client *client);

/* Calls `each` for the clients that match, under the lock of their worker. Returns how many there were. */
static size_t for_each(struct zs_call *call, const struct filter *filter, client_function each, void *context)
{
	uint64_t now_ms = zs_thread_now(call->thread);
	size_t count = 0;

	for (unsigned i = 0; i < call->node->workers_count; i++) {
		struct zs_worker *w = &call->node->workers[i];

		pthread_mutex_lock(&w->lock);
		for (struct zs_client *c = w->clients; c; c = c->next) {
			if (matches(filter, c, call->client, now_ms)) {
				each(context, c);
				count++;
			}
		}
		pthread_mutex_unlock(&w->lock);
	}
	return count;
}

/* ---- LIST and INFO ---- */

struct listing {
	struct zs_reply text;
	uint64_t now_ms;
};

static void list_one(void *context, struct zs_client *client)
{
	struct listing *listing = context;

	print_client(&listing->text, client, listing->now_ms);
}

static bool type_is_known(const struct zs_argument *type)
{
	return zs_argument_is(type, "normal") || zs_argument_is(type, "slave") || zs_argument_is(type, "replica") ||
	       zs_argument_is(type, "pubsub") || zs_argument_is(type, "master");
}

static bool parse_type(struct zs_call *call, const struct zs_argument *type, struct filter *filter)
{
	if (!type_is_known(type)) {
		zs_reply_error(call->reply, "ERR Unknown client type '%.*s'",
			       (int)(type->size < 128 ? type->size : 128), (const char *)type->data);
		return false;
	}
	if (!zs_argument_is(type, "normal"))
		filter->nobody = true;
	return true;
}

static bool parse_list_filter(struct zs_call *call, struct filter *filter)
{
	int64_t id;

	if (call->argc == 2)
		return true;
	if (call->argc == 4 && zs_argument_is(&call->argv[2], "type"))
		return parse_type(call, &call->argv[3], filter);
	if (call->argc < 4 || !zs_argument_is(&call->argv[2], "id")) {
		zs_argument_syntax_error(call);
		return false;
	}
	filter->ids = call->argv + 3;
	filter->ids_count = call->argc - 3;
	for (size_t i = 0; i < filter->ids_count; i++) {
		if (!zs_integer_parse(filter->ids[i].data, filter->ids[i].size, &id)) {
			zs_reply_error(call->reply, "ERR Invalid client ID");
			return false;
		}
	}
	return true;
}

static int handle_list(struct zs_call *call)
{
	struct listing listing = { .now_ms = zs_thread_now(call->thread) };
	struct filter filter = { 0 };

	if (!parse_list_filter(call, &filter))
		return ZS_OK;
	zs_reply_init(&listing.text, ZS_TEXT_MAX);
	for_each(call, &filter, list_one, &listing);
	zs_reply_text(call, &listing.text);
	return ZS_OK;
}

static int handle_info(struct zs_call *call)
{
	struct zs_reply text;

	zs_reply_init(&text, ZS_TEXT_MAX);
	print_client(&text, call->client, zs_thread_now(call->thread));
	zs_reply_text(call, &text);
	return ZS_OK;
}

/* ---- KILL ---- */

struct killing {
	struct zs_call *call;
	bool self;
};

static void kill_one(void *context, struct zs_client *client)
{
	struct killing *killing = context;

	if (client == killing->call->client) {
		killing->self = true;
		return;
	}
	if (client->kill)
		return;
	client->kill = true;
	client->worker->kills = true;
	zs_loop_wake(client->worker->loop);
}

static size_t kill_clients(struct zs_call *call, const struct filter *filter)
{
	struct killing killing = { .call = call };
	size_t count = for_each(call, filter, kill_one, &killing);

	if (killing.self)
		zs_client_close_after_reply(call->client);
	return count;
}

static bool parse_number_above_0(struct zs_call *call, const struct zs_argument *argument, const char *what,
				 uint64_t *value)
{
	int64_t number;

	if (zs_integer_parse(argument->data, argument->size, &number) && number > 0) {
		*value = (uint64_t)number;
		return true;
	}
	zs_reply_error(call->reply, "ERR %s should be greater than 0", what);
	return false;
}

static bool parse_kill_pair(struct zs_call *call, const struct zs_argument *word, const struct zs_argument *value,
			    struct filter *filter)
{
	uint64_t id;

	if (zs_argument_is(word, "id")) {
		filter->ids = value;
		filter->ids_count = 1;
		return parse_number_above_0(call, value, "client-id", &id);
	}
	if (zs_argument_is(word, "maxage"))
		return parse_number_above_0(call, value, "maxage", &filter->min_age_s);
	if (zs_argument_is(word, "type"))
		return parse_type(call, value, filter);
	if (zs_argument_is(word, "user")) {
		if (text_is(value, "default"))
			return true;
		zs_reply_error(call->reply, "ERR No such user '%.*s'", (int)(value->size < 128 ? value->size : 128),
			       (const char *)value->data);
		return false;
	}
	if (zs_argument_is(word, "addr")) {
		filter->address = value;
		return true;
	}
	if (zs_argument_is(word, "laddr")) {
		filter->local_address = value;
		return true;
	}
	if (zs_argument_is(word, "skipme") && (zs_argument_is(value, "yes") || zs_argument_is(value, "no"))) {
		filter->skip_me = zs_argument_is(value, "yes");
		return true;
	}
	zs_argument_syntax_error(call);
	return false;
}

static int handle_kill(struct zs_call *call)
{
	struct filter filter = { 0 };

	if (call->argc == 3) {
		filter.address = &call->argv[2];
		if (kill_clients(call, &filter))
			zs_reply_ok(call->reply);
		else
			zs_reply_error(call->reply, "ERR No such client");
		return ZS_OK;
	}
	filter.skip_me = true;
	for (size_t i = 2; i < call->argc; i += 2) {
		if (i + 1 == call->argc) {
			zs_argument_syntax_error(call);
			return ZS_OK;
		}
		if (!parse_kill_pair(call, &call->argv[i], &call->argv[i + 1], &filter))
			return ZS_OK;
	}
	zs_reply_integer(call->reply, (int64_t)kill_clients(call, &filter));
	return ZS_OK;
}

/* ---- ZS.FENCE ---- */

/*
 * ZS.FENCE client-id: ends that connection. After the answer nothing is done that has come over it: a client is off its
 * worker's list when its last command is over. Until then the call waits, and only its own connection with it.
 */
int zs_handle_fence(struct zs_call *call)
{
	struct filter filter = { .ids = &call->argv[1], .ids_count = 1 };
	uint64_t id;

	if (!parse_number_above_0(call, &call->argv[1], "client-id", &id))
		return ZS_OK;
	if (id == call->client->id) {
		zs_reply_error(call->reply, "ERR ZS.FENCE is for another connection, %llu is this one",
			       (unsigned long long)id);
		return ZS_OK;
	}
	if (kill_clients(call, &filter))
		return ZS_EWAIT;
	zs_reply_ok(call->reply);
	return ZS_OK;
}

/* ---- this client ---- */

static int handle_id(struct zs_call *call)
{
	zs_reply_integer(call->reply, (int64_t)call->client->id);
	return ZS_OK;
}

static int set_text(struct zs_call *call, char **text, const struct zs_argument *value, const char *what)
{
	if (!zs_client_text_is_valid(value->data, value->size))
		zs_reply_error(call->reply, "ERR %s cannot contain spaces, newlines or special characters.", what);
	else if (!zs_client_set_text(call->client, text, value->data, value->size))
		zs_reply_error(call->reply, "ERR not enough memory");
	else
		zs_reply_ok(call->reply);
	return ZS_OK;
}

static int handle_setname(struct zs_call *call)
{
	return set_text(call, &call->client->name, &call->argv[2], "Client names");
}

static int handle_getname(struct zs_call *call)
{
	if (call->client->name)
		zs_reply_bulk_text(call->reply, call->client->name);
	else
		zs_reply_null(call->reply);
	return ZS_OK;
}

static int handle_setinfo(struct zs_call *call)
{
	const struct zs_argument *option = &call->argv[2];

	if (zs_argument_is(option, "lib-name"))
		return set_text(call, &call->client->library_name, &call->argv[3], "lib-name");
	if (zs_argument_is(option, "lib-ver"))
		return set_text(call, &call->client->library_version, &call->argv[3], "lib-ver");
	zs_reply_error(call->reply, "ERR Unrecognized option '%.*s'", (int)(option->size < 128 ? option->size : 128),
		       (const char *)option->data);
	return ZS_OK;
}

static int handle_no_evict(struct zs_call *call)
{
	bool on = zs_argument_is(&call->argv[2], "on");

	if (!on && !zs_argument_is(&call->argv[2], "off")) {
		zs_argument_syntax_error(call);
		return ZS_OK;
	}
	atomic_store_explicit(&call->client->no_evict, on, memory_order_relaxed);
	zs_reply_ok(call->reply);
	return ZS_OK;
}

/* OFF and SKIP have no reply; the pipeline drops those that follow. */
static int handle_reply(struct zs_call *call)
{
	struct zs_client *client = call->client;

	if (zs_argument_is(&call->argv[2], "on")) {
		client->reply_off = false;
		client->reply_skip = false;
		zs_reply_ok(call->reply);
	} else if (zs_argument_is(&call->argv[2], "off")) {
		client->reply_off = true;
	} else if (zs_argument_is(&call->argv[2], "skip")) {
		client->reply_skip_next = !client->reply_off;
	} else {
		zs_argument_syntax_error(call);
	}
	return ZS_OK;
}

#define COMMAND(name, handler, arity, flags, since, summary)                          \
	{                                                                             \
		name, handler, arity, flags, 0, 0, 0, "connection", since, summary, 0 \
	}

const struct zs_command zs_commands_client[] = {
	COMMAND("getname", handle_getname, 2, ZS_CMD_LOADING, "2.6.9", "Get the current connection name"),
	COMMAND("help", zs_handle_help, 2, ZS_CMD_LOADING, "5.0.0",
		"Show helpful text about the different subcommands"),
	COMMAND("id", handle_id, 2, ZS_CMD_LOADING, "5.0.0", "Returns the client ID for the current connection"),
	COMMAND("info", handle_info, 2, ZS_CMD_LOADING, "6.2.0",
		"Returns information about the current client connection."),
	COMMAND("kill", handle_kill, -3, ZS_CMD_ADMIN | ZS_CMD_LOADING, "2.4.0", "Kill the connection of a client"),
	COMMAND("list", handle_list, -2, ZS_CMD_ADMIN | ZS_CMD_LOADING, "2.4.0", "Get the list of client connections"),
	COMMAND("no-evict", handle_no_evict, 3, ZS_CMD_ADMIN | ZS_CMD_LOADING, "7.0.0",
		"Set client eviction mode for the current connection"),
	COMMAND("reply", handle_reply, 3, ZS_CMD_LOADING, "3.2.0", "Instruct the server whether to reply to commands"),
	COMMAND("setinfo", handle_setinfo, 4, ZS_CMD_LOADING, "7.2.0", "Set client or connection specific info"),
	COMMAND("setname", handle_setname, 3, ZS_CMD_LOADING, "2.6.9", "Set the current connection name"),
	{ 0 },
};
