#include "bench/scanner.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define BODY_MAX (512u << 20)
#define ELEMENTS_MAX (1u << 24)

void zs_scanner_init(struct zs_scanner *scanner, enum zs_protocol protocol)
{
	*scanner = (struct zs_scanner){ .protocol = protocol };
}

/* The first error is the one that explains the others. A line may contain anything: it is cut to printable
 * text. */
static void note_error(struct zs_scanner *scanner, const char *what, const char *line, size_t size)
{
	size_t used;

	if (scanner->first_error[0])
		return;
	used = (size_t)snprintf(scanner->first_error, sizeof(scanner->first_error), "%s", what);
	for (size_t i = 0; i < size && used + 1 < sizeof(scanner->first_error); i++)
		scanner->first_error[used++] = line[i] >= ' ' && line[i] <= '~' ? line[i] : '?';
	scanner->first_error[used] = '\0';
}

/* A decimal that fills the text exactly; -1 is allowed. */
static bool parse_length(const char *text, const char *end, int64_t *value)
{
	int64_t number = 0;

	if (end - text == 2 && text[0] == '-' && text[1] == '1') {
		*value = -1;
		return true;
	}
	if (text == end || end - text > 18)
		return false;
	for (; text < end; text++) {
		if (*text < '0' || *text > '9')
			return false;
		number = number * 10 + (*text - '0');
	}
	*value = number;
	return true;
}

static void reply_done(struct zs_scanner *scanner)
{
	scanner->replies++;
	if (scanner->reply)
		scanner->reply(scanner->context, scanner->values - scanner->values_before);
	scanner->values_before = scanner->values;
}

static void element_done(struct zs_scanner *scanner)
{
	if (--scanner->need == 0)
		reply_done(scanner);
}

static bool take_bulk(struct zs_scanner *scanner, const char *line, const char *end)
{
	int64_t length;

	if (!parse_length(line + 1, end, &length) || length > BODY_MAX)
		return false;
	if (length < 0) {
		scanner->nulls++;
		element_done(scanner);
		return true;
	}
	if (*line == '!') {
		scanner->errors++;
		note_error(scanner, "a bulk error", NULL, 0);
	} else {
		scanner->values++;
	}
	scanner->skip = (uint64_t)length + 2;
	return true;
}

static bool take_aggregate(struct zs_scanner *scanner, const char *line, const char *end)
{
	int64_t length;

	if (!parse_length(line + 1, end, &length) || length > ELEMENTS_MAX)
		return false;
	if (length < 0)
		scanner->nulls++;
	else
		scanner->need += (uint64_t)length * (*line == '%' ? 2 : 1);
	element_done(scanner);
	return true;
}

/* One header line of RESP, without its CRLF. */
static bool take_resp_line(struct zs_scanner *scanner, const char *line, const char *end)
{
	if (!scanner->need)
		scanner->need = 1;
	switch (line < end ? *line : '\0') {
	case '$':
	case '=':
	case '!':
		return take_bulk(scanner, line, end);
	case '*':
	case '~':
	case '%':
		return take_aggregate(scanner, line, end);
	case '-':
		scanner->errors++;
		note_error(scanner, "", line + 1, (size_t)(end - line - 1));
		element_done(scanner);
		return true;
	case '_':
		scanner->nulls++;
		element_done(scanner);
		return true;
	case '+':
	case ':':
	case ',':
	case '#':
	case '(':
		element_done(scanner);
		return true;
	default:
		return false;
	}
}

static bool starts_with(const char *line, const char *end, const char *word)
{
	size_t size = strlen(word);

	return (size_t)(end - line) >= size && !memcmp(line, word, size);
}

/* "VALUE <key> <flags> <bytes>": the body follows. */
static bool take_value_line(struct zs_scanner *scanner, const char *line, const char *end)
{
	const char *space = memrchr(line, ' ', (size_t)(end - line));
	int64_t length;

	if (!parse_length(space + 1, end, &length) || length < 0 || length > BODY_MAX)
		return false;
	scanner->values++;
	scanner->skip = (uint64_t)length + 2;
	return true;
}

/* One line of memcached's text protocol, without its CRLF. Everything but VALUE ends a reply. */
static bool take_memcached_line(struct zs_scanner *scanner, const char *line, const char *end)
{
	static const char *const good[] = { "END",	 "STORED",     "DELETED", "TOUCHED", "OK",
					    "NOT_FOUND", "NOT_STORED", "EXISTS",  "VERSION" };
	static const char *const bad[] = { "ERROR", "CLIENT_ERROR", "SERVER_ERROR" };
	int64_t number;

	if (starts_with(line, end, "VALUE "))
		return take_value_line(scanner, line, end);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (starts_with(line, end, bad[i])) {
			scanner->errors++;
			reply_done(scanner);
			note_error(scanner, "", line, (size_t)(end - line));
			return true;
		}
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (starts_with(line, end, good[i])) {
			reply_done(scanner);
			return true;
		}
	}
	if (!parse_length(line, end, &number))
		return false;
	reply_done(scanner);
	return true;
}

/* Steps over a body, or over what has come of it. */
static size_t step_over(struct zs_scanner *scanner, size_t available)
{
	size_t step = scanner->skip < available ? (size_t)scanner->skip : available;

	scanner->skip -= step;
	if (!scanner->skip && scanner->protocol == ZS_RESP)
		element_done(scanner);
	return step;
}

ssize_t zs_scanner_feed(struct zs_scanner *scanner, const char *data, size_t size)
{
	const char *p = data;
	const char *end = data + size;

	while (p < end) {
		const char *newline;
		bool good;

		if (scanner->skip) {
			p += step_over(scanner, (size_t)(end - p));
			continue;
		}
		newline = memchr(p, '\n', (size_t)(end - p));
		if (!newline && end - p <= ZS_SCANNER_LINE_MAX)
			break;
		if (!newline || newline == p || newline[-1] != '\r') {
			note_error(scanner, "not a line of the protocol: ", p, (size_t)(end - p));
			return -1;
		}
		good = scanner->protocol == ZS_RESP ? take_resp_line(scanner, p, newline - 1)
						    : take_memcached_line(scanner, p, newline - 1);
		if (!good) {
			note_error(scanner, "not a reply of the protocol: ", p, (size_t)(newline - 1 - p));
			return -1;
		}
		p = newline + 1;
	}
	return p - data;
}
