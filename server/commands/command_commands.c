/* COMMAND: the table of commands, for clients. */
#include <stdio.h>
#include <string.h>

#include "server/commands/arguments.h"
#include "server/commands/dispatch.h"
#include "server/commands/glob.h"
#include "server/commands/server_handlers.h"

static size_t count_subcommands(const struct zs_command *command)
{
	size_t count = 0;

	for (const struct zs_command *s = command->subcommands; s && s->name; s++)
		count++;
	return count;
}

/* ---- INFO ---- */

#define WORDS_MAX 16

struct words {
	const char *list[WORDS_MAX];
	size_t count;
};

static void add_if(struct words *words, bool condition, const char *word)
{
	if (condition)
		words->list[words->count++] = word;
}

static void reply_words(struct zs_reply *reply, const struct words *words)
{
	zs_reply_set(reply, words->count);
	for (size_t i = 0; i < words->count; i++)
		zs_reply_status(reply, words->list[i]);
}

static void collect_flags(const struct zs_command *c, struct words *words)
{
	words->count = 0;
	add_if(words, c->flags & ZS_CMD_WRITE, "write");
	add_if(words, c->flags & ZS_CMD_READONLY, "readonly");
	add_if(words, c->flags & ZS_CMD_DENYOOM, "denyoom");
	add_if(words, c->flags & ZS_CMD_ADMIN, "admin");
	add_if(words, c->flags & ZS_CMD_LOADING, "loading");
	add_if(words, c->flags & ZS_CMD_LOADING, "stale");
	add_if(words, c->flags & ZS_CMD_FAST, "fast");
	add_if(words, c->flags & ZS_CMD_NO_AUTH, "no_auth");
}

static void collect_categories(const struct zs_command *c, struct words *words)
{
	words->count = 0;
	add_if(words, strcmp(c->group, "generic") == 0, "@keyspace");
	add_if(words, strcmp(c->group, "string") == 0, "@string");
	add_if(words, strcmp(c->group, "connection") == 0, "@connection");
	add_if(words, c->flags & ZS_CMD_READONLY, "@read");
	add_if(words, c->flags & ZS_CMD_WRITE, "@write");
	add_if(words, c->flags & ZS_CMD_ADMIN, "@admin");
	add_if(words, c->flags & ZS_CMD_ADMIN, "@dangerous");
	add_if(words, c->flags & ZS_CMD_FAST, "@fast");
	add_if(words, !(c->flags & ZS_CMD_FAST), "@slow");
}

static void reply_key_specs(struct zs_reply *r, const struct zs_command *c)
{
	if (c->first_key == 0) {
		zs_reply_set(r, 0);
		return;
	}
	zs_reply_set(r, 1);
	zs_reply_map(r, 3);
	zs_reply_bulk_text(r, "flags");
	zs_reply_set(r, 1);
	zs_reply_status(r, c->flags & ZS_CMD_WRITE ? "RW" : "RO");
	zs_reply_bulk_text(r, "begin_search");
	zs_reply_map(r, 2);
	zs_reply_bulk_text(r, "type");
	zs_reply_bulk_text(r, "index");
	zs_reply_bulk_text(r, "spec");
	zs_reply_map(r, 1);
	zs_reply_bulk_text(r, "index");
	zs_reply_integer(r, c->first_key);
	zs_reply_bulk_text(r, "find_keys");
	zs_reply_map(r, 2);
	zs_reply_bulk_text(r, "type");
	zs_reply_bulk_text(r, "range");
	zs_reply_bulk_text(r, "spec");
	zs_reply_map(r, 3);
	zs_reply_bulk_text(r, "lastkey");
	zs_reply_integer(r, c->last_key < 0 ? c->last_key : c->last_key - c->first_key);
	zs_reply_bulk_text(r, "keystep");
	zs_reply_integer(r, c->key_step);
	zs_reply_bulk_text(r, "limit");
	zs_reply_integer(r, 0);
}

