/* MEMORY: where the bytes are. */
#include "server/commands/arguments.h"
#include "server/commands/result.h"
#include "server/commands/server_handlers.h"
#include "server/node/node.h"

static bool check_samples(struct zs_call *call)
{
	int64_t samples;

	if (call->argc == 3)
		return true;
	if (call->argc != 5 || !zs_argument_is(&call->argv[3], "samples")) {
		zs_argument_syntax_error(call);
		return false;
	}
	if (!zs_argument_integer(call, &call->argv[4], &samples))
		return false;
	if (samples < 0) {
		zs_argument_syntax_error(call);
		return false;
	}
	return true;
}

static int handle_usage(struct zs_call *call)
{
	const struct zs_argument *key = &call->argv[2];
	struct zs_view view;
	size_t value_size;

	if (!check_samples(call))
		return ZS_OK;
	if (zs_get(call->thread, key->data, key->size, ZS_READ_PEEK, &view)) {
		zs_reply_null(call->reply);
		return ZS_OK;
	}
	value_size = view.type == ZS_NUMBER ? sizeof(int64_t) : view.size;
	zs_reply_integer(call->reply, (int64_t)zs_object_cost(key->size, value_size, view.deadline != 0));
	return ZS_OK;
}

static uint64_t used_bytes(const struct zs_stats *s)
{
	return s->arena_bytes - s->free_bytes + s->outside_bytes;
}

struct figure {
	const char *name;
	uint64_t value;
};

static int handle_stats(struct zs_call *call)
{
	struct zs_stats s;

	zs_engine_stats(call->node->engine, &s);

	const uint64_t used = used_bytes(&s);
	const uint64_t overhead = used > s.payload_bytes ? used - s.payload_bytes : 0;
	const struct figure figures[] = {
		{ "total.allocated", used },
		{ "overhead.total", overhead },
		{ "keys.count", s.objects },
		{ "keys.bytes-per-key", s.objects ? used / s.objects : 0 },
		{ "dataset.bytes", s.payload_bytes },
		{ "arena.bytes", s.arena_bytes },
		{ "index.bytes", s.index_bytes },
		{ "slabs.bytes", s.slab_bytes },
		{ "slabs.count", s.slabs },
		{ "slabs.open", s.open_slabs },
		{ "quarantine.bytes", s.quarantine_bytes },
		{ "free.bytes", s.free_bytes },
		{ "outside.bytes", s.outside_bytes },
		{ "groups.count", s.groups },
	};
	const size_t count = sizeof(figures) / sizeof(figures[0]);

	zs_reply_map(call->reply, count + 1);
	for (size_t i = 0; i < count; i++) {
		zs_reply_bulk_text(call->reply, figures[i].name);
		zs_reply_integer(call->reply, (int64_t)figures[i].value);
	}
	zs_reply_bulk_text(call->reply, "dataset.percentage");
	zs_reply_double(call->reply, used ? 100.0 * (double)s.payload_bytes / (double)used : 0);
	return ZS_OK;
}

static unsigned percent(uint64_t part, uint64_t whole)
{
	return whole ? (unsigned)(part * 100 / whole) : 0;
}

static int handle_doctor(struct zs_call *call)
{
	struct zs_reply text;
	struct zs_stats s;
	bool fine = true;

	zs_engine_stats(call->node->engine, &s);
	zs_reply_init(&text, ZS_TEXT_MAX);
	if (s.objects == 0)
		zs_text_printf(&text, "The node holds no object.\n");
	if (s.page_kind && s.page_kind[0] == '4') {
		fine = false;
		zs_text_printf(&text, "Memory is on 4 KB pages; huge pages make reads faster: reserve them "
				      "(vm.nr_hugepages), or let shared memory have transparent ones "
				      "(/sys/kernel/mm/transparent_hugepage/shmem_enabled = advise), and restart.\n");
	}
	if (s.evicted_objects && zs_engine_policy(call->node->engine) != ZS_POLICY_NOEVICTION) {
		fine = false;
		zs_text_printf(&text,
			       "Memory is full: %llu objects were evicted since the start or the last "
			       "CONFIG RESETSTAT. A larger 'memory' keeps more.\n",
			       (unsigned long long)s.evicted_objects);
	}
	if (s.slabs > 1000 && percent(s.payload_bytes, s.slab_bytes) < 75) {
		fine = false;
		zs_text_printf(&text,
			       "Slabs are %u %% full of keys and values. Upkeep merges sparse ones; if this stays, "
			       "objects of many sizes or lifetimes are few each.\n",
			       percent(s.payload_bytes, s.slab_bytes));
	}
	if (fine)
		zs_text_printf(&text, "Nothing is wrong with the memory of this node.\n");
	zs_reply_text(call, &text);
	return ZS_OK;
}

#define COMMAND(name, handler, arity, flags, key, summary)                                      \
	{                                                                                       \
		name, handler, arity, flags, key, key, (key) > 0, "server", "4.0.0", summary, 0 \
	}

const struct zs_command zs_commands_memory[] = {
	COMMAND("doctor", handle_doctor, 2, 0, 0, "Outputs memory problems report"),
	COMMAND("help", zs_handle_help, 2, 0, 0, "Show helpful text about the different subcommands"),
	COMMAND("stats", handle_stats, 2, 0, 0, "Show memory usage details"),
	COMMAND("usage", handle_usage, -3, ZS_CMD_READONLY, 2, "Estimate the memory usage of a key"),
	{ 0 },
};
