/*
 * From the words of a request to a handler; the parts of zs_command_execute, for those who have work to do between
 * them.
 */
#ifndef ZS_SERVER_COMMANDS_DISPATCH_H
#define ZS_SERVER_COMMANDS_DISPATCH_H

#include "server/commands/command.h"

/*
 * Checks that call->command (NULL: unknown) exists and that the number of arguments is right, and goes on to the
 * subcommand. False: the call was answered with an error. call->command is the one that it is about, if any.
 */
bool zs_command_resolve(struct zs_call *call);

/* Runs a resolved call, repeatedly while memory is in quarantine. ZS_OK, ZS_EAGAIN if that lasts, or ZS_EWAIT. */
int zs_command_run(struct zs_call *call);

/* A number below ZS_COMMANDS_MAX for each command and subcommand of the table. */
unsigned zs_command_id(const struct zs_command *command);

/* How many such numbers there are, and the command of one. */
unsigned zs_command_ids(void);
const struct zs_command *zs_command_by_id(unsigned id);

/* The command that a subcommand belongs to, or NULL. */
const struct zs_command *zs_command_parent(const struct zs_command *command);

/* "get" or "config|set", for people; `size` 64 is enough. */
void zs_command_full_name(const struct zs_command *command, char separator, char *text, size_t size);

/* The subcommand of that name, in any case, or NULL. */
const struct zs_command *zs_subcommand_find(const struct zs_command *parent, const uint8_t *name, size_t size);

#endif
