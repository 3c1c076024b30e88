#include "common/resp.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"

/* Commands of up to this many arguments are parsed in one go, without a state of their own. */
#define SHORT_ARGUMENTS 1024u
#define LIST_SIZE 4096u

/* Longer than any number that is in range, its sign and line end. */
#define NUMBER_MAX 24u

int zs_resp_arguments_init(struct zs_resp_arguments *arguments)
{
	*arguments = (struct zs_resp_arguments){ .size = LIST_SIZE };
	arguments->list = malloc(LIST_SIZE * sizeof(*arguments->list));
	return arguments->list ? ZS_OK : ZS_ENOMEM;
}

void zs_resp_arguments_free(struct zs_resp_arguments *arguments)
{
	free(arguments->list);
	free(arguments->text);
	*arguments = (struct zs_resp_arguments){ 0 };
}

void zs_resp_reset(struct zs_resp *parser)
{
	free(parser->spans);
	*parser = (struct zs_resp){ 0 };
}

__attribute__((format(printf, 2, 3))) static enum zs_resp_result fail(struct zs_resp_command *command,
								      const char *format, ...)
{
	int n = snprintf(command->error, sizeof(command->error), "Protocol error: ");
	va_list list;

	va_start(list, format);
	vsnprintf(command->error + n, sizeof(command->error) - (size_t)n, format, list);
	va_end(list);
	return ZS_RESP_ERROR;
}

enum number_result { NUMBER_OK, NUMBER_MORE, NUMBER_BAD };

/* A canonical decimal and CRLF at *position, which is moved behind them. */
static inline enum number_result parse_number(const uint8_t *data, size_t size, size_t *position, int64_t *number)
{
	size_t i = *position;
	size_t end = size - i > NUMBER_MAX ? i + NUMBER_MAX : size;
	bool negative = false;
	size_t first;
	int64_t value = 0;

	if (i < end && data[i] == '-') {
		negative = true;
		i++;
	}
	first = i;
	while (i < end && data[i] >= '0' && data[i] <= '9' && i - first < 18)
		value = value * 10 + (data[i++] - '0');
	if (i == size)
		return NUMBER_MORE;
	if (i == first || data[i] != '\r' || (data[first] == '0' && (i - first > 1 || negative)))
		return NUMBER_BAD;
	if (i + 1 == size)
		return NUMBER_MORE;
	if (data[i + 1] != '\n')
		return NUMBER_BAD;
	*position = i + 2;
	*number = negative ? -value : value;
	return NUMBER_OK;
}

static inline enum zs_resp_result wait_for(struct zs_resp *parser, size_t needed)
{
	parser->needed = needed;
	return ZS_RESP_MORE;
}

/* One bulk string at *position, which is moved behind it. ZS_RESP_COMMAND if it is there whole. */
static inline enum zs_resp_result parse_bulk(struct zs_resp *parser, const struct zs_resp_limits *limits,
					     const uint8_t *data, size_t size, size_t *position,
					     struct zs_resp_span *span, struct zs_resp_command *command)
{
	size_t at = *position;
	int64_t length;

	if (at == size)
		return wait_for(parser, size + 1);
	if (data[at] != '$')
		return fail(command, "expected '$', got '%c'", data[at] >= ' ' && data[at] < 0x7f ? data[at] : '?');
	at++;
	switch (parse_number(data, size, &at, &length)) {
	case NUMBER_MORE:
		return wait_for(parser, size + 1);
	case NUMBER_BAD:
		return fail(command, "invalid bulk length");
	case NUMBER_OK:
		break;
	}
	if (length < 0 || (uint64_t)length > limits->bulk)
		return fail(command, "invalid bulk length");
	if (at + (size_t)length + 2 > limits->total)
		return fail(command, "the command is longer than the limit of %zu bytes", limits->total);
	if (size - at < (size_t)length + 2)
		return wait_for(parser, at + (size_t)length + 2);
	span->offset = at;
	span->size = (size_t)length;
	at += (size_t)length;
	if (data[at] != '\r' || data[at + 1] != '\n')
		return fail(command, "expected CRLF after a bulk string");
	*position = at + 2;
	return ZS_RESP_COMMAND;
}

