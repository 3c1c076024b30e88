/*
 * The table of the string commands, and those that read.
 */
#include <assert.h>

#include "server/commands/arguments.h"
#include "server/commands/command.h"
#include "server/commands/handlers.h"
#include "server/commands/result.h"

/* Keys of MGET that are looked up with their memory accesses overlapped. */
#define MGET_BATCH 32

static int handle_get(struct zs_call *call)
{
	const struct zs_argument *key = &call->argv[1];
	struct zs_view view;

	if (zs_get(call->thread, key->data, key->size, 0, &view) == ZS_OK)
		zs_reply_value(call->reply, &view);
	else
		zs_reply_null(call->reply);
	return ZS_OK;
}

static int handle_getdel(struct zs_call *call)
{
	const struct zs_argument *key = &call->argv[1];
	struct zs_previous previous;
	int error = zs_delete(call->thread, key->data, key->size, &previous);

	if (error == ZS_OK)
		zs_reply_value(call->reply, &previous.old);
	else if (error == ZS_ENOTFOUND)
		zs_reply_null(call->reply);
	else
		return zs_command_failed(call, error, key->size, 0);
	return ZS_OK;
}

static int handle_getex(struct zs_call *call)
{
	const struct zs_argument *key = &call->argv[1];
	struct zs_write_options options;
	struct zs_previous previous;
	struct zs_view view;
	uint64_t deadline;
	int error;

	if (!zs_parse_getex_options(call, &options))
		return ZS_OK;
	/* The key comes before the time: a bad time for a key that does not exist is a null, not an error. */
	error = zs_get(call->thread, key->data, key->size, 0, &view);
	if (error == ZS_OK && (options.when.number || options.persist)) {
		if (!zs_when_deadline(call, &options.when, &deadline))
			return ZS_OK;
		error = zs_expire(call->thread, key->data, key->size, deadline, 0, &previous);
		view = previous.old;
	}
	if (error == ZS_OK)
		zs_reply_value(call->reply, &view);
	else if (error == ZS_ENOTFOUND)
		zs_reply_null(call->reply);
	else
		return zs_command_failed(call, error, key->size, 0);
	return ZS_OK;
}

/* count: 1 to MGET_BATCH */
static void reply_batch(struct zs_call *call, const struct zs_argument *arguments, size_t count)
{
	struct zs_key keys[MGET_BATCH];
	struct zs_view views[MGET_BATCH];
	bool found[MGET_BATCH];

	assert(count >= 1 && count <= MGET_BATCH);
	for (size_t i = 0; i < count; i++)
		keys[i] = (struct zs_key){ arguments[i].data, arguments[i].size };
	zs_get_batch(call->thread, keys, count, views, found);
	for (size_t i = 0; i < count; i++) {
		if (found[i])
			zs_reply_value(call->reply, &views[i]);
		else
			zs_reply_null(call->reply);
	}
}

static int handle_mget(struct zs_call *call)
{
	zs_reply_array(call->reply, call->argc - 1);
	for (size_t i = 1; i < call->argc; i += MGET_BATCH) {
		size_t left = call->argc - i;

		reply_batch(call, &call->argv[i], left < MGET_BATCH ? left : MGET_BATCH);
	}
	return ZS_OK;
}

static int handle_strlen(struct zs_call *call)
{
	const struct zs_argument *key = &call->argv[1];
	uint8_t digits[ZS_INTEGER_MAX];
	struct zs_view view;
	size_t size = 0;

	if (zs_get(call->thread, key->data, key->size, 0, &view) == ZS_OK)
		size = zs_value_text(&view, digits).size;
	zs_reply_integer(call->reply, (int64_t)size);
	return ZS_OK;
}

/* The part of `text` from `start` to `end`, both included; negative ones count from its end. May be empty. */
static struct zs_text cut(struct zs_text text, int64_t start, int64_t end)
{
	int64_t size = (int64_t)text.size;
	bool backwards = start < 0 && end < 0 && start > end;

	if (start < 0)
		start = start < -size ? 0 : start + size;
	if (end < 0)
		end = end < -size ? 0 : end + size;
	if (end >= size)
		end = size - 1;
	if (backwards || start > end)
		return (struct zs_text){ text.data, 0 };
	return (struct zs_text){ text.data + start, (size_t)(end - start + 1) };
}

