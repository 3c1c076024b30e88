/*
 * The handlers of the commands about connections and the server, for the tables in commands_connection.c and
 * commands_server.c, and what several of them share.
 */
#ifndef ZS_SERVER_COMMANDS_SERVER_HANDLERS_H
#define ZS_SERVER_COMMANDS_SERVER_HANDLERS_H

#include "server/commands/command.h"

/* Tables of subcommands; each ends with a NULL name. */
extern const struct zs_command zs_commands_client[];  /* client_commands.c */
extern const struct zs_command zs_commands_config[];  /* config_commands.c */
extern const struct zs_command zs_commands_command[]; /* command_commands.c */
extern const struct zs_command zs_commands_latency[]; /* latency_commands.c */
extern const struct zs_command zs_commands_slowlog[]; /* latency_commands.c */
extern const struct zs_command zs_commands_memory[];  /* memory_commands.c */

/* COMMAND without a subcommand. */
int zs_handle_command(struct zs_call *call);

/* session_commands.c */
int zs_handle_attach(struct zs_call *call);
int zs_handle_lease(struct zs_call *call);
int zs_handle_fence(struct zs_call *call);
int zs_handle_touched(struct zs_call *call);

/* info.c */
int zs_handle_info(struct zs_call *call);

/* HELP of any container: its subcommands with their summaries. */
int zs_handle_help(struct zs_call *call);

/* Appends formatted text to a buffer that is used for text, not for replies. */
void zs_text_printf(struct zs_reply *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Sends the collected text as a verbatim string, and frees it. */
void zs_reply_text(struct zs_call *call, struct zs_reply *text);

/* Most bytes that such a text may have. */
#define ZS_TEXT_MAX (256u << 20)

/* Is there a password at all? */
bool zs_password_is_set(struct zs_node *node);

#endif
