/* Replies as outcomes of operations. */
#include <stdio.h>
#include <string.h>

#include "client/internal.h"

int zs_copy_value(void *buffer, size_t buffer_size, const void *value, size_t size, size_t *stored)
{
	size_t n = size < buffer_size ? size : buffer_size;

	*stored = size;
	if (n)
		memcpy(buffer, value, n);
	return size <= buffer_size ? ZSLAB_OK : ZSLAB_ESMALL;
}

void zs_fail_items(struct zs_request *request, int status)
{
	for (; request->items; request->items--) {
		struct zslab_item *item = &request->op->items[request->item];

		item->status = status;
		request->item = item->next;
	}
}

/* ---- errors ---- */

static int status_of_error(const char *text)
{
	static const struct {
		const char *begins;
		int status;
	} kinds[] = {
		{ "OOM ", ZSLAB_EFULL },
		{ "NOAUTH ", ZSLAB_EAUTH },
		{ "NOPERM ", ZSLAB_EAUTH },
		{ "WRONGPASS ", ZSLAB_EAUTH },
		{ "ERR value is not an integer", ZSLAB_ENOTINT },
		{ "ERR increment or decrement would overflow", ZSLAB_EOVERFLOW },
		{ "ERR object of ", ZSLAB_ETOOBIG },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!strncmp(text, kinds[i].begins, strlen(kinds[i].begins)))
			return kinds[i].status;
	}
	return ZSLAB_ENODE;
}

static int take_error(struct zs_node *node, struct zs_request *request, const struct zs_token *token)
{
	char shown[200];
	int status;

	zs_reply_show(token->text, token->size, shown, sizeof(shown));
	status = status_of_error(shown);
	zs_op_explain(node->client, request->op, "node %s (%s) answers: %s", node->address.text,
		      zs_node_transport(node), shown);
	if (request->op->kind == ZSLAB_MGET)
		zs_fail_items(request, status);
	return status;
}

/* ---- answers ---- */

static int take_value(struct zs_node *node, struct zslab_op *op, const struct zs_token *token)
{
	int status = zs_copy_value(op->buffer, op->buffer_size, token->text, token->size, &op->size);

	return status ? zs_op_too_small(node->client, op) : ZSLAB_OK;
}

/* SET without GET: OK or null. With GET: the old value or null, from which it follows whether the new one was stored.
 */
static int take_set(struct zs_node *node, struct zslab_op *op, const struct zs_token *token)
{
	bool null = token->kind == ZS_TOKEN_NULL;
	bool stored;
	int status = ZSLAB_OK;

	if (!(op->flags & ZSLAB_GET_OLD))
		return null ? ZSLAB_ECONDITION : ZSLAB_OK;
	op->found = !null;
	if (!null)
		status = take_value(node, op, token);
	if (op->flags & ZSLAB_IF_ABSENT)
		stored = null;
	else if (op->flags & ZSLAB_IF_PRESENT)
		stored = !null;
	else if (op->flags & ZSLAB_IF_EQUAL)
		stored = !null && token->size == op->compare_size &&
			 (!token->size || !memcmp(token->text, op->compare, token->size));
	else
		stored = true;
	return stored ? status : ZSLAB_ECONDITION;
}

static int take_count(struct zslab_op *op, const struct zs_token *token)
{
	if (token->number)
		return ZSLAB_OK;
	return op->kind == ZSLAB_EXPIRE && op->flags ? ZSLAB_ECONDITION : ZSLAB_ENOTFOUND;
}

static int take_item(struct zs_request *request, const struct zs_token *token)
{
	struct zslab_item *item = &request->op->items[request->item];

	if (token->kind == ZS_TOKEN_NULL)
		item->status = ZSLAB_ENOTFOUND;
	else
		item->status = zs_copy_value(item->buffer, item->buffer_size, token->text, token->size, &item->size);
	request->item = item->next;
	request->items--;
	return ZSLAB_OK;
}

/* Whether an answer of this kind can be one to this operation. */
static bool fits(const struct zs_request *request, const struct zs_token *token)
{
	const struct zslab_op *op = request->op;
	enum zs_token_kind kind = token->kind;

	switch (op->kind) {
	case ZSLAB_GET:
		return kind == ZS_TOKEN_BULK || kind == ZS_TOKEN_NULL;
	case ZSLAB_MGET:
		if (!request->started)
			return kind == ZS_TOKEN_ARRAY && token->number == request->items;
		return kind == ZS_TOKEN_BULK || kind == ZS_TOKEN_NULL;
	case ZSLAB_SET:
		return kind == ZS_TOKEN_NULL || kind == (op->flags & ZSLAB_GET_OLD ? ZS_TOKEN_BULK : ZS_TOKEN_STATUS);
	case ZSLAB_STATS:
		return kind == ZS_TOKEN_BULK;
	case ZSLAB_PING:
		return kind == ZS_TOKEN_STATUS;
	default:
		return kind == ZS_TOKEN_INTEGER;
	}
}

int zs_answer(struct zs_node *node, struct zs_request *request, const struct zs_token *token, int *status, char *why,
	      size_t why_size)
{
	struct zslab_op *op = request->op;

	*status = ZSLAB_OK;
	if (token->kind == ZS_TOKEN_ERROR && !request->started) {
		*status = take_error(node, request, token);
		return ZSLAB_OK;
	}
	if (!fits(request, token)) {
		snprintf(why, why_size, "it answers another question than ours");
		return ZSLAB_EPROTO;
	}
	switch (op->kind) {
	case ZSLAB_GET:
		*status = token->kind == ZS_TOKEN_NULL ? ZSLAB_ENOTFOUND : take_value(node, op, token);
		break;
	case ZSLAB_MGET:
		if (request->started)
			*status = take_item(request, token);
		break;
	case ZSLAB_SET:
		*status = take_set(node, op, token);
		break;
	case ZSLAB_STATS:
		*status = take_value(node, op, token);
		break;
	case ZSLAB_INCREMENT:
		op->number = token->number;
		break;
	case ZSLAB_DROP:
		op->number += token->number;
		break;
	case ZSLAB_PING:
		break;
	default:
		*status = take_count(op, token);
		break;
	}
	return ZSLAB_OK;
}
