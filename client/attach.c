#include "client/attach.h"

#include <stdio.h>

#include "client/zslab.h"
#include "common/layout.h"

size_t zs_attach_command(char *text, size_t text_size)
{
	char version[16];
	int digits = snprintf(version, sizeof(version), "%u", ZS_LAYOUT_VERSION);

	return (size_t)snprintf(text, text_size, "*2\r\n$9\r\nZS.ATTACH\r\n$%d\r\n%s\r\n", digits, version);
}

static bool parse_hex(const struct zs_token *token, uint64_t *number)
{
	*number = 0;
	for (size_t i = 0; i < token->size; i++) {
		uint8_t c = token->text[i] | 0x20;

		if (c >= '0' && c <= '9')
			*number = *number << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			*number = *number << 4 | (uint64_t)(c - 'a' + 10);
		else
			return false;
	}
	return token->size == 16;
}

static bool take_element(struct zs_attach *attach, const struct zs_token *token, unsigned hex)
{
	unsigned i = attach->next - 1;

	if (hex >> i & 1)
		return token->kind == ZS_TOKEN_BULK && parse_hex(token, &attach->elements[i]);
	attach->elements[i] = (uint64_t)token->number;
	return token->kind == ZS_TOKEN_INTEGER;
}

int zs_attach_token(struct zs_attach *attach, const struct zs_token *token, unsigned hex, char *why, size_t why_size)
{
	bool right;

	if (attach->next == 0 && token->kind == ZS_TOKEN_ERROR) {
		zs_reply_show(token->text, token->size, why, why_size < 240 ? why_size : 240);
		return ZSLAB_ETRANSPORT;
	}
	if (attach->next == 0)
		right = token->kind == ZS_TOKEN_ARRAY && token->number == ZS_ATTACH_ELEMENTS;
	else
		right = attach->next <= ZS_ATTACH_ELEMENTS && take_element(attach, token, hex);
	if (!right) {
		snprintf(why, why_size, "the node's answer to ZS.ATTACH is not what it should be at element %u",
			 attach->next);
		return ZSLAB_EPROTO;
	}
	attach->next++;
	return ZSLAB_OK;
}
