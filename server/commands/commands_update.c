/*
 * Commands that compute a value from the old one: counters, APPEND, SETRANGE.
 *
 * The functions that compute may run more than once for one call (see zs_update), so each starts from its
 * arguments.
 */
#include <math.h>
#include <string.h>

#include "server/commands/arguments.h"
#include "server/commands/handlers.h"
#include "server/commands/numbers.h"
#include "server/commands/result.h"

/* The part of an object that a piece of text is written to, and what came of it. */
struct splice {
	const struct zs_argument *key;
	const struct zs_argument *piece;
	uint64_t offset;
	size_t size; /* out: of the new value */
};

static bool fits(const struct splice *splice)
{
	return splice->key->size <= ZS_OBJECT_MAX && splice->size <= ZS_OBJECT_MAX - splice->key->size;
}

static struct zs_text old_text(const struct zs_update *update, uint8_t *digits)
{
	return update->old ? zs_value_text(update->old, digits) : (struct zs_text){ digits, 0 };
}

/* memcpy that may be given no bytes at NULL. */
static void copy(uint8_t *to, const uint8_t *from, size_t size)
{
	if (size > 0)
		memcpy(to, from, size);
}

/* Writes the piece to its offset, over and past the old text, with zeros in a gap between them. */
static int write_piece(struct splice *splice, struct zs_text old, struct zs_update *update)
{
	uint64_t end = splice->offset + splice->piece->size;

	splice->size = end > old.size ? end : old.size;
	if (!fits(splice))
		return ZS_ETOOBIG;
	copy(update->value, old.data, old.size);
	if (splice->offset > old.size)
		memset(update->value + old.size, 0, splice->offset - old.size);
	copy(update->value + splice->offset, splice->piece->data, splice->piece->size);
	update->value_size = splice->size;
	return ZS_OK;
}

static int append(void *context, struct zs_update *update)
{
	struct splice *splice = context;
	uint8_t digits[ZS_INTEGER_MAX];
	struct zs_text old = old_text(update, digits);

	splice->offset = old.size;
	return write_piece(splice, old, update);
}

static int set_range(void *context, struct zs_update *update)
{
	struct splice *splice = context;
	uint8_t digits[ZS_INTEGER_MAX];
	struct zs_text old = old_text(update, digits);

	if (splice->piece->size == 0) {
		/* Nothing to write: neither makes the key nor pads it. */
		splice->size = old.size;
		update->unchanged = true;
		return ZS_OK;
	}
	return write_piece(splice, old, update);
}

static int run_splice(struct zs_call *call, struct splice *splice, zs_update_function function)
{
	const struct zs_argument *key = splice->key;
	int error = zs_update(call->thread, key->data, key->size, function, splice);

	if (error != ZS_OK)
		return zs_command_failed(call, error, key->size, splice->size);
	zs_reply_integer(call->reply, (int64_t)splice->size);
	return ZS_OK;
}

int zs_handle_append(struct zs_call *call)
{
	struct splice splice = { .key = &call->argv[1], .piece = &call->argv[2] };

	return run_splice(call, &splice, append);
}

int zs_handle_setrange(struct zs_call *call)
{
	struct splice splice = { .key = &call->argv[1], .piece = &call->argv[3] };
	int64_t offset;

	if (!zs_argument_integer(call, &call->argv[2], &offset))
		return ZS_OK;
	if (offset < 0) {
		zs_reply_error(call->reply, "ERR offset is out of range");
		return ZS_OK;
	}
	splice.offset = (uint64_t)offset;
	return run_splice(call, &splice, set_range);
}

static int increment(struct zs_call *call, int64_t delta)
{
	const struct zs_argument *key = &call->argv[1];
	int64_t result;
	int error = zs_increment(call->thread, key->data, key->size, delta, &result);

	if (error != ZS_OK)
		return zs_command_failed(call, error, key->size, sizeof(result));
	zs_reply_integer(call->reply, result);
	return ZS_OK;
}

int zs_handle_incr(struct zs_call *call)
{
	return increment(call, 1);
}

int zs_handle_decr(struct zs_call *call)
{
	return increment(call, -1);
}

int zs_handle_incrby(struct zs_call *call)
{
	int64_t delta;

	if (!zs_argument_integer(call, &call->argv[2], &delta))
		return ZS_OK;
	return increment(call, delta);
}

int zs_handle_decrby(struct zs_call *call)
{
	int64_t delta;

	if (!zs_argument_integer(call, &call->argv[2], &delta))
		return ZS_OK;
	if (delta == INT64_MIN) {
		zs_reply_error(call->reply, "ERR decrement would overflow");
		return ZS_OK;
	}
	return increment(call, -delta);
}

struct float_sum {
	const struct zs_argument *key;
	const struct zs_argument *increment;
	size_t size; /* out: characters of the sum */
	char text[ZS_FLOAT_MAX];
};

static int add_float(void *context, struct zs_update *update)
{
	struct float_sum *sum = context;
	long double value = 0, delta;

	if (update->old && update->old->type == ZS_NUMBER)
		value = (long double)update->old->number;
	else if (update->old && !zs_float_parse(update->old->data, update->old->size, &value))
		return ZS_ENOTFLOAT;
	if (!zs_float_parse(sum->increment->data, sum->increment->size, &delta))
		return ZS_ENOTFLOAT;
	value += delta;
	if (!isfinite(value))
		return ZS_EOVERFLOW;
	sum->size = zs_float_format(sum->text, value);
	if (sum->key->size > ZS_OBJECT_MAX || sum->size > ZS_OBJECT_MAX - sum->key->size)
		return ZS_ETOOBIG;
	memcpy(update->value, sum->text, sum->size);
	update->value_size = sum->size;
	return ZS_OK;
}

int zs_handle_incrbyfloat(struct zs_call *call)
{
	struct float_sum sum;
	const struct zs_argument *key = &call->argv[1];
	int error;

	sum.key = key;
	sum.increment = &call->argv[2];
	sum.size = 0;
	error = zs_update(call->thread, key->data, key->size, add_float, &sum);
	if (error == ZS_EOVERFLOW) {
		zs_reply_error(call->reply, "ERR increment would produce NaN or Infinity");
		return ZS_OK;
	}
	if (error != ZS_OK)
		return zs_command_failed(call, error, key->size, sum.size);
	zs_reply_bulk(call->reply, sum.text, sum.size);
	return ZS_OK;
}
