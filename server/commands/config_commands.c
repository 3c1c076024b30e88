/* CONFIG: the settings while the node runs, under their own names and those that Redis clients know. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/log.h"
#include "server/commands/arguments.h"
#include "server/commands/glob.h"
#include "server/commands/server_handlers.h"
#include "server/node/node.h"

/* What clients of Redis ask for. A setting of ours under another name, or a fixed answer. */
struct alias {
	const char *name;
	int setting; /* -1: fixed */
	const char *value;
};

static const struct alias aliases[] = {
	{ "maxmemory", ZS_SET_MEMORY, 0 },
	{ "maxmemory-policy", ZS_SET_POLICY, 0 },
	{ "save", -1, "" },
	{ "appendonly", -1, "no" },
	{ "databases", -1, "1" },
	{ "cluster-enabled", -1, "no" },
	{ "io-threads", ZS_SET_WORKERS, 0 },
};

#define ALIASES (sizeof(aliases) / sizeof(aliases[0]))

/* Our policies by Redis' names for them. Ours without a counterpart has a name of the same form. */
static const char *const policy_names[][2] = {
	{ "s3fifo", "allkeys-s3fifo" },
	{ "lru", "allkeys-lru" },
	{ "lfu", "allkeys-lfu" },
	{ "noeviction", "noeviction" },
};

static const char *policy_for_redis(const char *ours)
{
	for (size_t i = 0; i < sizeof(policy_names) / sizeof(policy_names[0]); i++) {
		if (strcmp(policy_names[i][0], ours) == 0)
			return policy_names[i][1];
	}
	return ours;
}

static const char *policy_from_redis(const char *theirs)
{
	for (size_t i = 0; i < sizeof(policy_names) / sizeof(policy_names[0]); i++) {
		if (strcasecmp(policy_names[i][1], theirs) == 0)
			return policy_names[i][0];
	}
	return theirs;
}

/* ---- GET ---- */

/* Byte counts are plain numbers here, because clients compute with them. */
static void print_setting(struct zs_node *node, int setting, char *text)
{
	enum zs_option_type type = zs_settings[setting].type;

	if (type == ZS_OPTION_BYTES)
		snprintf(text, ZS_OPTION_TEXT_MAX, "%lld", (long long)zs_node_setting(node, (enum zs_setting)setting));
	else
		zs_options_print(&node->options, (unsigned)setting, text);
}

static void print_alias(struct zs_node *node, const struct alias *alias, char *text)
{
	char ours[ZS_OPTION_TEXT_MAX];

	if (alias->setting < 0) {
		snprintf(text, ZS_OPTION_TEXT_MAX, "%s", alias->value);
	} else if (alias->setting == ZS_SET_POLICY) {
		print_setting(node, alias->setting, ours);
		snprintf(text, ZS_OPTION_TEXT_MAX, "%s", policy_for_redis(ours));
	} else {
		print_setting(node, alias->setting, text);
	}
}

static const char *name_at(size_t i)
{
	return i < ZS_SET_COUNT ? zs_settings[i].name : aliases[i - ZS_SET_COUNT].name;
}

static void print_at(struct zs_node *node, size_t i, char *text)
{
	if (i < ZS_SET_COUNT)
		print_setting(node, (int)i, text);
	else
		print_alias(node, &aliases[i - ZS_SET_COUNT], text);
}