static enum zs_resp_result done(struct zs_resp *parser, struct zs_resp_arguments *arguments, size_t count,
				size_t consumed, struct zs_resp_command *command)
{
	command->argv = arguments->list + arguments->used;
	command->argc = count;
	command->consumed = consumed;
	arguments->used += count;
	parser->needed = 0;
	return ZS_RESP_COMMAND;
}

static inline enum zs_resp_result parse_short(struct zs_resp *parser, const struct zs_resp_limits *limits,
					      const uint8_t *data, size_t size, size_t position, size_t count,
					      struct zs_resp_arguments *arguments, struct zs_resp_command *command)
{
	struct zs_argument *argument = arguments->list + arguments->used;
	enum zs_resp_result result;
	struct zs_resp_span span = { 0 };

	if (arguments->size - arguments->used < count)
		return ZS_RESP_ROOM;
	for (size_t i = 0; i < count; i++) {
		result = parse_bulk(parser, limits, data, size, &position, &span, command);
		if (result != ZS_RESP_COMMAND)
			return result;
		argument[i].data = data + span.offset;
		argument[i].size = span.size;
	}
	return done(parser, arguments, count, position, command);
}

static bool grow_list(struct zs_resp_arguments *arguments, size_t count)
{
	struct zs_argument *list;

	if (arguments->size >= count)
		return true;
	list = realloc(arguments->list, count * sizeof(*list));
	if (!list)
		return false;
	arguments->list = list;
	arguments->size = count;
	return true;
}

static bool add_span(struct zs_resp *parser, const struct zs_resp_span *span)
{
	if (parser->spans_used == parser->spans_size) {
		size_t larger = parser->spans_size ? parser->spans_size * 2 : SHORT_ARGUMENTS;
		struct zs_resp_span *spans = realloc(parser->spans, larger * sizeof(*spans));

		if (!spans)
			return false;
		parser->spans = spans;
		parser->spans_size = larger;
	}
	parser->spans[parser->spans_used++] = *span;
	return true;
}

static enum zs_resp_result finish_long(struct zs_resp *parser, const uint8_t *data, struct zs_resp_arguments *arguments,
				       struct zs_resp_command *command)
{
	size_t count = parser->spans_used;
	size_t consumed = parser->position;

	if (!grow_list(arguments, count))
		return fail(command, "not enough memory for %zu arguments", count);
	for (size_t i = 0; i < count; i++) {
		arguments->list[i].data = data + parser->spans[i].offset;
		arguments->list[i].size = parser->spans[i].size;
	}
	zs_resp_reset(parser);
	return done(parser, arguments, count, consumed, command);
}

/* A command of many arguments: what was found stays in the parser when the bytes run out. */
static enum zs_resp_result parse_long(struct zs_resp *parser, const struct zs_resp_limits *limits, const uint8_t *data,
				      size_t size, struct zs_resp_arguments *arguments, struct zs_resp_command *command)
{
	enum zs_resp_result result;
	struct zs_resp_span span = { 0 };

	if (arguments->used)
		return ZS_RESP_ROOM;
	while (parser->missing) {
		result = parse_bulk(parser, limits, data, size, &parser->position, &span, command);
		if (result != ZS_RESP_COMMAND)
			return result;
		if (!add_span(parser, &span))
			return fail(command, "not enough memory for the arguments");
		parser->missing--;
	}
	return finish_long(parser, data, arguments, command);
}

static inline enum zs_resp_result parse_array(struct zs_resp *parser, const struct zs_resp_limits *limits,
					      const uint8_t *data, size_t size, struct zs_resp_arguments *arguments,
					      struct zs_resp_command *command)
{
	size_t position = 1;
	int64_t count;

