#include "client/reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int zs_reply_number(const uint8_t *text, size_t size, int64_t *number)
{
	int negative = size && text[0] == '-';
	uint64_t limit = (uint64_t)INT64_MAX + (uint64_t)negative;
	uint64_t n = 0;

	if (size == (size_t)negative || size > 20)
		return -1;
	for (size_t i = (size_t)negative; i < size; i++) {
		unsigned digit = text[i] - (unsigned)'0';

		if (digit > 9 || n > (limit - digit) / 10)
			return -1;
		n = n * 10 + digit;
	}
	*number = negative ? (int64_t)(0 - n) : (int64_t)n;
	return 0;
}

const char *zs_reply_show(const uint8_t *data, size_t size, char *out, size_t out_size)
{
	size_t used = 0;

	for (size_t i = 0; i < size && used + 5 <= out_size; i++) {
		if (data[i] >= ' ' && data[i] <= '~')
			out[used++] = (char)data[i];
		else
			used += (size_t)snprintf(out + used, out_size - used, "\\x%02x", data[i]);
	}
	if (out_size)
		out[used] = 0;
	return out;
}

/* The line behind the type, without its end. The types in question hold no CR of their own. */
static enum zs_reply_result take_line(const uint8_t *data, size_t size, struct zs_token *token, char *why,
				      size_t why_size)
{
	size_t scan = size < ZS_REPLY_LINE_MAX ? size : ZS_REPLY_LINE_MAX;
	const uint8_t *end = memchr(data + 1, '\r', scan - 1);
	char shown[48];

	if (end && end + 1 == data + size)
		goto more;
	if (end && end[1] == '\n') {
		token->text = data + 1;
		token->size = (size_t)(end - data - 1);
		token->consumed = token->size + 3;
		return ZS_REPLY_TOKEN;
	}
	if (!end && size < ZS_REPLY_LINE_MAX)
		goto more;
	snprintf(why, why_size, "a line of its reply has no end within %u bytes: '%s'...", ZS_REPLY_LINE_MAX,
		 zs_reply_show(data, size < 8 ? size : 8, shown, sizeof(shown)));
	return ZS_REPLY_BROKEN;
more:
	token->consumed = size + 1;
	return ZS_REPLY_MORE;
}

static enum zs_reply_result bad_number(const struct zs_token *token, const char *what, char *why, size_t why_size)
{
	char shown[48];

	snprintf(why, why_size, "its reply has '%s' for %s",
		 zs_reply_show(token->text, token->size < 24 ? token->size : 24, shown, sizeof(shown)), what);
	return ZS_REPLY_BROKEN;
}

static enum zs_reply_result take_bulk(const uint8_t *data, size_t size, struct zs_token *token, char *why,
				      size_t why_size)
{
	size_t head = token->consumed;
	size_t all;

	if (token->number < 0 || token->number > (int64_t)ZS_REPLY_BULK_MAX) {
		snprintf(why, why_size, "its reply claims a string of %" PRId64 " bytes; at most %u can be",
			 token->number, ZS_REPLY_BULK_MAX);
		return ZS_REPLY_BROKEN;
	}
	all = head + (size_t)token->number + 2;
	if (size < all) {
		token->consumed = all;
		return ZS_REPLY_MORE;
	}
	if (data[all - 2] != '\r' || data[all - 1] != '\n') {
		snprintf(why, why_size, "a string of its reply is longer than the %" PRId64 " bytes it claims",
			 token->number);
		return ZS_REPLY_BROKEN;
	}
	token->text = data + head;
	token->size = (size_t)token->number;
	token->consumed = all;
	return ZS_REPLY_TOKEN;
}

static enum zs_reply_result take_counted(const uint8_t *data, size_t size, struct zs_token *token, char *why,
					 size_t why_size)
{
	if (zs_reply_number(token->text, token->size, &token->number))
		return bad_number(token, "a length", why, why_size);
	if (token->number == -1) {
		token->kind = ZS_TOKEN_NULL;
		return ZS_REPLY_TOKEN;
	}
	if (data[0] == '$') {
		token->kind = ZS_TOKEN_BULK;
		return take_bulk(data, size, token, why, why_size);
	}
	token->kind = ZS_TOKEN_ARRAY;
	if (token->number < 0 || token->number > (int64_t)ZS_REPLY_ARRAY_MAX) {
		snprintf(why, why_size, "its reply claims an array of %" PRId64 " elements; at most %u can be",
			 token->number, ZS_REPLY_ARRAY_MAX);
		return ZS_REPLY_BROKEN;
	}
	return ZS_REPLY_TOKEN;
}

enum zs_reply_result zs_reply_next(const uint8_t *data, size_t size, struct zs_token *token, char *why, size_t why_size)
{
	enum zs_reply_result result;
	char shown[64];

	*token = (struct zs_token){ .consumed = 1 };
	if (!size)
		return ZS_REPLY_MORE;
	if (!data[0] || !strchr("+-:$*", data[0])) {
		snprintf(why, why_size, "its reply begins with '%s', which is no Redis protocol",
			 zs_reply_show(data, size < 12 ? size : 12, shown, sizeof(shown)));
		return ZS_REPLY_BROKEN;
	}
	result = take_line(data, size, token, why, why_size);
	if (result != ZS_REPLY_TOKEN)
		return result;
	switch (data[0]) {
	case '+':
		token->kind = ZS_TOKEN_STATUS;
		return ZS_REPLY_TOKEN;
	case '-':
		token->kind = ZS_TOKEN_ERROR;
		return ZS_REPLY_TOKEN;
	case ':':
		token->kind = ZS_TOKEN_INTEGER;
		if (zs_reply_number(token->text, token->size, &token->number))
			return bad_number(token, "an integer", why, why_size);
		return ZS_REPLY_TOKEN;
	default:
		return take_counted(data, size, token, why, why_size);
	}
}
