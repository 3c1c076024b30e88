#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "server/commands/arguments.h"
#include "server/commands/server_handlers.h"
#include "server/node/node.h"

static int handle_dbsize(struct zs_call *call)
{
	zs_reply_integer(call->reply, (int64_t)zs_engine_count(call->node->engine));
	return ZS_OK;
}

/* Both kinds of flush are done when they return, and take about the same time. */
static int handle_flush(struct zs_call *call)
{
	bool right =
	    call->argc == 1 ||
	    (call->argc == 2 && (zs_argument_is(&call->argv[1], "async") || zs_argument_is(&call->argv[1], "sync")));

	if (!right) {
		zs_argument_syntax_error(call);
		return ZS_OK;
	}
	zs_flush(call->thread);
	zs_reply_ok(call->reply);
	return ZS_OK;
}

static int handle_time(struct zs_call *call)
{
	struct timespec now;
	char text[32];

	clock_gettime(CLOCK_REALTIME, &now);
	zs_reply_array(call->reply, 2);
	snprintf(text, sizeof(text), "%lld", (long long)now.tv_sec);
	zs_reply_bulk_text(call->reply, text);
	snprintf(text, sizeof(text), "%ld", now.tv_nsec / 1000);
	zs_reply_bulk_text(call->reply, text);
	return ZS_OK;
}

/* Stops this worker, as Redis does with the whole server; for tests of clients. */
static int handle_debug_sleep(struct zs_call *call)
{
	char text[64];
	double seconds;
	struct timespec time;

	snprintf(text, sizeof(text), "%.*s", (int)(call->argv[2].size < 63 ? call->argv[2].size : 63),
		 (const char *)call->argv[2].data);
	seconds = strtod(text, 0);
	if (seconds > 0 && seconds < 1e6) {
		time.tv_sec = (time_t)seconds;
		time.tv_nsec = (long)((seconds - (double)time.tv_sec) * 1e9);
		zs_thread_offline(call->thread);
		nanosleep(&time, 0);
		zs_thread_online(call->thread);
	}
	zs_reply_ok(call->reply);
	return ZS_OK;
}

/* There are no functions, so there is nothing to forget; test suites begin with this. */
static int handle_function_flush(struct zs_call *call)
{
	if (call->argc == 2 ||
	    (call->argc == 3 && (zs_argument_is(&call->argv[2], "async") || zs_argument_is(&call->argv[2], "sync"))))
		zs_reply_ok(call->reply);
	else
		zs_reply_error(call->reply, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
	return ZS_OK;
}

static const struct zs_command commands_debug[] = {
	{ "help", zs_handle_help, 2, ZS_CMD_ADMIN | ZS_CMD_LOADING, 0, 0, 0, "server", "1.0.0",
	  "Show helpful text about the different subcommands", 0 },
	{ "sleep", handle_debug_sleep, 3, ZS_CMD_ADMIN | ZS_CMD_LOADING, 0, 0, 0, "server", "1.0.0",
	  "Stop the worker of this connection for so many seconds", 0 },
	{ 0 },
};

static const struct zs_command commands_function[] = {
	{ "flush", handle_function_flush, -2, ZS_CMD_WRITE, 0, 0, 0, "scripting", "7.0.0", "Deleting all functions",
	  0 },
	{ 0 },
};

#define COMMAND(name, handler, arity, flags, since, summary, subcommands)                   \
	{                                                                                   \
		name, handler, arity, flags, 0, 0, 0, "server", since, summary, subcommands \
	}

const struct zs_command zs_commands_server[] = {
	COMMAND("command", zs_handle_command, -1, ZS_CMD_LOADING, "2.8.13", "Get array of Redis command details",
		zs_commands_command),
	COMMAND("config", zs_handle_help, -2, ZS_CMD_ADMIN | ZS_CMD_LOADING, "2.0.0",
		"A container for server configuration commands", zs_commands_config),
	COMMAND("dbsize", handle_dbsize, 1, ZS_CMD_READONLY | ZS_CMD_FAST, "1.0.0",
		"Return the number of keys in the selected database", 0),
	COMMAND("debug", zs_handle_help, -2, ZS_CMD_ADMIN | ZS_CMD_LOADING, "1.0.0",
		"A container for debugging commands", commands_debug),
	COMMAND("flushall", handle_flush, -1, ZS_CMD_WRITE, "1.0.0", "Remove all keys from all databases", 0),
	COMMAND("flushdb", handle_flush, -1, ZS_CMD_WRITE, "1.0.0", "Remove all keys from the current database", 0),
	COMMAND("function", zs_handle_help, -2, 0, "7.0.0", "A container for function commands", commands_function),
	COMMAND("info", zs_handle_info, -1, ZS_CMD_LOADING, "1.0.0", "Get information and statistics about the server",
		0),
	COMMAND("latency", zs_handle_help, -2, ZS_CMD_ADMIN | ZS_CMD_LOADING, "2.8.13",
		"A container for latency diagnostics commands", zs_commands_latency),
	COMMAND("memory", zs_handle_help, -2, 0, "4.0.0", "A container for memory diagnostics commands",
		zs_commands_memory),
	COMMAND("slowlog", zs_handle_help, -2, ZS_CMD_ADMIN | ZS_CMD_LOADING, "2.2.12",
		"A container for slow log commands", zs_commands_slowlog),
	COMMAND("time", handle_time, 1, ZS_CMD_LOADING | ZS_CMD_FAST, "2.6.0", "Return the current server time", 0),
	{ 0 },
};
