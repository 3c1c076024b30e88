/*
 * OBJECT: what the node can say about how it keeps an object.
 */
#include "server/commands/arguments.h"
#include "server/commands/handlers.h"
#include "server/commands/result.h"

/* Redis prints strings of up to this size as "embstr", longer ones as "raw". */
#define EMBEDDED_MAX 44

/* Finds argv[2] without counting it as used; answers null if it does not exist. */
static bool find(struct zs_call *call, struct zs_view *view)
{
	const struct zs_argument *key = &call->argv[2];

	if (zs_get(call->thread, key->data, key->size, ZS_READ_PEEK, view) == ZS_OK)
		return true;
	zs_reply_null(call->reply);
	return false;
}

/* Tells what Redis would, so "int" for every decimal, whether it has been incremented yet or not. */
static int handle_encoding(struct zs_call *call)
{
	struct zs_view view;
	int64_t number;

	if (!find(call, &view))
		return ZS_OK;
	if (view.type == ZS_NUMBER || zs_integer_parse(view.data, view.size, &number))
		zs_reply_bulk_text(call->reply, "int");
	else
		zs_reply_bulk_text(call->reply, view.size <= EMBEDDED_MAX ? "embstr" : "raw");
	return ZS_OK;
}

static int handle_refcount(struct zs_call *call)
{
	struct zs_view view;

	if (find(call, &view))
		zs_reply_integer(call->reply, 1);
	return ZS_OK;
}

static int handle_freq(struct zs_call *call)
{
	struct zs_view view;

	if (find(call, &view))
		zs_reply_error(call->reply,
			       "ERR access frequency is not tracked: two bits of recency per object are kept");
	return ZS_OK;
}

static int handle_idletime(struct zs_call *call)
{
	struct zs_view view;

	if (find(call, &view))
		zs_reply_error(call->reply, "ERR idle time is not tracked: two bits of recency per object are kept");
	return ZS_OK;
}

static int handle_help(struct zs_call *call)
{
	static const char *const lines[] = {
		"OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
		"ENCODING <key>",
		"    Return the kind of the value: \"int\", \"embstr\" or \"raw\", as Redis names them.",
		"FREQ <key>",
		"    An error for keys that exist: access frequency is not tracked.",
		"IDLETIME <key>",
		"    An error for keys that exist: idle time is not tracked.",
		"REFCOUNT <key>",
		"    Return 1 for keys that exist: values are not shared.",
		"HELP",
		"    Prints this help.",
	};
	const size_t count = sizeof(lines) / sizeof(lines[0]);

	zs_reply_array(call->reply, count);
	for (size_t i = 0; i < count; i++)
		zs_reply_status(call->reply, lines[i]);
	return ZS_OK;
}

const struct zs_command zs_commands_object[] = {
	{ "encoding", handle_encoding, 3, ZS_CMD_READONLY, 2, 2, 1, "generic", "2.2.3",
	  "Inspect the internal encoding of an object", NULL },
	{ "freq", handle_freq, 3, ZS_CMD_READONLY, 2, 2, 1, "generic", "4.0.0",
	  "Get the logarithmic access frequency counter of an object", NULL },
	{ "help", handle_help, 2, 0, 0, 0, 0, "generic", "6.2.0", "Show helpful text about the different subcommands",
	  NULL },
	{ "idletime", handle_idletime, 3, ZS_CMD_READONLY, 2, 2, 1, "generic", "2.2.3",
	  "Get the time since an object was last accessed", NULL },
	{ "refcount", handle_refcount, 3, ZS_CMD_READONLY, 2, 2, 1, "generic", "2.2.3",
	  "Get the number of references to the value of the key", NULL },
	{ 0 },
};
