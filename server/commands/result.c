#include "server/commands/result.h"

void zs_reply_previous(struct zs_reply *reply, const struct zs_previous *previous)
{
	if (previous->existed)
		zs_reply_value(reply, &previous->old);
	else
		zs_reply_null(reply);
}

static void too_big(struct zs_call *call, size_t key_size, size_t value_size)
{
	zs_reply_error(call->reply,
		       "ERR object of %zu bytes (key %zu, value %zu) does not fit one slab; the limit is %d bytes",
		       key_size + value_size, key_size, value_size, ZS_OBJECT_MAX);
}

int zs_command_failed(struct zs_call *call, int error, size_t key_size, size_t value_size)
{
	switch (error) {
	case ZS_EAGAIN:
		return ZS_EAGAIN;
	case ZS_ETOOBIG:
		too_big(call, key_size, value_size);
		break;
	case ZS_EFULL:
		zs_reply_error(call->reply, "OOM command not allowed when used memory > 'maxmemory'.");
		break;
	default:
		zs_reply_error(call->reply, "ERR %s", zs_error_text(error));
		break;
	}
	return ZS_OK;
}

bool zs_command_too_big(struct zs_call *call, size_t key_size, size_t value_size)
{
	if (key_size <= ZS_OBJECT_MAX && value_size <= ZS_OBJECT_MAX - key_size)
		return false;
	too_big(call, key_size, value_size);
	return true;
}
