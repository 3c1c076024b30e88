#include "server/net/pipeline.h"

#include <assert.h>
#include <stdio.h>
#include <strings.h>

#include "common/log.h"
#include "server/commands/dispatch.h"
#include "server/commands/result.h"
#include "server/engine/warm.h"
#include "server/net/client.h"
#include "server/node/node.h"
#include "server/node/ticks.h"
#include "server/tier/store.h"

#define AHEAD 32

/* Before AUTH, as Redis: enough for AUTH and HELLO. */
#define UNKNOWN_ARGUMENTS 10
#define UNKNOWN_BULK 16384

/* What follows one another of the same kind, but OTHER, is run as one batch of the engine. */
enum kind { KIND_OTHER, KIND_GET, KIND_SET };

struct step {
	const struct zs_command *command;
	const struct zs_argument *argv;
	size_t argc;
	size_t end; /* of its bytes, from the start of the data */
	enum kind kind;
	unsigned run; /* steps of a batch that begins here; 1 within one */
};

struct pipeline {
	struct zs_client *client;
	struct zs_worker *worker;
	struct zs_node *node;
	struct zs_reply *reply;
	uint64_t slow_ticks; /* longer ones are looked at more closely */
	struct step steps[AHEAD];
	unsigned count;
	struct step *batch; /* the last one in the steps */
	struct zs_resp_command request;
};

static uint64_t slow_ticks(const struct zs_node *node)
{
	int64_t slowlog_us = zs_node_setting(node, ZS_SET_SLOWLOG_SLOWER_THAN);
	int64_t latency_ms = zs_node_setting(node, ZS_SET_LATENCY_THRESHOLD);
	uint64_t ns = UINT64_MAX;

	if (slowlog_us >= 0)
		ns = (uint64_t)slowlog_us * 1000;
	if (latency_ms > 0 && (uint64_t)latency_ms * 1000000 < ns)
		ns = (uint64_t)latency_ms * 1000000;
	return ns == UINT64_MAX ? UINT64_MAX : zs_ticks_from_ns(ns);
}

/* ---- parsing ahead ---- */

/* GET key, and SET without options. */
static enum kind kind_of(const struct zs_node *node, const struct zs_command *command, size_t argc)
{
	if (command == node->get_command && argc == 2)
		return KIND_GET;
	return command == node->set_command && argc == 3 ? KIND_SET : KIND_OTHER;
}

static void add_step(struct pipeline *p, const struct zs_argument *argv, size_t argc, size_t end)
{
	struct step *step = &p->steps[p->count++];

	step->argv = argv;
	step->argc = argc;
	step->end = end;
	step->command = zs_command_find(argv[0].data, argv[0].size);
	step->kind = kind_of(p->node, step->command, argc);
	step->run = 1;
	if (step != p->steps && step->kind != KIND_OTHER && step->kind == p->batch->kind)
		p->batch->run++;
	else
		p->batch = step;
}

/* The usual ones, all at once. Returns where they end. */
static size_t read_run(struct pipeline *p, const struct zs_resp_limits *limits, const uint8_t *data, size_t size,
		       unsigned most)
{
	struct zs_resp_request list[AHEAD];
	size_t count;

	if (!zs_resp_is_fresh(&p->client->parser))
		return 0;
	count = zs_resp_parse_run(limits, data, size, &p->worker->arguments, list, most);
	for (size_t i = 0; i < count; i++)
		add_step(p, list[i].argv, list[i].argc, list[i].end);
	return count ? list[count - 1].end : 0;
}

/* Parses up to AHEAD commands; returns why it stopped. */
static enum zs_resp_result read_ahead(struct pipeline *p, const struct zs_resp_limits *limits, const uint8_t *data,
				      size_t size, size_t *skipped)
{
	struct zs_resp_arguments *arguments = &p->worker->arguments;
	unsigned most = p->client->authenticated ? AHEAD : 1;
	enum zs_resp_result result = ZS_RESP_COMMAND;
	size_t position;

	zs_resp_clear(arguments);
	p->count = 0;
	position = read_run(p, limits, data, size, most);
	while (p->count < most && position < size) {
		result =
		    zs_resp_parse(&p->client->parser, limits, data + position, size - position, arguments, &p->request);
		if (result == ZS_RESP_COMMAND) {
			position += p->request.consumed;
			add_step(p, p->request.argv, p->request.argc, position);
		} else if (result == ZS_RESP_EMPTY) {
			position += p->request.consumed;
			if (p->count)
				p->steps[p->count - 1].end = position;
			else
				*skipped = position;
		} else {
			break;
		}
	}
	return result;
}

