#include "server/commands/reply.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/commands/numbers.h"

#define FIRST_SIZE 1024

/* The most that a header takes: its type, a number and the line end. */
#define HEADER_MAX (1 + ZS_INTEGER_MAX + 2)

void zs_reply_init(struct zs_reply *reply, size_t limit)
{
	*reply = (struct zs_reply){ .limit = limit, .protocol = 2 };
}

void zs_reply_free(struct zs_reply *reply)
{
	free(reply->data);
	reply->data = NULL;
	reply->used = 0;
	reply->size = 0;
}

uint8_t *zs_reply_grow(struct zs_reply *reply, size_t size)
{
	size_t wanted = reply->size ? reply->size : FIRST_SIZE;
	uint8_t *data;

	if (reply->overflow)
		return NULL;
	if (reply->used > reply->limit || size > reply->limit - reply->used)
		goto overflow;
	while (wanted - reply->used < size)
		wanted *= 2;
	if (wanted > reply->limit)
		wanted = reply->limit;
	data = realloc(reply->data, wanted);
	if (!data)
		goto overflow;
	reply->data = data;
	reply->size = wanted;
	return data + reply->used;
overflow:
	reply->overflow = true;
	return NULL;
}

static inline uint8_t *put_line_end(uint8_t *p)
{
	p[0] = '\r';
	p[1] = '\n';
	return p + 2;
}

static inline uint8_t *put_header(uint8_t *p, char type, uint64_t number)
{
	*p++ = (uint8_t)type;
	p += zs_unsigned_format(p, number);
	return put_line_end(p);
}

static void header(struct zs_reply *reply, char type, uint64_t number)
{
	uint8_t *p = zs_reply_reserve(reply, HEADER_MAX);

	if (p)
		reply->used += (size_t)(put_header(p, type, number) - p);
}

void zs_reply_raw(struct zs_reply *reply, const void *data, size_t size)
{
	uint8_t *p;

	if (size == 0)
		return;
	p = zs_reply_reserve(reply, size);
	if (!p)
		return;
	memcpy(p, data, size);
	reply->used += size;
}

void zs_reply_status(struct zs_reply *reply, const char *text)
{
	zs_reply_raw(reply, "+", 1);
	zs_reply_raw(reply, text, strlen(text));
	zs_reply_raw(reply, "\r\n", 2);
}

/* Nothing in a line may end it, and what stands at its end is cut off. Returns what is left. */
static size_t make_one_line(uint8_t *text, size_t size)
{
	while (size > 0 && (text[size - 1] == '\r' || text[size - 1] == '\n'))
		size--;
	for (size_t i = 0; i < size; i++) {
		if (text[i] == '\r' || text[i] == '\n')
			text[i] = ' ';
	}
	return size;
}

void zs_reply_error(struct zs_reply *reply, const char *format, ...)
{
	va_list arguments;
	uint8_t *p;
	int length;
	size_t size;

	va_start(arguments, format);
	length = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	if (length < 0)
		length = 0;
	p = zs_reply_reserve(reply, (size_t)length + 3);
	if (!p)
		return;
	p[0] = '-';
	va_start(arguments, format);
	vsnprintf((char *)p + 1, (size_t)length + 1, format, arguments);
	va_end(arguments);
	size = make_one_line(p + 1, (size_t)length);
	put_line_end(p + 1 + size);
	reply->used += size + 3;
}

void zs_reply_integer(struct zs_reply *reply, int64_t value)
{
	uint8_t *p = zs_reply_reserve(reply, HEADER_MAX);
	uint8_t *end;

	if (!p)
		return;
	p[0] = ':';
	end = put_line_end(p + 1 + zs_integer_format(p + 1, value));
	reply->used += (size_t)(end - p);
}

void zs_reply_bulk(struct zs_reply *reply, const void *data, size_t size)
{
	uint8_t *p = zs_reply_reserve(reply, HEADER_MAX + size + 2);

	if (!p)
		return;
	p = put_header(p, '$', size);
	if (size > 0)
		memcpy(p, data, size);
	p = put_line_end(p + size);
	reply->used = (size_t)(p - reply->data);
}

void zs_reply_bulk_text(struct zs_reply *reply, const char *text)
{
	zs_reply_bulk(reply, text, strlen(text));
}

void zs_reply_bulk_integer(struct zs_reply *reply, int64_t value)
{
	uint8_t text[ZS_INTEGER_MAX];

	zs_reply_bulk(reply, text, zs_integer_format(text, value));
}

void zs_reply_verbatim(struct zs_reply *reply, const void *data, size_t size)
{
	if (reply->protocol < 3) {
		zs_reply_bulk(reply, data, size);
		return;
	}
	header(reply, '=', size + 4);
	zs_reply_raw(reply, "txt:", 4);
	zs_reply_raw(reply, data, size);
	zs_reply_raw(reply, "\r\n", 2);
}

void zs_reply_null(struct zs_reply *reply)
{
	if (reply->protocol < 3)
		zs_reply_raw(reply, "$-1\r\n", 5);
	else
		zs_reply_raw(reply, "_\r\n", 3);
}

void zs_reply_null_array(struct zs_reply *reply)
{
	if (reply->protocol < 3)
		zs_reply_raw(reply, "*-1\r\n", 5);
	else
		zs_reply_raw(reply, "_\r\n", 3);
}

void zs_reply_array(struct zs_reply *reply, size_t count)
{
	header(reply, '*', count);
}

void zs_reply_map(struct zs_reply *reply, size_t pairs)
{
	if (reply->protocol < 3)
		header(reply, '*', pairs * 2);
	else
		header(reply, '%', pairs);
}

void zs_reply_set(struct zs_reply *reply, size_t count)
{
	header(reply, reply->protocol < 3 ? '*' : '~', count);
}

void zs_reply_boolean(struct zs_reply *reply, bool value)
{
	if (reply->protocol < 3)
		zs_reply_raw(reply, value ? ":1\r\n" : ":0\r\n", 4);
	else
		zs_reply_raw(reply, value ? "#t\r\n" : "#f\r\n", 4);
}

void zs_reply_double(struct zs_reply *reply, double value)
{
	char text[40];
	int size;

	if (isnan(value))
		size = snprintf(text, sizeof(text), "nan");
	else
		size = snprintf(text, sizeof(text), "%.17g", value);
	if (reply->protocol < 3) {
		zs_reply_bulk(reply, text, (size_t)size);
		return;
	}
	zs_reply_raw(reply, ",", 1);
	zs_reply_raw(reply, text, (size_t)size);
	zs_reply_raw(reply, "\r\n", 2);
}

void zs_reply_insert(struct zs_reply *reply, size_t position, const void *data, size_t size)
{
	uint8_t *p;

	assert(position <= reply->used);
	if (size == 0 || !zs_reply_reserve(reply, size))
		return;
	p = reply->data + position;
	memmove(p + size, p, reply->used - position);
	memcpy(p, data, size);
	reply->used += size;
}

void zs_reply_array_at(struct zs_reply *reply, size_t position, size_t count)
{
	uint8_t text[HEADER_MAX];
	uint8_t *end = put_header(text, '*', count);

	zs_reply_insert(reply, position, text, (size_t)(end - text));
}
