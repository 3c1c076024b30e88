/* The answer to ZS.ATTACH: an array of numbers, some of them in hexadecimal digits. What they mean the caller knows. */
#ifndef ZS_CLIENT_ATTACH_H
#define ZS_CLIENT_ATTACH_H

#include <stdbool.h>
#include <stdint.h>

#include "client/reply.h"

#define ZS_ATTACH_ELEMENTS 8u

struct zs_buffer;

struct zs_attach {
	unsigned next; /* tokens that have come */
	uint64_t elements[ZS_ATTACH_ELEMENTS];
};

/* The command. Returns its size. */
#define ZS_ATTACH_COMMAND_MAX 64u
size_t zs_attach_command(char *text, size_t text_size);

/*
 * Takes the next token of an answer; bit i of `hex`: element i has 16 hexadecimal digits. ZSLAB_OK; ZSLAB_ETRANSPORT:
 * the node refuses, and says so in `why`; ZSLAB_EPROTO: no node answers so.
 */
int zs_attach_token(struct zs_attach *attach, const struct zs_token *token, unsigned hex, char *why, size_t why_size);

static inline bool zs_attach_is_whole(const struct zs_attach *attach)
{
	return attach->next == ZS_ATTACH_ELEMENTS + 1;
}

#endif