static bool find_key(const struct zs_command *command, const struct zs_argument *argv, size_t argc, struct zs_key *key)
{
	size_t at = command ? (size_t)command->first_key : 0;

	if (at == 0 || at >= argc)
		return false;
	*key = (struct zs_key){ argv[at].data, argv[at].size };
	return true;
}

/* Fetches the first keys of what is run by itself; batches do it better for themselves. */
static void prefetch(struct pipeline *p)
{
	struct zs_key keys[AHEAD];
	size_t used = 0;

	if (p->count == p->steps[0].run)
		return;
	for (unsigned i = 0; i < p->count; i += p->steps[i].run) {
		const struct step *step = &p->steps[i];

		if (step->run == 1 && find_key(step->command, step->argv, step->argc, &keys[used]))
			used++;
	}
	zs_prefetch_batch(p->worker->engine_thread, keys, used);
}

bool zs_pipeline_first_key(struct zs_worker *worker, const uint8_t *data, size_t size, struct zs_key *key)
{
	static const struct zs_resp_limits limits = { .arguments = 16, .bulk = 256, .total = 256 };
	struct zs_resp_request request;
	const struct zs_command *command;

	zs_resp_clear(&worker->arguments);
	if (zs_resp_parse_run(&limits, data, size, &worker->arguments, &request, 1) == 0)
		return false;
	command = zs_command_find(request.argv[0].data, request.argv[0].size);
	return find_key(command, request.argv, request.argc, key);
}

/* ---- after a command ---- */

/* Passwords do not belong into the slow log: of AUTH and HELLO the name is shown, of CONFIG SET what is set first. */
static size_t arguments_to_show(const struct zs_command *command, size_t argc)
{
	size_t most = command->flags & ZS_CMD_NO_AUTH ? 1 : command->flags & ZS_CMD_ADMIN ? 3 : argc;

	return argc < most ? argc : most;
}

static void note_slow(struct pipeline *p, const struct zs_command *command, const struct step *step, uint64_t ns)
{
	struct zs_node *node = p->node;
	int64_t slowlog_us = zs_node_setting(node, ZS_SET_SLOWLOG_SLOWER_THAN);
	int64_t latency_ms = zs_node_setting(node, ZS_SET_LATENCY_THRESHOLD);
	struct zs_slow_command event = { .time_s = p->worker->now_ms / 1000, .us = ns / 1000 };

	if (slowlog_us >= 0 && event.us >= (uint64_t)slowlog_us) {
		zs_client_peer(p->client, event.address, sizeof(event.address));
		if (p->client->name)
			snprintf(event.name, sizeof(event.name), "%s", p->client->name);
		zs_slowlog_add(&node->slowlog, (size_t)zs_node_setting(node, ZS_SET_SLOWLOG_MAX_LEN), &event,
			       step->argv, arguments_to_show(command, step->argc));
	}
	if (latency_ms > 0 && ns / 1000000 >= (uint64_t)latency_ms)
		zs_latency_add(&node->latency,
			       command->flags & ZS_CMD_FAST ? ZS_LATENCY_FAST_COMMAND : ZS_LATENCY_COMMAND,
			       event.time_s, ns / 1000000);
}

/* The time since the last command of this worker ended, or its batch began. */
static uint64_t lap(struct pipeline *p)
{
	uint64_t now = zs_ticks();
	uint64_t ticks = now - p->worker->last_ticks;

	p->worker->last_ticks = now;
	return ticks;
}

static void account(struct pipeline *p, const struct zs_command *command, const struct step *step, size_t reply_start)
{
	struct zs_stats_of_worker *stats = p->worker->stats;
	unsigned id = zs_command_id(command);
	uint64_t ticks = lap(p);

	zs_stats_command(stats, id, zs_ticks_to_ns(ticks), 1);
	zs_count(&stats->commands, 1);
	if (p->reply->used > reply_start && p->reply->data[reply_start] == '-') {
		zs_count(&stats->command[id].failed, 1);
		zs_stats_error(stats, p->reply->data + reply_start, p->reply->used - reply_start);
	}
	if (ticks >= p->slow_ticks)
		note_slow(p, command, step, zs_ticks_to_ns(ticks));
}

static void account_rejected(struct pipeline *p, const struct zs_command *command, size_t reply_start)
{
	struct zs_stats_of_worker *stats = p->worker->stats;

	if (command)
		zs_count(&stats->command[zs_command_id(command)].rejected, 1);
	if (p->reply->used > reply_start)
		zs_stats_error(stats, p->reply->data + reply_start, p->reply->used - reply_start);
	lap(p);
}

/* CLIENT REPLY OFF and SKIP. */
static void suppress_reply(struct zs_client *client, size_t reply_start)
{
	if (client->reply_off || client->reply_skip)
		client->reply.used = reply_start;
	client->reply_skip = client->reply_skip_next;
	client->reply_skip_next = false;
}

