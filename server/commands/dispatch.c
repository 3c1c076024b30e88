#include "server/commands/dispatch.h"

#include <assert.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/engine/warm.h"
#include "server/net/client.h"
#include "server/node/stats.h"

/*
 * All commands in one array: those of the four tables first, behind them the subcommands of each, ended by a NULL name.
 * The index is a hash table without collisions: its multiplier is searched for when it is built.
 */
#define SLOT_BITS 11
#define SLOTS (1u << SLOT_BITS)
#define NAME_MAX_SIZE 16

/* A name of up to 16 bytes in lower case, as two words. */
struct name {
	uint64_t low;
	uint64_t high;
	size_t size;
};

static struct zs_command commands[ZS_COMMANDS_MAX];
static struct name names[ZS_COMMANDS_MAX];
static int16_t parents[ZS_COMMANDS_MAX];
static unsigned top_count;
static unsigned total_count;
static uint8_t slots[SLOTS]; /* command + 1, of top commands only: fewer than 255 */
static uint64_t multiplier;

/* ---- names ---- */

static inline uint64_t lower(uint64_t x)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t low7 = x & (0x7f * ones);
	uint64_t above_z = low7 + (0x7f - 'Z') * ones;
	uint64_t from_a = low7 + (0x80 - 'A') * ones;
	uint64_t letters = (from_a & ~above_z & ~x) & (0x80 * ones);

	return x | letters >> 2;
}

/* The bytes of a name, size: 1 to 8. They may be read twice, to the same place. */
static inline uint64_t load(const uint8_t *p, size_t size)
{
	uint32_t low;
	uint32_t high;

	if (size >= 4) {
		memcpy(&low, p, 4);
		memcpy(&high, p + size - 4, 4);
		return low | (uint64_t)high << 8 * (size - 4);
	}
	return p[0] | (uint64_t)p[size / 2] << 8 * (size / 2) | (uint64_t)p[size - 1] << 8 * (size - 1);
}

/* size: 1 to NAME_MAX_SIZE */
static inline __attribute__((always_inline)) struct name name_of(const uint8_t *p, size_t size)
{
	struct name n = { 0, 0, size };

	if (size <= 8) {
		n.low = lower(load(p, size));
	} else {
		n.low = lower(load(p, 8));
		n.high = lower(load(p + 8, size - 8));
	}
	return n;
}

static inline bool same_name(const struct name *a, const struct name *b)
{
	return !((a->low ^ b->low) | (a->high ^ b->high) | (a->size ^ b->size));
}

static inline unsigned slot_of(struct name n)
{
	return (unsigned)((n.low ^ n.high * 31) * multiplier >> (64 - SLOT_BITS));
}

/* ---- building ---- */

static unsigned append(const struct zs_command *table, int parent)
{
	unsigned first = total_count;

	for (;; table++) {
		if (total_count == ZS_COMMANDS_MAX)
			abort(); /* ZS_COMMANDS_MAX is too small for the tables */
		parents[total_count] = (int16_t)parent;
		commands[total_count] = *table;
		if (table->name) {
			size_t size = strlen(table->name);

			assert(size && size <= NAME_MAX_SIZE);
			names[total_count] = name_of((const uint8_t *)table->name, size);
		} else if (parent < 0) {
			break; /* the next table goes on here */
		}
		total_count++;
		if (!table->name)
			break;
	}
	return first;
}

static bool try_multiplier(void)
{
	memset(slots, 0, sizeof(slots));
	for (unsigned i = 0; i < top_count; i++) {
		unsigned slot = slot_of(names[i]);

		if (slots[slot])
			return false;
		slots[slot] = (uint8_t)(i + 1);
	}
	return true;
}

/* Before main: the tables never change, and lookups need not ask whether this was done. */
__attribute__((constructor)) static void build(void)
{
	uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);

	append(zs_commands_connection, -1);
	append(zs_commands_string, -1);
	append(zs_commands_generic, -1);
	append(zs_commands_server, -1);
	top_count = total_count;
	for (unsigned i = 0; i < top_count; i++) {
		if (commands[i].subcommands)
			commands[i].subcommands = commands + append(commands[i].subcommands, (int)i);
	}
	do {
		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		multiplier = seed | 1;
	} while (!try_multiplier());
}

/* ---- finding ---- */

const struct zs_command *zs_command_find(const uint8_t *name, size_t size)
{
	struct name n;
	unsigned i;

	if (size == 0 || size > NAME_MAX_SIZE)
		return 0;
	n = name_of(name, size);
	i = slots[slot_of(n)];
	return i && same_name(&names[i - 1], &n) ? &commands[i - 1] : 0;
}

const struct zs_command *zs_subcommand_find(const struct zs_command *parent, const uint8_t *name, size_t size)
{
	struct name n;

	if (!parent->subcommands || size == 0 || size > NAME_MAX_SIZE)
		return 0;
	n = name_of(name, size);
	for (const struct zs_command *s = parent->subcommands; s->name; s++) {
		unsigned i = (unsigned)(s - commands);

		if (same_name(&names[i], &n))
			return s;
	}
	return 0;
}

