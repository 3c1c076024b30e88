/*
 * The handlers of the data commands, for the tables in commands_string.c and commands_generic.c. Each is a
 * zs_handler; the dispatcher has checked the number of arguments.
 */
#ifndef ZS_SERVER_COMMANDS_HANDLERS_H
#define ZS_SERVER_COMMANDS_HANDLERS_H

#include "server/commands/command.h"

/* commands_set.c: whole values */
int zs_handle_set(struct zs_call *call);
int zs_handle_setex(struct zs_call *call);
int zs_handle_psetex(struct zs_call *call);
int zs_handle_setnx(struct zs_call *call);
int zs_handle_getset(struct zs_call *call);
int zs_handle_mset(struct zs_call *call);

/* commands_update.c: values computed from the old one */
int zs_handle_append(struct zs_call *call);
int zs_handle_setrange(struct zs_call *call);
int zs_handle_incr(struct zs_call *call);
int zs_handle_decr(struct zs_call *call);
int zs_handle_incrby(struct zs_call *call);
int zs_handle_decrby(struct zs_call *call);
int zs_handle_incrbyfloat(struct zs_call *call);

/* commands_expire.c: deadlines */
int zs_handle_expire(struct zs_call *call);
int zs_handle_pexpire(struct zs_call *call);
int zs_handle_expireat(struct zs_call *call);
int zs_handle_pexpireat(struct zs_call *call);
int zs_handle_ttl(struct zs_call *call);
int zs_handle_pttl(struct zs_call *call);
int zs_handle_expiretime(struct zs_call *call);
int zs_handle_pexpiretime(struct zs_call *call);
int zs_handle_persist(struct zs_call *call);

/* commands_scan.c: walks over all keys */
int zs_handle_scan(struct zs_call *call);
int zs_handle_keys(struct zs_call *call);
int zs_handle_randomkey(struct zs_call *call);

/* commands_object.c: the subcommands of OBJECT; a table that ends with a NULL name */
extern const struct zs_command zs_commands_object[];

/* commands_group.c: lifetimes that somebody ends */
int zs_handle_drop(struct zs_call *call);
int zs_handle_groups(struct zs_call *call);

#endif