/* ---- what is on flash ---- */

/* The call that commands run with: what a stalled one has asked for is in its own. */
static void begin_call(struct zs_client *client)
{
	struct zs_worker *w = client->worker;
	struct zs_store *store = w->node->warm.store;

	if (!store)
		return;
	if (!client->warm_call && !w->warm_call)
		w->warm_call = zs_store_call_new(store, w->index);
	zs_thread_set_warm_call(w->engine_thread, client->warm_call ? client->warm_call : w->warm_call);
}

/* The command waits for flash: what it has asked for is its client's now. */
static void keep_call(struct pipeline *p)
{
	if (p->client->warm_call)
		return;
	p->client->warm_call = p->worker->warm_call;
	p->worker->warm_call = NULL;
}

/* The commands so far have their replies, and need nothing of what they asked for any more. */
static void end_call(struct pipeline *p)
{
	struct zs_worker *w = p->worker;
	struct zs_store_call *call = p->client->warm_call;

	if (!p->node->warm.store)
		return;
	if (call) {
		p->client->warm_call = NULL;
		if (w->warm_call)
			zs_store_call_free(call);
		else
			w->warm_call = call;
	}
	if (w->warm_call)
		zs_store_call_clear(w->warm_call);
	begin_call(p->client);
}

/* ---- running ---- */

/*
 * The first words of HTTP: a web page that somebody on this host looks at can make the browser send them here, with
 * commands in the body. Redis closes such connections, and so do we.
 */
static bool is_http(const struct step *step)
{
	const struct zs_argument *word = &step->argv[0];

	return (word->size == 4 && strncasecmp((const char *)word->data, "post", 4) == 0) ||
	       (word->size == 5 && strncasecmp((const char *)word->data, "host:", 5) == 0);
}

static bool refuse_http(struct zs_client *client)
{
	zs_log(ZS_LOG_WARN, "a connection was closed: it speaks HTTP, perhaps for an attack from a web page",
	       zs_log_number("id", (int64_t)client->id));
	zs_client_close_after_reply(client);
	return true;
}

/* True if the commands came to their ends, false if this one has to wait. */
static bool run_step(struct pipeline *p, const struct step *step)
{
	struct zs_client *client = p->client;
	size_t start = p->reply->used;
	struct zs_call call = {
		.node = p->node,
		.client = client,
		.thread = p->worker->engine_thread,
		.reply = p->reply,
		.argv = step->argv,
		.argc = step->argc,
		.command = step->command,
	};

	if (!step->command && is_http(step))
		return refuse_http(client);
	atomic_store_explicit(&client->last_command, step->command, memory_order_relaxed);
	if (!zs_command_resolve(&call)) {
		account_rejected(p, call.command, start);
	} else if (!client->authenticated && !(call.command->flags & ZS_CMD_NO_AUTH)) {
		zs_reply_error(p->reply, "NOAUTH Authentication required.");
		account_rejected(p, call.command, start);
	} else {
		atomic_store_explicit(&client->last_command, call.command, memory_order_relaxed);
		int result = zs_command_run(&call);

		if (result) {
			zs_count(&p->worker->stats->stalls, result == ZS_EAGAIN);
			if (result == ZS_EWARM)
				keep_call(p);
			client->stalled = true;
			return false;
		}
		account(p, call.command, step, start);
	}
	if (client->reply_off || client->reply_skip || client->reply_skip_next)
		suppress_reply(client, start);
	return true;
}

/* Each command of a batch is taken to have lasted the same time. */
static void account_batch(struct pipeline *p, const struct zs_command *command, const struct step *steps,
			  unsigned count)
{
	uint64_t ticks = lap(p) / count;

	atomic_store_explicit(&p->client->last_command, command, memory_order_relaxed);
	zs_stats_command(p->worker->stats, zs_command_id(command), zs_ticks_to_ns(ticks), count);
	zs_count(&p->worker->stats->commands, count);
	for (unsigned i = 0; ticks >= p->slow_ticks && i < count; i++)
		note_slow(p, command, &steps[i], zs_ticks_to_ns(ticks));
}

