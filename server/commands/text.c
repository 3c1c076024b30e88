/* Texts for people: INFO, lists, help. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/commands/dispatch.h"
#include "server/commands/server_handlers.h"

void zs_text_printf(struct zs_reply *text, const char *format, ...)
{
	char line[1024];
	va_list list;
	int size;

	va_start(list, format);
	size = vsnprintf(line, sizeof(line), format, list);
	va_end(list);
	if (size > 0)
		zs_reply_raw(text, line, (size_t)size < sizeof(line) ? (size_t)size : sizeof(line) - 1);
}

void zs_reply_text(struct zs_call *call, struct zs_reply *text)
{
	if (text->overflow)
		zs_reply_error(call->reply, "ERR not enough memory for this reply");
	else
		zs_reply_verbatim(call->reply, text->data, text->used);
	zs_reply_free(text);
}

static void reply_name(struct zs_reply *reply, const char *name, const char *rest)
{
	char line[160];
	size_t i;

	for (i = 0; i < 32 && name[i]; i++)
		line[i] = name[i] >= 'a' && name[i] <= 'z' ? (char)(name[i] - 'a' + 'A') : name[i];
	snprintf(line + i, sizeof(line) - i, "%s", rest);
	zs_reply_status(reply, line);
}

int zs_handle_help(struct zs_call *call)
{
	const struct zs_command *parent = zs_command_parent(call->command);
	size_t count = 0;
	char line[160];

	for (const struct zs_command *s = parent->subcommands; s->name; s++)
		count++;
	zs_reply_array(call->reply, 1 + 2 * count);
	reply_name(call->reply, parent->name, " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
	for (const struct zs_command *s = parent->subcommands; s->name; s++) {
		reply_name(call->reply, s->name, "");
		snprintf(line, sizeof(line), "    %s", s->summary);
		zs_reply_status(call->reply, line);
	}
	return ZS_OK;
}