	switch (parse_number(data, size, &position, &count)) {
	case NUMBER_MORE:
		return wait_for(parser, size + 1);
	case NUMBER_BAD:
		return fail(command, "invalid multibulk length");
	case NUMBER_OK:
		break;
	}
	if (count <= 0) {
		command->consumed = position;
		parser->needed = 0;
		return ZS_RESP_EMPTY;
	}
	if ((uint64_t)count > limits->arguments)
		return fail(command, "invalid multibulk length");
	if (count <= SHORT_ARGUMENTS)
		return parse_short(parser, limits, data, size, position, (size_t)count, arguments, command);
	parser->missing = (size_t)count;
	parser->position = position;
	return parse_long(parser, limits, data, size, arguments, command);
}

/* ---- the usual command, all of it there ---- */

/* Digits of a length here. */
#define SHORT_DIGITS 4

/* The most that the header of an argument takes here: its type, a length, and CRLF. */
#define SHORT_HEADER (1 + SHORT_DIGITS + 2)

static inline bool is_crlf(const uint8_t *p)
{
	uint16_t word;

	memcpy(&word, p, sizeof(word));
	return word == ('\r' | '\n' << 8);
}

/*
 * A number above 0 of up to SHORT_DIGITS digits and CRLF at p, where SHORT_DIGITS + 2 bytes can be read. Returns what
 * is behind them, or NULL if there is anything else.
 */
static inline const uint8_t *short_number(const uint8_t *p, size_t *number)
{
	unsigned digit = p[0] - (unsigned)'0';
	unsigned n = digit;

	if (digit - 1 > 8)
		return NULL;
	for (unsigned i = 1; i <= SHORT_DIGITS; i++) {
		if (is_crlf(p + i)) {
			*number = n;
			return p + i + 2;
		}
		digit = p[i] - (unsigned)'0';
		if (digit > 9)
			return NULL;
		n = n * 10 + digit;
	}
	return NULL;
}

/*
 * Parses an array of a few bulk strings between p and end, if it is there whole and has nothing unusual, and returns
 * what is behind it. NULL if it is anything else: then the careful functions say what.
 */
static inline const uint8_t *parse_usual(const struct zs_resp_limits *limits, const uint8_t *p, const uint8_t *end,
					 struct zs_argument *argument, size_t room, size_t *argc)
{
	const uint8_t *start = p;
	size_t count;

	if (end - p < SHORT_HEADER || p[0] != '*')
		return NULL;
	count = p[1] - (size_t)'0';
	if (count - 1 > 8 || count > room || !is_crlf(p + 2))
		return NULL;
	p += 4;
	for (size_t i = 0; i < count; i++) {
		size_t size;

		if (end - p < SHORT_HEADER || *p != '$')
			return NULL;
		p = short_number(p + 1, &size);
		if (!p || size > limits->bulk || (size_t)(end - p) < size + 2 || !is_crlf(p + size))
			return NULL;
		argument[i] = (struct zs_argument){ p, size };
		p += size + 2;
	}
	*argc = count;
	return (size_t)(p - start) <= limits->total && count <= limits->arguments ? p : NULL;
}

size_t zs_resp_parse_run(const struct zs_resp_limits *limits, const uint8_t *data, size_t size,
			 struct zs_resp_arguments *arguments, struct zs_resp_request *list, size_t most)
{
	struct zs_argument *argument = arguments->list + arguments->used;
	size_t room = arguments->size - arguments->used;
	const uint8_t *p = data;
	size_t n;

	for (n = 0; n < most; n++) {
		size_t argc;
		const uint8_t *next = parse_usual(limits, p, data + size, argument, room, &argc);

		if (!next)
			break;
		list[n] = (struct zs_resp_request){ argument, argc, (size_t)(next - data) };
		argument += argc;
		room -= argc;
		p = next;
	}
	arguments->used = arguments->size - room;
	return n;
}

/* ---- inline commands ---- */

static bool is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The character after a backslash within double quotes; *i is at it and is left at its last byte. */
static uint8_t unescape(const uint8_t *line, size_t size, size_t *i)
{
	uint8_t c = line[*i];

	if (c == 'x' && *i + 2 < size && hex_digit(line[*i + 1]) >= 0 && hex_digit(line[*i + 2]) >= 0) {
		*i += 2;
		return (uint8_t)(hex_digit(line[*i - 1]) << 4 | hex_digit(line[*i]));
	}
	switch (c) {
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case 'b':
		return '\b';
	case 'a':
		return '\a';
	default:
		return c;
	}
}