static unsigned run_gets(struct pipeline *p, const struct step *steps, unsigned count)
{
	struct zs_key keys[AHEAD];
	struct zs_view views[AHEAD];
	bool found[AHEAD];

	assert(count > 0 && count <= AHEAD);
	for (unsigned i = 0; i < count; i++) {
		keys[i].data = steps[i].argv[1].data;
		keys[i].size = steps[i].argv[1].size;
	}
	zs_thread_begin_reads(p->worker->engine_thread);
	zs_get_batch(p->worker->engine_thread, keys, count, views, found);
	if (zs_thread_warm_wanted(p->worker->engine_thread)) {
		/* Some are on flash, and have been asked for: one after the other, then. */
		zs_thread_undo_reads(p->worker->engine_thread);
		return 0;
	}
	for (unsigned i = 0; i < count; i++) {
		if (found[i])
			zs_reply_value(p->reply, &views[i]);
		else
			zs_reply_null(p->reply);
	}
	account_batch(p, p->node->get_command, steps, count);
	return count;
}

/* Returns how many of the SETs were done; the next one needs more than the usual. */
static unsigned run_sets(struct pipeline *p, const struct step *steps, unsigned count)
{
	struct zs_set sets[AHEAD];
	unsigned done;

	assert(count > 0 && count <= AHEAD);
	for (unsigned i = 0; i < count; i++) {
		sets[i] = (struct zs_set){
			.key = steps[i].argv[1].data,
			.key_size = steps[i].argv[1].size,
			.value = steps[i].argv[2].data,
			.value_size = steps[i].argv[2].size,
		};
	}
	done = (unsigned)zs_set_batch(p->worker->engine_thread, sets, count);
	for (unsigned i = 0; i < done; i++)
		zs_reply_ok(p->reply);
	if (done)
		account_batch(p, p->node->set_command, steps, done);
	return done;
}

static bool replies_are_wanted(const struct zs_client *client)
{
	return !client->reply_off && !client->reply_skip;
}

/* Runs the batch that begins with this step; returns how many steps it did, perhaps none. */
static unsigned run_batch(struct pipeline *p, const struct step *steps)
{
	if (steps->run == 1 || !p->client->authenticated || !replies_are_wanted(p->client))
		return 0;
	if (steps->kind == KIND_SET)
		return run_sets(p, steps, steps->run);
	return run_gets(p, steps, steps->run);
}

static bool must_stop(const struct zs_client *client)
{
	return client->close_asked || client->stalled || client->reply.overflow;
}

/* Runs the steps; returns how many are done. */
static unsigned run_steps(struct pipeline *p)
{
	unsigned i = 0;

	while (i < p->count && !must_stop(p->client)) {
		unsigned done = run_batch(p, &p->steps[i]);

		if (done)
			i += done;
		else if (run_step(p, &p->steps[i]))
			i++;
	}
	return i;
}

static struct zs_resp_limits limits_of(const struct pipeline *p)
{
	struct zs_resp_limits limits = {
		.arguments = ZS_RESP_ARGUMENTS_MAX,
		.bulk = (size_t)zs_node_setting(p->node, ZS_SET_BULK_LIMIT),
		.total = (size_t)zs_node_setting(p->node, ZS_SET_QUERY_LIMIT),
	};

	if (!p->client->authenticated) {
		limits.arguments = UNKNOWN_ARGUMENTS;
		limits.bulk = UNKNOWN_BULK;
	}
	return limits;
}

static void refuse_request(struct pipeline *p)
{
	size_t start = p->reply->used;

	zs_reply_error(p->reply, "ERR %s", p->request.error);
	zs_stats_error(p->worker->stats, p->reply->data + start, p->reply->used - start);
	zs_client_close_after_reply(p->client);
}

size_t zs_pipeline_run(struct zs_client *client, const uint8_t *data, size_t size, size_t output_max)
{
	struct pipeline p; /* not zeroed: the steps are large */
	size_t position = 0;

	p.client = client;
	p.worker = client->worker;
	p.node = client->worker->node;
	p.reply = &client->reply;
	p.slow_ticks = slow_ticks(p.node);
	begin_call(client);
	client->worker->last_ticks = zs_ticks();
	while (position < size && client->reply.used < output_max && !must_stop(client)) {
		struct zs_resp_limits limits = limits_of(&p);
		size_t skipped = 0;
		enum zs_resp_result result = read_ahead(&p, &limits, data + position, size - position, &skipped);
		unsigned done;

		if (p.count)
			prefetch(&p);
		done = run_steps(&p);
		if (done < p.count) {
			if (!client->stalled)
				end_call(&p);
			position += done ? p.steps[done - 1].end : skipped;
			/* What was parsed behind it will be parsed again. */
			zs_resp_reset(&client->parser);
			break;
		}
		end_call(&p);
		position += p.count ? p.steps[p.count - 1].end : skipped;
		if (result == ZS_RESP_ERROR) {
			refuse_request(&p);
			break;
		}
		if (result == ZS_RESP_MORE)
			break;
	}
	if (p.node->warm.store)
		zs_store_settle(p.node->warm.store);
	return position;
}