static bool pattern_matches(const struct zs_argument *pattern, const char *name)
{
	char lower[ZS_OPTION_TEXT_MAX];
	size_t size = pattern->size < sizeof(lower) ? pattern->size : sizeof(lower);

	for (size_t i = 0; i < size; i++) {
		uint8_t c = pattern->data[i];

		lower[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
	}
	return zs_glob_match(lower, size, name, strlen(name));
}

/* The argument that asks for this name, or NULL. */
static const struct zs_argument *asked_by(const struct zs_call *call, const char *name)
{
	for (size_t i = 2; i < call->argc; i++) {
		if (pattern_matches(&call->argv[i], name))
			return &call->argv[i];
	}
	return 0;
}

static int handle_get(struct zs_call *call)
{
	const struct zs_argument *asked[ZS_SET_COUNT + ALIASES];
	char value[ZS_OPTION_TEXT_MAX];
	size_t count = 0;

	for (size_t i = 0; i < ZS_SET_COUNT + ALIASES; i++) {
		asked[i] = asked_by(call, name_at(i));
		count += asked[i] != 0;
	}
	zs_reply_map(call->reply, count);
	for (size_t i = 0; i < ZS_SET_COUNT + ALIASES; i++) {
		if (!asked[i])
			continue;
		/* A name comes back as it was written. */
		if (zs_argument_is(asked[i], name_at(i)))
			zs_reply_bulk(call->reply, asked[i]->data, asked[i]->size);
		else
			zs_reply_bulk_text(call->reply, name_at(i));
		print_at(call->node, i, value);
		zs_reply_bulk_text(call->reply, value);
	}
	return ZS_OK;
}

/* ---- SET ---- */

#define PAIRS_MAX 64

struct change {
	char name[64];
	char value[ZS_OPTION_TEXT_MAX];
	int setting;
};

static bool refuse(struct zs_call *call, const char *name, const char *why)
{
	zs_reply_error(call->reply, "ERR CONFIG SET failed (possibly related to argument '%s') - %s", name, why);
	return false;
}

static bool refuse_unknown(struct zs_call *call, const char *name)
{
	zs_reply_error(call->reply, "ERR Unknown option or number of arguments for CONFIG SET - '%s'", name);
	return false;
}

static bool find_setting(struct zs_call *call, struct change *change)
{
	change->setting = zs_options_find(&call->node->options, change->name);
	if (change->setting >= 0)
		return true;
	for (size_t i = 0; i < ALIASES; i++) {
		if (strcasecmp(aliases[i].name, change->name) != 0)
			continue;
		change->setting = aliases[i].setting;
		if (change->setting < 0)
			return refuse(call, change->name, "can't set immutable config");
		if (change->setting == ZS_SET_POLICY)
			snprintf(change->value, sizeof(change->value), "%.64s", policy_from_redis(change->value));
		return true;
	}
	return refuse_unknown(call, change->name);
}

/* A copy with a terminator; what is too long or has a zero byte is no name or value of ours. */
static bool copy(char *to, size_t size, const struct zs_argument *from)
{
	if (from->size >= size || memchr(from->data, 0, from->size))
		return false;
	memcpy(to, from->data, from->size);
	to[from->size] = 0;
	return true;
}

static bool check_change(struct zs_call *call, const struct zs_argument *pair, struct change *change)
{
	char why[ZS_OPTION_WHY_MAX];

	if (!copy(change->name, sizeof(change->name), &pair[0]))
		return refuse_unknown(call, "...");
	if (!copy(change->value, sizeof(change->value), &pair[1]))
		return refuse(call, change->name, "the value is too long or has a zero byte");
	if (!find_setting(call, change))
		return false;
	if (!(zs_settings[change->setting].flags & ZS_OPTION_RUNTIME))
		return refuse(call, change->name, "can't set immutable config");
	if (zs_options_check(&call->node->options, (unsigned)change->setting, change->value, why, sizeof(why)))
		return refuse(call, change->name, why);
	return true;
}

/* What takes effect by more than being stored. */
static void apply(struct zs_node *node, int setting)
{
	if (setting == ZS_SET_POLICY)
		zs_engine_set_policy(node->engine, (enum zs_policy)zs_node_setting(node, ZS_SET_POLICY));
	if (setting == ZS_SET_LOGLEVEL)
		zs_log_set_level((enum zs_log_level)zs_node_setting(node, ZS_SET_LOGLEVEL));
}

/* More clients may need a higher limit on open files, which the system may refuse. */
static bool files_suffice(struct zs_call *call, const struct change *change)
{
	uint64_t wanted;

	if (change->setting != ZS_SET_MAXCLIENTS)
		return true;
	wanted = strtoull(change->value, 0, 10);
	if (zs_node_raise_files_limit(call->node, wanted) >= wanted)
		return true;
	return refuse(call, change->name, "The operating system is not able to handle the specified number of clients");
}

static bool check_all(struct zs_call *call, struct change *changes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!check_change(call, call->argv + 2 + 2 * i, &changes[i]))
			return false;
		for (size_t j = 0; j < i; j++) {
			if (changes[j].setting == changes[i].setting)
				return refuse(call, changes[i].name, "duplicate parameter");
		}
	}
	for (size_t i = 0; i < count; i++) {
		if (!files_suffice(call, &changes[i]))
			return false;
	}
	return true;
}

/* All or nothing. */
static int handle_set(struct zs_call *call)
{
	size_t count = (call->argc - 2) / 2;
	struct change *changes;
	char why[ZS_OPTION_WHY_MAX];

	if (call->argc % 2 || count > PAIRS_MAX) {
		zs_argument_syntax_error(call);
		return ZS_OK;
	}
	changes = malloc(count * sizeof(*changes));
	if (!changes) {
		zs_reply_error(call->reply, "ERR not enough memory");
		return ZS_OK;
	}
	if (check_all(call, changes, count)) {
		for (size_t i = 0; i < count; i++) {
			zs_options_set(&call->node->options, (unsigned)changes[i].setting, changes[i].value, why,
				       sizeof(why));
			apply(call->node, changes[i].setting);
			zs_log(
			    ZS_LOG_INFO, "setting changed", zs_log_text("name", changes[i].name),
			    zs_log_text("value", changes[i].setting == ZS_SET_REQUIREPASS ? "***" : changes[i].value));
		}
		zs_reply_ok(call->reply);
	}
	free(changes);
	return ZS_OK;
}

static int handle_resetstat(struct zs_call *call)
{
	zs_node_reset_stats(call->node);
	zs_reply_ok(call->reply);
	return ZS_OK;
}

#define COMMAND(name, handler, arity, since, summary)                                                     \
	{                                                                                                 \
		name, handler, arity, ZS_CMD_ADMIN | ZS_CMD_LOADING, 0, 0, 0, "server", since, summary, 0 \
	}

const struct zs_command zs_commands_config[] = {
	COMMAND("get", handle_get, -3, "2.0.0", "Get the values of configuration parameters"),
	COMMAND("help", zs_handle_help, 2, "5.0.0", "Show helpful text about the different subcommands"),
	COMMAND("resetstat", handle_resetstat, 2, "2.0.0", "Reset the stats returned by INFO"),
	COMMAND("set", handle_set, -4, "2.0.0", "Set configuration parameters to the given values"),
	{ 0 },
};