static void reply_own_info(struct zs_reply *r, const struct zs_command *c)
{
	struct words words;
	char name[64];

	zs_command_full_name(c, '|', name, sizeof(name));
	zs_reply_array(r, 10);
	zs_reply_bulk_text(r, name);
	zs_reply_integer(r, c->arity);
	collect_flags(c, &words);
	reply_words(r, &words);
	zs_reply_integer(r, c->first_key);
	zs_reply_integer(r, c->last_key);
	zs_reply_integer(r, c->key_step);
	collect_categories(c, &words);
	reply_words(r, &words);
	zs_reply_set(r, 0); /* tips */
	reply_key_specs(r, c);
}

static void reply_info(struct zs_reply *r, const struct zs_command *c)
{
	reply_own_info(r, c);
	zs_reply_array(r, count_subcommands(c));
	for (const struct zs_command *s = c->subcommands; s && s->name; s++) {
		reply_own_info(r, s);
		zs_reply_array(r, 0);
	}
}

/* "get", or "config|get" */
static const struct zs_command *find_full(const struct zs_argument *name)
{
	const uint8_t *bar = memchr(name->data, '|', name->size);
	const struct zs_command *parent;

	if (!bar)
		return zs_command_find(name->data, name->size);
	parent = zs_command_find(name->data, (size_t)(bar - name->data));
	if (!parent)
		return 0;
	return zs_subcommand_find(parent, bar + 1, (size_t)(name->data + name->size - bar - 1));
}

int zs_handle_command(struct zs_call *call)
{
	size_t count;
	const struct zs_command *table = zs_command_table(&count);

	zs_reply_array(call->reply, count);
	for (size_t i = 0; i < count; i++)
		reply_info(call->reply, &table[i]);
	return ZS_OK;
}

static int handle_info(struct zs_call *call)
{
	if (call->argc == 2)
		return zs_handle_command(call);
	zs_reply_array(call->reply, call->argc - 2);
	for (size_t i = 2; i < call->argc; i++) {
		const struct zs_command *command = find_full(&call->argv[i]);

		if (command)
			reply_info(call->reply, command);
		else
			zs_reply_null(call->reply);
	}
	return ZS_OK;
}

/* ---- DOCS ---- */

static void reply_docs(struct zs_reply *r, const struct zs_command *c)
{
	char name[64];
	size_t subcommands = count_subcommands(c);

	zs_command_full_name(c, '|', name, sizeof(name));
	zs_reply_bulk_text(r, name);
	zs_reply_map(r, 3 + (subcommands > 0));
	zs_reply_bulk_text(r, "summary");
	zs_reply_bulk_text(r, c->summary);
	zs_reply_bulk_text(r, "since");
	zs_reply_bulk_text(r, c->since);
	zs_reply_bulk_text(r, "group");
	zs_reply_bulk_text(r, c->group);
	if (!subcommands)
		return;
	zs_reply_bulk_text(r, "subcommands");
	zs_reply_map(r, subcommands);
	for (const struct zs_command *s = c->subcommands; s->name; s++)
		reply_docs(r, s); /* they have none themselves */
}

static int handle_docs(struct zs_call *call)
{
	size_t count;
	const struct zs_command *table = zs_command_table(&count);
	size_t known = 0;

	if (call->argc == 2) {
		zs_reply_map(call->reply, count);
		for (size_t i = 0; i < count; i++)
			reply_docs(call->reply, &table[i]);
		return ZS_OK;
	}
	for (size_t i = 2; i < call->argc; i++)
		known += find_full(&call->argv[i]) != 0;
	zs_reply_map(call->reply, known);
	for (size_t i = 2; i < call->argc; i++) {
		const struct zs_command *command = find_full(&call->argv[i]);

		if (command)
			reply_docs(call->reply, command);
	}
	return ZS_OK;
}

/* ---- COUNT, LIST, GETKEYS ---- */

static int handle_count(struct zs_call *call)
{
	size_t count;

	zs_command_table(&count);
	zs_reply_integer(call->reply, (int64_t)count);
	return ZS_OK;
}

enum filter_kind { FILTER_NONE, FILTER_MODULE, FILTER_CATEGORY, FILTER_PATTERN };

static bool in_category(const struct zs_command *c, const struct zs_argument *category)
{
	struct words words;

	collect_categories(c, &words);
	for (size_t i = 0; i < words.count; i++) {
		if (zs_argument_is(category, words.list[i] + 1))
			return true;
	}
	return false;
}

