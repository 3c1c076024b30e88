/*
 * Random bytes as a stream of replies, in pieces: every token must lie in what has arrived, and be the same when its
 * end arrives later. The first byte chooses the size of the pieces.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct zs_token *token, const uint8_t *data, size_t size)
{
	volatile uint8_t sum = 0;

	if (token->consumed == 0 || token->consumed > size)
		abort();
	if (token->kind == ZS_TOKEN_ARRAY && (token->number < 0 || token->number > (int64_t)ZS_REPLY_ARRAY_MAX))
		abort();
	if (!token->text)
		return;
	if (token->text < data || token->text + token->size > data + token->consumed)
		abort();
	for (size_t i = 0; i < token->size; i++)
		sum = (uint8_t)(sum + token->text[i]);
}

/* What is asked for must be what comes: no token before there are so many bytes. */
static enum zs_reply_result parse(const uint8_t *data, size_t size, struct zs_token *token)
{
	char why[128] = "";
	char shown[64];
	uint8_t *copy = malloc(size ? size : 1);
	enum zs_reply_result result;

	memcpy(copy, data, size);
	result = zs_reply_next(copy, size, token, why, sizeof(why));
	if (result == ZS_REPLY_TOKEN)
		check(token, copy, size);
	if (result == ZS_REPLY_MORE && token->consumed <= size)
		abort();
	if (result == ZS_REPLY_BROKEN && (!why[0] || strlen(zs_reply_show(copy, size, shown, sizeof(shown))) > 63))
		abort();
	free(copy);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t piece = size ? 1u + data[0] * 4u : 1;
	size_t start = 1;
	size_t wanted = 0;

	for (size_t there = 1; there < size;) {
		enum zs_reply_result result = ZS_REPLY_TOKEN;

		there = size - there < piece ? size : there + piece;
		while (result == ZS_REPLY_TOKEN && start < there) {
			struct zs_token token;

			result = parse(data + start, there - start, &token);
			if (result == ZS_REPLY_BROKEN)
				return 0;
			if (result == ZS_REPLY_MORE)
				wanted = start + token.consumed;
			else if (start + token.consumed < wanted)
				abort();
			else
				start += token.consumed;
		}
	}
	return 0;
}
