/*
 * Commands that store whole values.
 */
#include "server/commands/arguments.h"
#include "server/commands/handlers.h"
#include "server/commands/result.h"

static struct zs_set make_set(const struct zs_argument *key, const struct zs_argument *value)
{
	return (struct zs_set){
		.key = key->data,
		.key_size = key->size,
		.value = value->data,
		.value_size = value->size,
	};
}

static int failed(struct zs_call *call, int error, const struct zs_set *set)
{
	return zs_command_failed(call, error, set->key_size, set->value_size);
}

/* Adds what the options of SET ask for. False if the call was answered with an error. */
static bool apply_options(struct zs_call *call, const struct zs_write_options *options, struct zs_set *set)
{
	set->flags = options->set_flags;
	if (options->expected) {
		set->expected = options->expected->data;
		set->expected_size = options->expected->size;
	}
	if (options->group) {
		set->group = options->group->data;
		set->group_size = options->group->size;
		if (set->group_size == 0 || set->group_size > ZS_GROUP_NAME_MAX) {
			zs_reply_error(call->reply, "ERR the name of a group has 1 to %d bytes; this one has %zu",
				       ZS_GROUP_NAME_MAX, set->group_size);
			return false;
		}
	}
	return zs_when_deadline(call, &options->when, &set->deadline);
}

int zs_handle_set(struct zs_call *call)
{
	struct zs_set set = make_set(&call->argv[1], &call->argv[2]);
	struct zs_previous previous;
	struct zs_write_options options;
	int error;

	/* Most calls have no options. */
	if (call->argc == 3) {
		error = zs_set(call->thread, &set, NULL);
		if (error != ZS_OK)
			return failed(call, error, &set);
		zs_reply_ok(call->reply);
		return ZS_OK;
	}
	if (!zs_parse_set_options(call, &options) || !apply_options(call, &options, &set))
		return ZS_OK;
	error = zs_set(call->thread, &set, options.get ? &previous : NULL);
	if (error != ZS_OK && error != ZS_EEXIST)
		return failed(call, error, &set);
	if (options.get)
		zs_reply_previous(call->reply, &previous);
	else if (error == ZS_OK)
		zs_reply_ok(call->reply);
	else
		zs_reply_null(call->reply);
	return ZS_OK;
}

static int set_with_time(struct zs_call *call, bool seconds)
{
	const struct zs_when when = { .number = &call->argv[2], .seconds = seconds };
	struct zs_set set = make_set(&call->argv[1], &call->argv[3]);
	int error;

	if (!zs_when_deadline(call, &when, &set.deadline))
		return ZS_OK;
	error = zs_set(call->thread, &set, NULL);
	if (error != ZS_OK)
		return failed(call, error, &set);
	zs_reply_ok(call->reply);
	return ZS_OK;
}

int zs_handle_setex(struct zs_call *call)
{
	return set_with_time(call, true);
}

int zs_handle_psetex(struct zs_call *call)
{
	return set_with_time(call, false);
}

int zs_handle_setnx(struct zs_call *call)
{
	struct zs_set set = make_set(&call->argv[1], &call->argv[2]);
	int error;

	set.flags = ZS_SET_ABSENT;
	error = zs_set(call->thread, &set, NULL);
	if (error != ZS_OK && error != ZS_EEXIST)
		return failed(call, error, &set);
	zs_reply_integer(call->reply, error == ZS_OK);
	return ZS_OK;
}

int zs_handle_getset(struct zs_call *call)
{
	struct zs_set set = make_set(&call->argv[1], &call->argv[2]);
	struct zs_previous previous;
	int error = zs_set(call->thread, &set, &previous);

	if (error != ZS_OK)
		return failed(call, error, &set);
	zs_reply_previous(call->reply, &previous);
	return ZS_OK;
}

/*
 * Each key is set atomically, all of them together are not: others can see some set and some not yet, and
 * when memory runs out the first ones stay set. Sizes are checked before anything is written. Storing a pair
 * twice is harmless, so a call that is interrupted by ZS_EAGAIN can be run again from the start.
 */
int zs_handle_mset(struct zs_call *call)
{
	if (call->argc % 2 == 0) {
		zs_reply_error(call->reply, "ERR wrong number of arguments for 'mset' command");
		return ZS_OK;
	}
	for (size_t i = 1; i < call->argc; i += 2) {
		if (zs_command_too_big(call, call->argv[i].size, call->argv[i + 1].size))
			return ZS_OK;
	}
	for (size_t i = 1; i < call->argc; i += 2) {
		struct zs_set set = make_set(&call->argv[i], &call->argv[i + 1]);
		int error = zs_set(call->thread, &set, NULL);

		if (error != ZS_OK)
			return failed(call, error, &set);
	}
	zs_reply_ok(call->reply);
	return ZS_OK;
}
