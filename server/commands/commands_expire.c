/*
 * Commands about deadlines. What they report is the deadline as the engine stored it: never later than asked
 * for, and earlier by at most 1 % of the time to live.
 */
#include "server/commands/arguments.h"
#include "server/commands/handlers.h"
#include "server/commands/result.h"

static int set_deadline(struct zs_call *call, bool seconds, bool absolute)
{
	const struct zs_when when = { &call->argv[2], seconds, absolute };
	const struct zs_argument *key = &call->argv[1];
	uint64_t deadline;
	unsigned flags;
	int error;

	if (!zs_parse_expire_options(call, &flags) || !zs_when_deadline_any(call, &when, &deadline))
		return ZS_OK;
	error = zs_expire(call->thread, key->data, key->size, deadline, flags, NULL);
	if (error != ZS_OK && error != ZS_ENOTFOUND && error != ZS_EEXIST)
		return zs_command_failed(call, error, key->size, 0);
	zs_reply_integer(call->reply, error == ZS_OK);
	return ZS_OK;
}

int zs_handle_expire(struct zs_call *call)
{
	return set_deadline(call, true, false);
}

int zs_handle_pexpire(struct zs_call *call)
{
	return set_deadline(call, false, false);
}

int zs_handle_expireat(struct zs_call *call)
{
	return set_deadline(call, true, true);
}

int zs_handle_pexpireat(struct zs_call *call)
{
	return set_deadline(call, false, true);
}

int zs_handle_persist(struct zs_call *call)
{
	const struct zs_argument *key = &call->argv[1];
	int error = zs_expire(call->thread, key->data, key->size, 0, ZS_EXPIRE_XX, NULL);

	if (error != ZS_OK && error != ZS_ENOTFOUND && error != ZS_EEXIST)
		return zs_command_failed(call, error, key->size, 0);
	zs_reply_integer(call->reply, error == ZS_OK);
	return ZS_OK;
}

/* Answers with the deadline, counted from `origin`, in milliseconds or rounded to seconds; -1: none, -2: no key. */
static int report(struct zs_call *call, uint64_t origin, bool seconds)
{
	const struct zs_argument *key = &call->argv[1];
	struct zs_view view;
	uint64_t time;

	if (zs_get(call->thread, key->data, key->size, ZS_READ_PEEK, &view) != ZS_OK) {
		zs_reply_integer(call->reply, -2);
		return ZS_OK;
	}
	if (view.deadline == 0) {
		zs_reply_integer(call->reply, -1);
		return ZS_OK;
	}
	time = view.deadline > origin ? view.deadline - origin : 0;
	zs_reply_integer(call->reply, (int64_t)(seconds ? (time + 500) / 1000 : time));
	return ZS_OK;
}

int zs_handle_ttl(struct zs_call *call)
{
	return report(call, zs_thread_now(call->thread), true);
}

int zs_handle_pttl(struct zs_call *call)
{
	return report(call, zs_thread_now(call->thread), false);
}

int zs_handle_expiretime(struct zs_call *call)
{
	return report(call, 0, true);
}

int zs_handle_pexpiretime(struct zs_call *call)
{
	return report(call, 0, false);
}