static bool is_listed(const struct zs_command *c, const char *name, enum filter_kind kind,
		      const struct zs_argument *value)
{
	switch (kind) {
	case FILTER_NONE:
		return true;
	case FILTER_MODULE:
		return false;
	case FILTER_CATEGORY:
		return in_category(c, value);
	case FILTER_PATTERN:
		return zs_glob_match(value->data, value->size, name, strlen(name));
	}
	return false;
}

static bool parse_filter(const struct zs_call *call, enum filter_kind *kind)
{
	*kind = FILTER_NONE;
	if (call->argc == 2)
		return true;
	if (call->argc != 5 || !zs_argument_is(&call->argv[2], "filterby"))
		return false;
	if (zs_argument_is(&call->argv[3], "module"))
		*kind = FILTER_MODULE;
	else if (zs_argument_is(&call->argv[3], "aclcat"))
		*kind = FILTER_CATEGORY;
	else if (zs_argument_is(&call->argv[3], "pattern"))
		*kind = FILTER_PATTERN;
	return *kind != FILTER_NONE;
}

/* With a filter, subcommands are listed too, as Redis does it. */
static int handle_list(struct zs_call *call)
{
	unsigned total = zs_command_ids();
	enum filter_kind kind;
	size_t count = 0;
	char name[64];

	if (!parse_filter(call, &kind)) {
		zs_argument_syntax_error(call);
		return ZS_OK;
	}
	for (int pass = 0; pass < 2; pass++) {
		if (pass)
			zs_reply_set(call->reply, count);
		for (unsigned i = 0; i < total; i++) {
			const struct zs_command *c = zs_command_by_id(i);

			if (!c || (kind == FILTER_NONE && zs_command_parent(c)))
				continue;
			zs_command_full_name(c, '|', name, sizeof(name));
			if (!is_listed(c, name, kind, &call->argv[4]))
				continue;
			if (pass)
				zs_reply_bulk_text(call->reply, name);
			else
				count++;
		}
	}
	return ZS_OK;
}

static int handle_getkeys(struct zs_call *call)
{
	const struct zs_command *c = zs_command_find(call->argv[2].data, call->argv[2].size);
	size_t argc = call->argc - 2;
	size_t last;
	size_t count;

	if (c && c->subcommands && argc > 1)
		c = zs_subcommand_find(c, call->argv[3].data, call->argv[3].size);
	if (!c) {
		zs_reply_error(call->reply, "ERR Invalid command specified");
	} else if (c->first_key == 0) {
		zs_reply_error(call->reply, "ERR The command has no key arguments");
	} else if (c->arity >= 0 ? argc != (size_t)c->arity : argc < (size_t)-c->arity) {
		zs_reply_error(call->reply, "ERR Invalid number of arguments specified for command");
	} else {
		last = c->last_key < 0 ? argc - (size_t)-c->last_key : (size_t)c->last_key;
		count = (last - (size_t)c->first_key) / (size_t)c->key_step + 1;
		zs_reply_array(call->reply, count);
		for (size_t i = 0; i < count; i++) {
			const struct zs_argument *key = &call->argv[2 + (size_t)c->first_key + i * (size_t)c->key_step];

			zs_reply_bulk(call->reply, key->data, key->size);
		}
	}
	return ZS_OK;
}

#define COMMAND(name, handler, arity, since, summary)                                      \
	{                                                                                  \
		name, handler, arity, ZS_CMD_LOADING, 0, 0, 0, "server", since, summary, 0 \
	}

const struct zs_command zs_commands_command[] = {
	COMMAND("count", handle_count, 2, "2.8.13", "Get total number of Redis commands"),
	COMMAND("docs", handle_docs, -2, "7.0.0", "Get array of specific Redis command documentation"),
	COMMAND("getkeys", handle_getkeys, -4, "2.8.13", "Extract keys given a full Redis command"),
	COMMAND("help", zs_handle_help, 2, "5.0.0", "Show helpful text about the different subcommands"),
	COMMAND("info", handle_info, -2, "2.8.13",
		"Get array of specific Redis command details, or all when no argument is given."),
	COMMAND("list", handle_list, -2, "7.0.0", "Get an array of Redis command names"),
	{ 0 },
};
