/* Operations as commands. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/internal.h"

/* ---- what can be asked at all ---- */

static int refuse(char *why, size_t why_size, const char *sentence)
{
	snprintf(why, why_size, "%s", sentence);
	return ZSLAB_EINVAL;
}

static int check_set(const struct zslab_op *op, char *why, size_t why_size)
{
	unsigned conditions = op->flags & (ZSLAB_IF_ABSENT | ZSLAB_IF_PRESENT | ZSLAB_IF_EQUAL);
	unsigned known = ZSLAB_IF_ABSENT | ZSLAB_IF_PRESENT | ZSLAB_IF_EQUAL | ZSLAB_KEEP_TTL | ZSLAB_GET_OLD;

	if (op->flags & ~known)
		return refuse(why, why_size, "a flag is not one of SET");
	if (conditions & (conditions - 1))
		return refuse(why, why_size, "SET takes one condition: absent, present or equal");
	if (op->flags & ZSLAB_KEEP_TTL && op->expiry)
		return refuse(why, why_size, "SET takes an expiry or ZSLAB_KEEP_TTL, not both");
	if (op->group_size && op->group_size > 255)
		return refuse(why, why_size, "the name of a group has at most 255 bytes");
	if (op->key_size > ZSLAB_OBJECT_MAX || op->value_size > ZSLAB_OBJECT_MAX - op->key_size) {
		snprintf(why, why_size,
			 "a key of %zu bytes and a value of %zu do not fit one slab; together they may have %d",
			 op->key_size, op->value_size, ZSLAB_OBJECT_MAX);
		return ZSLAB_ETOOBIG;
	}
	if (op->flags & ZSLAB_IF_EQUAL && op->compare_size > ZSLAB_OBJECT_MAX)
		return refuse(why, why_size, "the value to compare with is longer than any value");
	return ZSLAB_OK;
}

static int check_expire(const struct zslab_op *op, char *why, size_t why_size)
{
	unsigned flags = op->flags & (ZSLAB_TTL_ABSENT | ZSLAB_TTL_PRESENT | ZSLAB_TTL_GREATER | ZSLAB_TTL_LESS);

	if (op->flags != flags || flags & (flags - 1))
		return refuse(why, why_size, "EXPIRE takes one condition: ZSLAB_TTL_ABSENT, PRESENT, GREATER or LESS");
	if (flags && !op->expiry)
		return refuse(why, why_size, "EXPIRE without an expiry takes no condition");
	return ZSLAB_OK;
}

static int check_items(const struct zslab_op *op, char *why, size_t why_size)
{
	if (op->item_count > UINT32_MAX || (op->item_count && !op->items))
		return refuse(why, why_size, "the items of a multi-get are missing");
	for (size_t i = 0; i < op->item_count; i++) {
		if (op->items[i].key_size > ZSLAB_OBJECT_MAX)
			return refuse(why, why_size, "a key of the multi-get is longer than any key");
	}
	return ZSLAB_OK;
}

int zs_check_op(const struct zslab *client, const struct zslab_op *op, char *why, size_t why_size)
{
	if (op->own.state != ZS_OP_IDLE && op->own.state != ZS_OP_DONE)
		return refuse(why, why_size, "the operation is in flight already");
	if (op->kind < ZSLAB_GET || op->kind > ZSLAB_PING)
		return refuse(why, why_size, "the operation's kind is none of enum zslab_kind");
	if (op->expiry > ZSLAB_PXAT)
		return refuse(why, why_size, "the expiry is none of enum zslab_expiry");
	if (op->key_size > ZSLAB_OBJECT_MAX)
		return refuse(why, why_size, "the key is longer than any key can be");
	if ((op->kind == ZSLAB_STATS || op->kind == ZSLAB_PING) && op->node >= client->node_count)
		return refuse(why, why_size, "there is no node with this number");
	switch (op->kind) {
	case ZSLAB_SET:
		return check_set(op, why, why_size);
	case ZSLAB_EXPIRE:
		return check_expire(op, why, why_size);
	case ZSLAB_MGET:
		return check_items(op, why, why_size);
	case ZSLAB_DROP:
		if (!op->group_size || op->group_size > 255)
			return refuse(why, why_size, "the name of a group has 1 to 255 bytes");
		return ZSLAB_OK;
	default:
		return ZSLAB_OK;
	}
}

bool zs_op_is_read(const struct zslab_op *op)
{
	return op->kind == ZSLAB_GET || op->kind == ZSLAB_MGET || op->kind == ZSLAB_TOUCH || op->kind == ZSLAB_STATS ||
	       op->kind == ZSLAB_PING;
}

bool zs_op_is_repeatable(const struct zslab_op *op)
{
	unsigned once = ZSLAB_IF_ABSENT | ZSLAB_IF_PRESENT | ZSLAB_IF_EQUAL | ZSLAB_GET_OLD;

	return zs_op_is_read(op) || op->kind == ZSLAB_DELETE || (op->kind == ZSLAB_SET && !(op->flags & once));
}

/* ---- commands ---- */

/* A command that is being written. `failed`: memory ran out on the way. */
struct writer {
	struct zs_buffer *out;
	bool failed;
};

