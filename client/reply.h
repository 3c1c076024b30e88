/*
 * Parsing of RESP2 replies, token by token: an array is a token that says how many follow.
 *
 * A pure function over a buffer that a peer filled with anything: nothing outside of it is read, and no length it
 * claims is believed before it was compared with a limit.
 */
#ifndef ZS_CLIENT_REPLY_H
#define ZS_CLIENT_REPLY_H

#include <stddef.h>
#include <stdint.h>

/* What a node may send; more breaks the protocol. */
#define ZS_REPLY_LINE_MAX 4096u
#define ZS_REPLY_BULK_MAX (1u << 20)
#define ZS_REPLY_ARRAY_MAX (1u << 20)

enum zs_token_kind {
	ZS_TOKEN_STATUS,
	ZS_TOKEN_ERROR,
	ZS_TOKEN_INTEGER,
	ZS_TOKEN_BULK,
	ZS_TOKEN_NULL,
	ZS_TOKEN_ARRAY, /* of `number` elements */
};

struct zs_token {
	enum zs_token_kind kind;
	const uint8_t *text; /* STATUS, ERROR, BULK: in the caller's buffer */
	size_t size;
	int64_t number;
	size_t consumed;
};

enum zs_reply_result {
	ZS_REPLY_TOKEN,
	ZS_REPLY_MORE,	 /* not all there; token->consumed is how many bytes there must be at least */
	ZS_REPLY_BROKEN, /* `why` says what is wrong */
};

enum zs_reply_result zs_reply_next(const uint8_t *data, size_t size, struct zs_token *token, char *why,
				   size_t why_size);

/* A decimal integer of at most 64 bits, whole. 0, or -1. */
int zs_reply_number(const uint8_t *text, size_t size, int64_t *number);

/* Writes bytes of a peer so that a terminal can show them; cuts what does not fit. Returns `out`. */
const char *zs_reply_show(const uint8_t *data, size_t size, char *out, size_t out_size);

#endif