/* One word at *position. False: its quotes are not balanced. */
static bool split_word(const uint8_t *line, size_t size, size_t *position, uint8_t **out)
{
	size_t i = *position;
	uint8_t quote = 0;

	for (; i < size; i++) {
		uint8_t c = line[i];

		if (!quote) {
			if (is_space(c))
				break;
			if (c == '"' || c == '\'')
				quote = c;
			else
				*(*out)++ = c;
		} else if (quote == '"' && c == '\\' && i + 1 < size) {
			i++;
			*(*out)++ = unescape(line, size, &i);
		} else if (quote == '\'' && c == '\\' && i + 1 < size && line[i + 1] == '\'') {
			*(*out)++ = '\'';
			i++;
		} else if (c == quote) {
			if (i + 1 < size && !is_space(line[i + 1]))
				return false; /* something follows the closing quote directly */
			quote = 0;
		} else {
			*(*out)++ = c;
		}
	}
	*position = i;
	return quote == 0;
}

static bool reserve_inline(struct zs_resp_arguments *arguments, size_t size)
{
	uint8_t *text;

	if (!grow_list(arguments, size / 2 + 1))
		return false;
	if (arguments->text_size >= size)
		return true;
	text = realloc(arguments->text, size);
	if (!text)
		return false;
	arguments->text = text;
	arguments->text_size = size;
	return true;
}

static enum zs_resp_result split_line(struct zs_resp *parser, const uint8_t *line, size_t size, size_t consumed,
				      struct zs_resp_arguments *arguments, struct zs_resp_command *command)
{
	size_t count = 0;
	uint8_t *out;

	if (!reserve_inline(arguments, size + 1))
		return fail(command, "not enough memory for the arguments");
	out = arguments->text;
	for (size_t i = 0;;) {
		uint8_t *start = out;

		while (i < size && is_space(line[i]))
			i++;
		if (i == size)
			break;
		if (!split_word(line, size, &i, &out))
			return fail(command, "unbalanced quotes in request");
		arguments->list[count].data = start;
		arguments->list[count++].size = (size_t)(out - start);
	}
	if (count)
		return done(parser, arguments, count, consumed, command);
	command->consumed = consumed;
	parser->needed = 0;
	return ZS_RESP_EMPTY;
}

static enum zs_resp_result parse_inline(struct zs_resp *parser, const uint8_t *data, size_t size,
					struct zs_resp_arguments *arguments, struct zs_resp_command *command)
{
	size_t searched = parser->needed ? parser->needed - 1 : 0;
	const uint8_t *end = size > searched ? memchr(data + searched, '\n', size - searched) : 0;
	size_t length;

	if (!end) {
		if (size > ZS_RESP_INLINE_MAX)
			return fail(command, "too big inline request");
		return wait_for(parser, size + 1);
	}
	length = (size_t)(end - data);
	if (length > ZS_RESP_INLINE_MAX)
		return fail(command, "too big inline request");
	if (arguments->used)
		return ZS_RESP_ROOM;
	if (length && data[length - 1] == '\r')
		return split_line(parser, data, length - 1, length + 1, arguments, command);
	return split_line(parser, data, length, length + 1, arguments, command);
}

enum zs_resp_result zs_resp_parse(struct zs_resp *parser, const struct zs_resp_limits *limits, const uint8_t *data,
				  size_t size, struct zs_resp_arguments *arguments, struct zs_resp_command *command)
{
	if (size == 0 || size < parser->needed)
		return ZS_RESP_MORE;
	if (parser->missing)
		return parse_long(parser, limits, data, size, arguments, command);
	if (data[0] == '*')
		return parse_array(parser, limits, data, size, arguments, command);
	return parse_inline(parser, data, size, arguments, command);
}