/* Several in each command, so not by snprintf, which took a third of the time of a SET. */
static void write_head(struct writer *w, char type, size_t number)
{
	char head[24];
	char *begin = head + sizeof(head);

	*--begin = '\n';
	*--begin = '\r';
	do {
		*--begin = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	*--begin = type;
	w->failed = w->failed || zs_buffer_append(w->out, begin, (size_t)(head + sizeof(head) - begin));
}

static void write_bytes(struct writer *w, const void *data, size_t size)
{
	write_head(w, '$', size);
	w->failed = w->failed || zs_buffer_append(w->out, data, size) || zs_buffer_append(w->out, "\r\n", 2);
}

static void write_text(struct writer *w, const char *text)
{
	write_bytes(w, text, strlen(text));
}

static void write_number(struct writer *w, int64_t number)
{
	char digits[24];

	write_bytes(w, digits, (size_t)snprintf(digits, sizeof(digits), "%" PRId64, number));
}

static void write_set(struct writer *w, const struct zslab_op *op)
{
	static const char *const words[] = { NULL, "EX", "PX", "EXAT", "PXAT" };
	size_t count = 3;

	count += op->expiry ? 2 : 0;
	count += op->flags & ZSLAB_IF_EQUAL ? 2 : 0;
	count += op->flags & (ZSLAB_IF_ABSENT | ZSLAB_IF_PRESENT) ? 1 : 0;
	count += op->flags & ZSLAB_KEEP_TTL ? 1 : 0;
	count += op->flags & ZSLAB_GET_OLD ? 1 : 0;
	count += op->group_size ? 2 : 0;
	write_head(w, '*', count);
	write_text(w, "SET");
	write_bytes(w, op->key, op->key_size);
	write_bytes(w, op->value, op->value_size);
	if (op->flags & ZSLAB_IF_ABSENT)
		write_text(w, "NX");
	if (op->flags & ZSLAB_IF_PRESENT)
		write_text(w, "XX");
	if (op->flags & ZSLAB_IF_EQUAL) {
		write_text(w, "IFEQ");
		write_bytes(w, op->compare, op->compare_size);
	}
	if (op->flags & ZSLAB_GET_OLD)
		write_text(w, "GET");
	if (op->flags & ZSLAB_KEEP_TTL)
		write_text(w, "KEEPTTL");
	if (op->expiry) {
		write_text(w, words[op->expiry]);
		write_number(w, op->time);
	}
	if (op->group_size) {
		write_text(w, "GROUP");
		write_bytes(w, op->group, op->group_size);
	}
}

static void write_expire(struct writer *w, const struct zslab_op *op)
{
	static const char *const names[] = { "PERSIST", "EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT" };
	const char *condition = op->flags & ZSLAB_TTL_ABSENT	? "NX"
				: op->flags & ZSLAB_TTL_PRESENT ? "XX"
				: op->flags & ZSLAB_TTL_GREATER ? "GT"
				: op->flags & ZSLAB_TTL_LESS	? "LT"
								: NULL;

	write_head(w, '*', 2u + (op->expiry ? 1 : 0) + (condition ? 1 : 0));
	write_text(w, names[op->expiry]);
	write_bytes(w, op->key, op->key_size);
	if (op->expiry)
		write_number(w, op->time);
	if (condition)
		write_text(w, condition);
}

static void write_mget(struct writer *w, const struct zs_request *request)
{
	uint32_t at = request->item;

	write_head(w, '*', 1 + (size_t)request->items);
	write_text(w, "MGET");
	for (uint32_t i = 0; i < request->items; i++) {
		const struct zslab_item *item = &request->op->items[at];

		write_bytes(w, item->key, item->key_size);
		at = item->next;
	}
}

static void write_one_key(struct writer *w, const char *name, const void *key, size_t size)
{
	write_head(w, '*', 2);
	write_text(w, name);
	write_bytes(w, key, size);
}

static void write_op(struct writer *w, const struct zs_request *request)
{
	const struct zslab_op *op = request->op;

	switch (op->kind) {
	case ZSLAB_GET:
		write_one_key(w, "GET", op->key, op->key_size);
		break;
	case ZSLAB_MGET:
		write_mget(w, request);
		break;
	case ZSLAB_SET:
		write_set(w, op);
		break;
	case ZSLAB_DELETE:
		write_one_key(w, "DEL", op->key, op->key_size);
		break;
	case ZSLAB_INCREMENT:
		write_head(w, '*', 3);
		write_text(w, "INCRBY");
		write_bytes(w, op->key, op->key_size);
		write_number(w, op->delta);
		break;
	case ZSLAB_EXPIRE:
		write_expire(w, op);
		break;
	case ZSLAB_TOUCH:
		write_one_key(w, "TOUCH", op->key, op->key_size);
		break;
	case ZSLAB_DROP:
		write_one_key(w, "ZS.DROP", op->group, op->group_size);
		break;
	case ZSLAB_STATS:
		write_head(w, '*', op->key_size ? 2 : 1);
		write_text(w, "INFO");
		if (op->key_size)
			write_bytes(w, op->key, op->key_size);
		break;
	case ZSLAB_PING:
		write_head(w, '*', 1);
		write_text(w, "PING");
		break;
	}
}

int zs_encode(const struct zs_request *request, struct zs_buffer *out)
{
	struct writer writer = { .out = out };
	size_t before = zs_buffer_size(out);

	write_op(&writer, request);
	if (!writer.failed)
		return ZSLAB_OK;
	out->end = out->start + before;
	return ZSLAB_ENOMEM;
}

int zs_encode_hello(struct zs_buffer *out, const struct zslab_options *options)
{
	struct writer w = { .out = out };

	write_head(&w, '*', 2u + (options->password ? 3 : 0) + (options->client_name ? 2 : 0));
	write_text(&w, "HELLO");
	write_text(&w, "2");
	if (options->password) {
		write_text(&w, "AUTH");
		write_text(&w, options->user ? options->user : "default");
		write_text(&w, options->password);
	}
	if (options->client_name) {
		write_text(&w, "SETNAME");
		write_text(&w, options->client_name);
	}
	return w.failed ? ZSLAB_ENOMEM : ZSLAB_OK;
}
