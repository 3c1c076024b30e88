/*
 * Building of RESP replies, in the dialect (RESP2 or RESP3) that the connection has chosen.
 *
 * Bytes are copied into the buffer, so nothing that was passed in has to outlive the call.
 *
 * A reply buffer belongs to one connection and so to one worker thread. It grows as needed up to `limit`
 * bytes; past that, or when memory is out, it only sets `overflow` and drops what comes, and the connection
 * is closed.
 */
#ifndef ZS_SERVER_COMMANDS_REPLY_H
#define ZS_SERVER_COMMANDS_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zs_reply {
	uint8_t *data;
	size_t used;
	size_t size;
	size_t limit;
	int protocol; /* 2 or 3 */
	bool overflow;
};

/* An empty buffer that owns no memory yet. */
void zs_reply_init(struct zs_reply *reply, size_t limit);
void zs_reply_free(struct zs_reply *reply);

/* The slow part of zs_reply_reserve: lets the buffer grow, or sets overflow. */
uint8_t *zs_reply_grow(struct zs_reply *reply, size_t size);

/*
 * Room for `size` more bytes (at least 1) at data + used; NULL, with overflow set, when there cannot be.
 * The caller moves `used`.
 */
static inline uint8_t *zs_reply_reserve(struct zs_reply *reply, size_t size)
{
	if (__builtin_expect(reply->size - reply->used >= size && !reply->overflow, 1))
		return reply->data + reply->used;
	return zs_reply_grow(reply, size);
}

/* +OK, the answer to most writes */
static inline void zs_reply_ok(struct zs_reply *reply)
{
	uint8_t *p = zs_reply_reserve(reply, 5);

	if (!p)
		return;
	__builtin_memcpy(p, "+OK\r\n", 5);
	reply->used += 5;
}

void zs_reply_raw(struct zs_reply *reply, const void *data, size_t size); /* bytes as they are */
void zs_reply_status(struct zs_reply *reply, const char *text);		  /* +OK; text without line ends */

/*
 * An error. The text starts with its code ("ERR no such thing", "OOM ..."), without the dash. Line ends in it
 * become spaces, and are cut off at its end.
 */
void zs_reply_error(struct zs_reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* :1 */
void zs_reply_integer(struct zs_reply *reply, int64_t value);

/* $3 foo; of a C string; $1 7 */
void zs_reply_bulk(struct zs_reply *reply, const void *data, size_t size);
void zs_reply_bulk_text(struct zs_reply *reply, const char *text);
void zs_reply_bulk_integer(struct zs_reply *reply, int64_t value);

/* =8 txt:text in RESP3, a bulk string in RESP2 */
void zs_reply_verbatim(struct zs_reply *reply, const void *data, size_t size);

/* _ in RESP3; in RESP2 $-1 and *-1 */
void zs_reply_null(struct zs_reply *reply);
void zs_reply_null_array(struct zs_reply *reply);

/* *n, %n, ~n: the header, after which the caller writes n replies, 2n for a map. RESP2 has only *. */
void zs_reply_array(struct zs_reply *reply, size_t count);
void zs_reply_map(struct zs_reply *reply, size_t pairs);
void zs_reply_set(struct zs_reply *reply, size_t count);

/* #t, in RESP2 :1 */
void zs_reply_boolean(struct zs_reply *reply, bool value);

/* ,1.5, in RESP2 a bulk string; 17 significant digits, "inf", "-inf", "nan" */
void zs_reply_double(struct zs_reply *reply, double value);

/*
 * For replies whose length is known only after they were written: note `used` as the position, write the
 * elements, then put the header (or any bytes) before them. Moves what was written since; `position` <= used.
 */
void zs_reply_insert(struct zs_reply *reply, size_t position, const void *data, size_t size);
void zs_reply_array_at(struct zs_reply *reply, size_t position, size_t count);

#endif
