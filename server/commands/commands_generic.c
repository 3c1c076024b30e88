/*
 * The table of the commands that work on keys of any type, and the simple ones among them.
 */
#include "server/commands/handlers.h"
#include "server/commands/result.h"
#include "server/net/client.h"

/* Keys after the one that waits for flash which are asked for at the same time. */
#define AHEAD 64

/* Asks for what is on flash of some more keys. */
static void look_ahead(struct zs_call *call, size_t from)
{
	struct zs_view view;

	for (size_t i = from; i < call->argc && i < from + AHEAD; i++)
		zs_get(call->thread, call->argv[i].data, call->argv[i].size, ZS_READ_PEEK, &view);
}

/*
 * Deletes can not be put off by quarantine, so each key counts exactly once. They can be put off by flash: then the
 * call goes on with the key at which it stopped.
 */
static int handle_del(struct zs_call *call)
{
	struct zs_client *client = call->client;
	size_t first = client && client->progress.next ? client->progress.next : 1;
	int64_t deleted = client && client->progress.next ? client->progress.count : 0;

	for (size_t i = first; i < call->argc; i++) {
		int result = zs_delete(call->thread, call->argv[i].data, call->argv[i].size, NULL);

		deleted += result == ZS_OK;
		if (result == ZS_EWARM && client) {
			client->progress.next = i;
			client->progress.count = deleted;
			look_ahead(call, i + 1);
			return ZS_EWARM;
		}
	}
	zs_reply_integer(call->reply, deleted);
	return ZS_OK;
}

/* Counts the keys that exist, each as often as it is named. */
static int count_existing(struct zs_call *call, unsigned flags)
{
	int64_t existing = 0;
	struct zs_view view;

	for (size_t i = 1; i < call->argc; i++)
		existing += zs_get(call->thread, call->argv[i].data, call->argv[i].size, flags, &view) == ZS_OK;
	zs_reply_integer(call->reply, existing);
	return ZS_OK;
}

static int handle_exists(struct zs_call *call)
{
	return count_existing(call, ZS_READ_PEEK);
}

static int handle_touch(struct zs_call *call)
{
	return count_existing(call, 0);
}

static int handle_type(struct zs_call *call)
{
	const struct zs_argument *key = &call->argv[1];
	struct zs_view view;
	int error = zs_get(call->thread, key->data, key->size, ZS_READ_PEEK, &view);

	zs_reply_status(call->reply, error == ZS_OK ? "string" : "none");
	return ZS_OK;
}

#define READ_FAST (ZS_CMD_READONLY | ZS_CMD_FAST)
#define WRITE_FAST (ZS_CMD_WRITE | ZS_CMD_FAST)

/* name, handler, arity, flags, first key, last key, step, group, since, summary, subcommands */
/* clang-format off */
const struct zs_command zs_commands_generic[] = {
	{ "del", handle_del, -2, ZS_CMD_WRITE, 1, -1, 1, "generic", "1.0.0",
	  "Delete a key", NULL },
	{ "unlink", handle_del, -2, WRITE_FAST, 1, -1, 1, "generic", "4.0.0",
	  "Delete a key; the same as DEL, which never blocks here", NULL },
	{ "exists", handle_exists, -2, READ_FAST, 1, -1, 1, "generic", "1.0.0",
	  "Determine if a key exists", NULL },
	{ "touch", handle_touch, -2, READ_FAST, 1, -1, 1, "generic", "3.2.1",
	  "Alters the last access time of a key(s). Returns the number of existing keys specified.", NULL },
	{ "type", handle_type, 2, READ_FAST, 1, 1, 1, "generic", "1.0.0",
	  "Determine the type stored at key", NULL },
	{ "expire", zs_handle_expire, -3, WRITE_FAST, 1, 1, 1, "generic", "1.0.0",
	  "Set a key's time to live in seconds", NULL },
	{ "pexpire", zs_handle_pexpire, -3, WRITE_FAST, 1, 1, 1, "generic", "2.6.0",
	  "Set a key's time to live in milliseconds", NULL },
	{ "expireat", zs_handle_expireat, -3, WRITE_FAST, 1, 1, 1, "generic", "1.2.0",
	  "Set the expiration for a key as a UNIX timestamp", NULL },
	{ "pexpireat", zs_handle_pexpireat, -3, WRITE_FAST, 1, 1, 1, "generic", "2.6.0",
	  "Set the expiration for a key as a UNIX timestamp specified in milliseconds", NULL },
	{ "ttl", zs_handle_ttl, 2, READ_FAST, 1, 1, 1, "generic", "1.0.0",
	  "Get the time to live for a key in seconds", NULL },
	{ "pttl", zs_handle_pttl, 2, READ_FAST, 1, 1, 1, "generic", "2.6.0",
	  "Get the time to live for a key in milliseconds", NULL },
	{ "expiretime", zs_handle_expiretime, 2, READ_FAST, 1, 1, 1, "generic", "7.0.0",
	  "Get the expiration Unix timestamp for a key", NULL },
	{ "pexpiretime", zs_handle_pexpiretime, 2, READ_FAST, 1, 1, 1, "generic", "7.0.0",
	  "Get the expiration Unix timestamp for a key in milliseconds", NULL },
	{ "persist", zs_handle_persist, 2, WRITE_FAST, 1, 1, 1, "generic", "2.2.0",
	  "Remove the expiration from a key", NULL },
	{ "scan", zs_handle_scan, -2, ZS_CMD_READONLY, 0, 0, 0, "generic", "2.8.0",
	  "Incrementally iterate the keys space", NULL },
	{ "keys", zs_handle_keys, 2, ZS_CMD_READONLY, 0, 0, 0, "generic", "1.0.0",
	  "Find all keys matching the given pattern", NULL },
	{ "randomkey", zs_handle_randomkey, 1, ZS_CMD_READONLY, 0, 0, 0, "generic", "1.0.0",
	  "Return a random key from the keyspace", NULL },
	{ "object", NULL, -2, 0, 0, 0, 0, "generic", "2.2.3",
	  "A container for object introspection commands", zs_commands_object },
	{ "zs.drop", zs_handle_drop, 2, WRITE_FAST, 0, 0, 0, "generic", "0.1.0",
	  "Drop a group: all objects that were stored with SET ... GROUP name", NULL },
	{ "zs.groups", zs_handle_groups, 1, ZS_CMD_READONLY, 0, 0, 0, "generic", "0.1.0",
	  "List the groups that have objects, with how many objects and slabs each has", NULL },
	{ 0 },
};
/* clang-format on */
