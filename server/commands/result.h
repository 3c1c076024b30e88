/*
 * What the engine returned, as a reply: values, and errors in Redis' words.
 */
#ifndef ZS_SERVER_COMMANDS_RESULT_H
#define ZS_SERVER_COMMANDS_RESULT_H

#include <stddef.h>
#include <stdint.h>

#include "server/commands/command.h"
#include "server/commands/numbers.h"

struct zs_text {
	const uint8_t *data;
	size_t size;
};

/* The bytes of a value. Those of a number are printed to `digits`, of ZS_INTEGER_MAX bytes. */
static inline struct zs_text zs_value_text(const struct zs_view *view, uint8_t *digits)
{
	if (view->type == ZS_NUMBER)
		return (struct zs_text){ digits, zs_integer_format(digits, view->number) };
	return (struct zs_text){ view->data, view->size };
}

/* A value as a bulk string. */
static inline void zs_reply_value(struct zs_reply *reply, const struct zs_view *view)
{
	if (view->type == ZS_NUMBER)
		zs_reply_bulk_integer(reply, view->number);
	else
		zs_reply_bulk(reply, view->data, view->size);
}

/* What was there before a write, or null. */
void zs_reply_previous(struct zs_reply *reply, const struct zs_previous *previous);

/*
 * Ends a handler whose write failed: answers with the error, or hands ZS_EAGAIN through, with nothing
 * written, for the dispatcher to run the call again. key_size and value_size are those of the object that was
 * to be stored.
 */
int zs_command_failed(struct zs_call *call, int error, size_t key_size, size_t value_size);

/* Is an object of these sizes too big for a slab? Then the call has been answered. */
bool zs_command_too_big(struct zs_call *call, size_t key_size, size_t value_size);

#endif