const struct zs_command *zs_command_table(size_t *count)
{
	*count = top_count;
	return commands;
}

unsigned zs_command_id(const struct zs_command *command)
{
	return (unsigned)(command - commands);
}

unsigned zs_command_ids(void)
{
	return total_count;
}

const struct zs_command *zs_command_by_id(unsigned id)
{
	return commands[id].name ? &commands[id] : 0;
}

const struct zs_command *zs_command_parent(const struct zs_command *command)
{
	int parent = parents[command - commands];

	return parent < 0 ? 0 : &commands[parent];
}

void zs_command_full_name(const struct zs_command *command, char separator, char *text, size_t size)
{
	const struct zs_command *parent = zs_command_parent(command);

	if (parent)
		snprintf(text, size, "%s%c%s", parent->name, separator, command->name);
	else
		snprintf(text, size, "%s", command->name);
}

/* ---- errors ---- */

static void reply_unknown(struct zs_call *call)
{
	const struct zs_argument *name = &call->argv[0];
	char arguments[192];
	size_t used = 0;

	arguments[0] = 0;
	for (size_t i = 1; i < call->argc && used < 128; i++) {
		size_t room = 128 - used;
		size_t size = call->argv[i].size < room ? call->argv[i].size : room;

		used += (size_t)snprintf(arguments + used, sizeof(arguments) - used, "'%.*s' ", (int)size,
					 (const char *)call->argv[i].data);
	}
	zs_reply_error(call->reply, "ERR unknown command '%.*s', with args beginning with: %s",
		       (int)(name->size < 128 ? name->size : 128), (const char *)name->data, arguments);
}

static void reply_unknown_subcommand(struct zs_call *call)
{
	const struct zs_argument *name = &call->argv[1];
	char parent[32];

	snprintf(parent, sizeof(parent), "%s", call->command->name);
	for (char *p = parent; *p; p++) {
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p - 'a' + 'A');
	}
	zs_reply_error(call->reply, "ERR unknown subcommand '%.*s'. Try %s HELP.",
		       (int)(name->size < 128 ? name->size : 128), (const char *)name->data, parent);
}

static bool arity_is_right(const struct zs_command *command, size_t argc)
{
	return command->arity >= 0 ? argc == (size_t)command->arity : argc >= (size_t)-command->arity;
}

static bool refuse_arity(struct zs_call *call)
{
	char name[64];

	zs_command_full_name(call->command, '|', name, sizeof(name));
	zs_reply_error(call->reply, "ERR wrong number of arguments for '%s' command", name);
	return false;
}

/* ---- running ---- */

bool zs_command_resolve(struct zs_call *call)
{
	const struct zs_command *subcommand;

	if (!call->command) {
		reply_unknown(call);
		return false;
	}
	if (!arity_is_right(call->command, call->argc))
		return refuse_arity(call);
	if (!call->command->subcommands || call->argc < 2)
		return true;
	subcommand = zs_subcommand_find(call->command, call->argv[1].data, call->argv[1].size);
	if (!subcommand) {
		reply_unknown_subcommand(call);
		return false;
	}
	call->command = subcommand;
	return arity_is_right(subcommand, call->argc) || refuse_arity(call);
}

/*
 * Runs the handler. If it needed something that is on flash, what it replied is void, whatever it is: nothing has
 * changed, and it will run again.
 */
static int run_once(struct zs_call *call)
{
	size_t start = call->reply->used;
	int result;

	zs_thread_begin_reads(call->thread);
	result = call->command->handler(call);
	if (!zs_thread_warm_wanted(call->thread))
		return result;
	zs_thread_undo_reads(call->thread);
	call->reply->used = start;
	if (!call->client || !zs_client_asked_too_much(call->client))
		return ZS_EWARM;
	zs_reply_error(call->reply, "ERR too many objects of this command are on flash; ask for fewer keys at a time");
	return ZS_OK;
}

int zs_command_run(struct zs_call *call)
{
	const unsigned tries = 32;
	const unsigned upkeep_us = 100;
	int result = run_once(call);

	for (unsigned i = 0; result == ZS_EAGAIN && i < tries; i++) {
		zs_thread_upkeep(call->thread, upkeep_us);
		sched_yield(); /* others have to pass a quiescent point */
		result = run_once(call);
	}
	if (call->client && (result == ZS_OK || result == ZS_EAGAIN))
		memset(&call->client->progress, 0, sizeof(call->client->progress));
	return result;
}

int zs_command_execute(struct zs_call *call)
{
	call->command = zs_command_find(call->argv[0].data, call->argv[0].size);
	if (!zs_command_resolve(call))
		return ZS_OK;
	return zs_command_run(call);
}
