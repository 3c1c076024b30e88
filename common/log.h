/*
 * The log: one line per event in logfmt, `ts=2026-01-31T12:00:00.000Z level=info msg="..." key=value`.
 *
 * The log never disturbs service: a line that cannot be written at once (full disk, closed pipe, a reader
 * that does not read) is dropped and counted, and the count is written as soon as a line goes through again.
 * All functions are thread-safe.
 */
#ifndef ZS_COMMON_LOG_H
#define ZS_COMMON_LOG_H

#include <stdint.h>

enum zs_log_level {
	ZS_LOG_DEBUG,
	ZS_LOG_INFO,
	ZS_LOG_WARN,
	ZS_LOG_ERROR,
};

/* A key with its value; text is quoted where it has to be, so it may be anything. */
struct zs_log_field {
	const char *key;
	const char *text; /* NULL: the value is `number` */
	int64_t number;
};

static inline struct zs_log_field zs_log_text(const char *key, const char *text)
{
	return (struct zs_log_field){ .key = key, .text = text ? text : "" };
}

static inline struct zs_log_field zs_log_number(const char *key, int64_t number)
{
	return (struct zs_log_field){ .key = key, .number = number };
}

/*
 * Writes from now on to the file at `path` (appended to, made if needed), or to stderr if it is NULL or
 * empty. ZS_OK, or ZS_ESYS with errno set; the log then stays where it was.
 */
int zs_log_open(const char *path);

/* Opens the same path again, after it was rotated away. As zs_log_open. */
int zs_log_reopen(void);

/* Events below this level are not written. The start value is ZS_LOG_INFO. */
void zs_log_set_level(enum zs_log_level level);

/* Lines that could not be written since the start. */
uint64_t zs_log_dropped(void);

/* Writes one line; `fields` ends with a NULL key. Lines longer than 4,000 bytes are cut. */
void zs_log_write(enum zs_log_level level, const char *message, const struct zs_log_field *fields);

/* zs_log(ZS_LOG_INFO, "listening", zs_log_text("address", a), zs_log_number("port", p)); */
#define zs_log(level, message, ...) \
	zs_log_write(level, message, (const struct zs_log_field[]){ { 0 }, ##__VA_ARGS__, { 0 } } + 1)

#endif