static int handle_getrange(struct zs_call *call)
{
	const struct zs_argument *key = &call->argv[1];
	uint8_t digits[ZS_INTEGER_MAX];
	struct zs_text text = { digits, 0 };
	struct zs_view view;
	int64_t start, end;

	if (!zs_argument_integer(call, &call->argv[2], &start) || !zs_argument_integer(call, &call->argv[3], &end))
		return ZS_OK;
	if (zs_get(call->thread, key->data, key->size, 0, &view) == ZS_OK)
		text = cut(zs_value_text(&view, digits), start, end);
	zs_reply_bulk(call->reply, text.data, text.size);
	return ZS_OK;
}

#define READ_FAST (ZS_CMD_READONLY | ZS_CMD_FAST)
#define WRITE_FAST (ZS_CMD_WRITE | ZS_CMD_FAST)
#define STORE (ZS_CMD_WRITE | ZS_CMD_DENYOOM)
#define STORE_FAST (ZS_CMD_WRITE | ZS_CMD_DENYOOM | ZS_CMD_FAST)

/* name, handler, arity, flags, first key, last key, step, group, since, summary, subcommands */
/* clang-format off */
const struct zs_command zs_commands_string[] = {
	{ "get", handle_get, 2, READ_FAST, 1, 1, 1, "string", "1.0.0",
	  "Get the value of a key", NULL },
	{ "set", zs_handle_set, -3, STORE, 1, 1, 1, "string", "1.0.0",
	  "Set the string value of a key", NULL },
	{ "setex", zs_handle_setex, 4, STORE, 1, 1, 1, "string", "2.0.0",
	  "Set the value and expiration of a key", NULL },
	{ "psetex", zs_handle_psetex, 4, STORE, 1, 1, 1, "string", "2.6.0",
	  "Set the value and expiration in milliseconds of a key", NULL },
	{ "setnx", zs_handle_setnx, 3, STORE_FAST, 1, 1, 1, "string", "1.0.0",
	  "Set the value of a key, only if the key does not exist", NULL },
	{ "getset", zs_handle_getset, 3, STORE_FAST, 1, 1, 1, "string", "1.0.0",
	  "Set the string value of a key and return its old value", NULL },
	{ "getdel", handle_getdel, 2, WRITE_FAST, 1, 1, 1, "string", "6.2.0",
	  "Get the value of a key and delete the key", NULL },
	{ "getex", handle_getex, -2, WRITE_FAST, 1, 1, 1, "string", "6.2.0",
	  "Get the value of a key and optionally set its expiration", NULL },
	{ "mget", handle_mget, -2, READ_FAST, 1, -1, 1, "string", "1.0.0",
	  "Get the values of all the given keys", NULL },
	{ "mset", zs_handle_mset, -3, STORE, 1, -1, 2, "string", "1.0.1",
	  "Set multiple keys to multiple values, each key atomically", NULL },
	{ "append", zs_handle_append, 3, STORE_FAST, 1, 1, 1, "string", "2.0.0",
	  "Append a value to a key", NULL },
	{ "strlen", handle_strlen, 2, READ_FAST, 1, 1, 1, "string", "2.2.0",
	  "Get the length of the value stored in a key", NULL },
	{ "getrange", handle_getrange, 4, ZS_CMD_READONLY, 1, 1, 1, "string", "2.4.0",
	  "Get a substring of the string stored at a key", NULL },
	{ "substr", handle_getrange, 4, ZS_CMD_READONLY, 1, 1, 1, "string", "1.0.0",
	  "Get a substring of the string stored at a key", NULL },
	{ "setrange", zs_handle_setrange, 4, STORE, 1, 1, 1, "string", "2.2.0",
	  "Overwrite part of a string at key starting at the specified offset", NULL },
	{ "incr", zs_handle_incr, 2, STORE_FAST, 1, 1, 1, "string", "1.0.0",
	  "Increment the integer value of a key by one", NULL },
	{ "decr", zs_handle_decr, 2, STORE_FAST, 1, 1, 1, "string", "1.0.0",
	  "Decrement the integer value of a key by one", NULL },
	{ "incrby", zs_handle_incrby, 3, STORE_FAST, 1, 1, 1, "string", "1.0.0",
	  "Increment the integer value of a key by the given amount", NULL },
	{ "decrby", zs_handle_decrby, 3, STORE_FAST, 1, 1, 1, "string", "1.0.0",
	  "Decrement the integer value of a key by the given number", NULL },
	{ "incrbyfloat", zs_handle_incrbyfloat, 3, STORE_FAST, 1, 1, 1, "string", "2.6.0",
	  "Increment the float value of a key by the given amount", NULL },
	{ 0 },
};
/* clang-format on */
