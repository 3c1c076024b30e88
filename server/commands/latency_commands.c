/* LATENCY and SLOWLOG: what took long. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "server/commands/arguments.h"
#include "server/commands/dispatch.h"
#include "server/commands/numbers.h"
#include "server/commands/server_handlers.h"
#include "server/node/figures.h"
#include "server/node/node.h"

/* ---- LATENCY HISTOGRAM ---- */

/* Counts by powers of two of microseconds, cumulative, as Redis shows them: only where the count grows. */
#define RANGES 32

struct ranges {
	uint64_t upper_us[RANGES];
	uint64_t cumulative[RANGES];
	size_t count;
};

static void make_ranges(const uint64_t *latency, struct ranges *ranges)
{
	uint64_t seen = 0;
	unsigned bucket = 0;

	ranges->count = 0;
	for (unsigned i = 0; i < RANGES; i++) {
		uint64_t upper_us = UINT64_C(1) << i;
		uint64_t before = seen;

		while (bucket < ZS_HISTOGRAM_BUCKETS &&
		       (zs_histogram_upper(bucket) <= upper_us * 1000 || i + 1 == RANGES))
			seen += latency[bucket++];
		if (seen == before)
			continue;
		ranges->upper_us[ranges->count] = upper_us;
		ranges->cumulative[ranges->count++] = seen;
	}
}

static void reply_histogram(struct zs_call *call, const struct zs_command *command,
			    const struct zs_command_figures *figures)
{
	struct ranges ranges;
	char name[64];

	zs_command_full_name(command, '|', name, sizeof(name));
	make_ranges(figures->latency, &ranges);
	zs_reply_bulk_text(call->reply, name);
	zs_reply_map(call->reply, 2);
	zs_reply_bulk_text(call->reply, "calls");
	zs_reply_integer(call->reply, (int64_t)figures->calls);
	zs_reply_bulk_text(call->reply, "histogram_usec");
	zs_reply_map(call->reply, ranges.count);
	for (size_t i = 0; i < ranges.count; i++) {
		zs_reply_integer(call->reply, (int64_t)ranges.upper_us[i]);
		zs_reply_integer(call->reply, (int64_t)ranges.cumulative[i]);
	}
}

/* Is it, or the command it belongs to, named in the call? No names: all are. */
static bool is_asked_for(const struct zs_call *call, const struct zs_command *command)
{
	const struct zs_command *parent = zs_command_parent(command);
	char name[64];

	zs_command_full_name(command, '|', name, sizeof(name));
	for (size_t i = 2; i < call->argc; i++) {
		if (zs_argument_is(&call->argv[i], name) || (parent && zs_argument_is(&call->argv[i], parent->name)))
			return true;
	}
	return call->argc == 2;
}

static int handle_histogram(struct zs_call *call)
{
	struct zs_command_figures figures;
	bool wanted[ZS_COMMANDS_MAX];
	unsigned total = zs_command_ids();
	size_t count = 0;

	for (unsigned i = 0; i < total; i++) {
		const struct zs_command *command = zs_command_by_id(i);

		wanted[i] = false;
		if (!command || !is_asked_for(call, command))
			continue;
		zs_figures_of_command(call->node, i, &figures);
		wanted[i] = figures.calls > 0;
		count += wanted[i];
	}
	zs_reply_map(call->reply, count);
	for (unsigned i = 0; i < total; i++) {
		if (!wanted[i])
			continue;
		zs_figures_of_command(call->node, i, &figures);
		reply_histogram(call, zs_command_by_id(i), &figures);
	}
	return ZS_OK;
}

/* ---- LATENCY LATEST, HISTORY, RESET, DOCTOR ---- */

static int handle_latest(struct zs_call *call)
{
	struct zs_latency_series series[ZS_LATENCY_EVENTS];
	size_t count = 0;

	for (unsigned i = 0; i < ZS_LATENCY_EVENTS; i++) {
		zs_latency_copy(&call->node->latency, (enum zs_latency_event)i, &series[i]);
		count += series[i].count > 0;
	}
	zs_reply_array(call->reply, count);
	for (unsigned i = 0; i < ZS_LATENCY_EVENTS; i++) {
		const struct zs_latency_sample *last;

		if (!series[i].count)
			continue;
		last = &series[i].samples[series[i].count - 1];
		zs_reply_array(call->reply, 4);
		zs_reply_bulk_text(call->reply, zs_latency_name((enum zs_latency_event)i));
		zs_reply_integer(call->reply, (int64_t)last->time_s);
		zs_reply_integer(call->reply, (int64_t)last->ms);
		zs_reply_integer(call->reply, (int64_t)series[i].longest_ms);
	}
	return ZS_OK;
}

static int handle_history(struct zs_call *call)
{
	struct zs_latency_series series = { .count = 0 };

	for (unsigned i = 0; i < ZS_LATENCY_EVENTS; i++) {
		if (zs_argument_is(&call->argv[2], zs_latency_name((enum zs_latency_event)i)))
			zs_latency_copy(&call->node->latency, (enum zs_latency_event)i, &series);
	}
	zs_reply_array(call->reply, series.count);
	for (unsigned i = 0; i < series.count; i++) {
		zs_reply_array(call->reply, 2);
		zs_reply_integer(call->reply, (int64_t)series.samples[i].time_s);
		zs_reply_integer(call->reply, (int64_t)series.samples[i].ms);
	}
	return ZS_OK;
}

static int handle_latency_reset(struct zs_call *call)
{
	int64_t count = 0;

	for (unsigned e = 0; e < ZS_LATENCY_EVENTS; e++) {
		enum zs_latency_event event = (enum zs_latency_event)e;
		bool wanted = call->argc == 2;

		for (size_t i = 2; i < call->argc; i++)
			wanted = wanted || zs_argument_is(&call->argv[i], zs_latency_name(event));
		if (wanted)
			count += zs_latency_reset(&call->node->latency, event);
	}
	zs_reply_integer(call->reply, count);
	return ZS_OK;
}

static int handle_latency_doctor(struct zs_call *call)
{
	struct zs_latency_series series;
	struct zs_reply text;
	bool some = false;

	zs_reply_init(&text, ZS_TEXT_MAX);
	if (zs_node_setting(call->node, ZS_SET_LATENCY_THRESHOLD) == 0)
		zs_text_printf(&text, "Latency monitoring is off. CONFIG SET latency-monitor-threshold <milliseconds> "
				      "turns it on.\n");
	for (unsigned i = 0; i < ZS_LATENCY_EVENTS; i++) {
		uint64_t sum = 0;

		zs_latency_copy(&call->node->latency, (enum zs_latency_event)i, &series);
		for (unsigned j = 0; j < series.count; j++)
			sum += series.samples[j].ms;
		if (!series.count)
			continue;
		some = true;
		zs_text_printf(&text, "%s: %u spikes of %llu ms on average, the longest %llu ms.\n",
			       zs_latency_name((enum zs_latency_event)i), series.count,
			       (unsigned long long)(sum / series.count), (unsigned long long)series.longest_ms);
	}
	if (some)
		zs_text_printf(&text, "For spikes of commands see SLOWLOG GET; for spikes of everything, whether other "
				      "processes take the CPUs of the workers (cpu-list pins them).\n");
	else
		zs_text_printf(&text, "No latency spike was seen.\n");
	zs_reply_text(call, &text);
	return ZS_OK;
}

/* ---- SLOWLOG ---- */

static void reply_slow(void *context, const struct zs_slow_command *entry)
{
	struct zs_reply *r = context;

	zs_reply_array(r, 6);
	zs_reply_integer(r, (int64_t)entry->id);
	zs_reply_integer(r, (int64_t)entry->time_s);
	zs_reply_integer(r, (int64_t)entry->us);
	zs_reply_array(r, entry->argc);
	for (size_t i = 0; i < entry->argc; i++)
		zs_reply_bulk(r, entry->argv[i], entry->sizes[i]);
	zs_reply_bulk_text(r, entry->address);
	zs_reply_bulk_text(r, entry->name);
}

struct slow_list {
	struct zs_reply text;
	size_t count;
};

static void collect_slow(void *context, const struct zs_slow_command *entry)
{
	struct slow_list *list = context;

	reply_slow(&list->text, entry);
	list->count++;
}

static int handle_slowlog_get(struct zs_call *call)
{
	struct slow_list list = { .count = 0 };
	int64_t count = 10;

	if (call->argc > 3) {
		zs_reply_error(call->reply,
			       "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try SLOWLOG HELP.",
			       (int)call->argv[1].size, (const char *)call->argv[1].data);
		return ZS_OK;
	}
	if (call->argc == 3 && (!zs_integer_parse(call->argv[2].data, call->argv[2].size, &count) || count < -1)) {
		zs_reply_error(call->reply, "ERR count should be greater than or equal to -1");
		return ZS_OK;
	}
	/* Their number is known only afterwards: others may add to the log. */
	zs_reply_init(&list.text, ZS_TEXT_MAX);
	list.text.protocol = call->reply->protocol;
	zs_slowlog_each(&call->node->slowlog, count < 0 ? SIZE_MAX : (size_t)count, collect_slow, &list);
	zs_reply_array(call->reply, list.count);
	zs_reply_raw(call->reply, list.text.data, list.text.used);
	zs_reply_free(&list.text);
	return ZS_OK;
}

static int handle_slowlog_len(struct zs_call *call)
{
	zs_reply_integer(call->reply, (int64_t)zs_slowlog_count(&call->node->slowlog));
	return ZS_OK;
}

static int handle_slowlog_reset(struct zs_call *call)
{
	zs_slowlog_reset(&call->node->slowlog);
	zs_reply_ok(call->reply);
	return ZS_OK;
}

#define COMMAND(name, handler, arity, since, summary)                                                     \
	{                                                                                                 \
		name, handler, arity, ZS_CMD_ADMIN | ZS_CMD_LOADING, 0, 0, 0, "server", since, summary, 0 \
	}

const struct zs_command zs_commands_latency[] = {
	COMMAND("doctor", handle_latency_doctor, 2, "2.8.13", "Return a human readable latency analysis report."),
	COMMAND("help", zs_handle_help, 2, "2.8.13", "Show helpful text about the different subcommands."),
	COMMAND("histogram", handle_histogram, -2, "7.0.0",
		"Return the cumulative distribution of latencies of a subset of commands or all."),
	COMMAND("history", handle_history, 3, "2.8.13", "Return timestamp-latency samples for the event."),
	COMMAND("latest", handle_latest, 2, "2.8.13", "Return the latest latency samples for all events."),
	COMMAND("reset", handle_latency_reset, -2, "2.8.13", "Reset latency data for one or more events."),
	{ 0 },
};

const struct zs_command zs_commands_slowlog[] = {
	COMMAND("get", handle_slowlog_get, -2, "2.2.12", "Get the slow log's entries"),
	COMMAND("help", zs_handle_help, 2, "6.2.0", "Show helpful text about the different subcommands"),
	COMMAND("len", handle_slowlog_len, 2, "2.2.12", "Get the slow log's length"),
	COMMAND("reset", handle_slowlog_reset, 2, "2.2.12", "Clear all entries from the slow log"),
	{ 0 },
};
