#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/error.h"

/* Not above PIPE_BUF: a pipe then takes a line whole or not at all. */
#define LINE_MAX_BYTES 4000

struct line {
	char text[LINE_MAX_BYTES + 1];
	size_t used;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = STDERR_FILENO;
static char *log_path;
static _Atomic int log_level = ZS_LOG_INFO;
static _Atomic uint64_t dropped;
static uint64_t dropped_unsaid; /* under the lock */

static void put(struct line *line, char c)
{
	if (line->used < LINE_MAX_BYTES)
		line->text[line->used++] = c;
}

static void put_text(struct line *line, const char *text)
{
	for (; *text; text++)
		put(line, *text);
}

static bool needs_quotes(const char *text)
{
	if (!*text)
		return true;
	for (; *text; text++) {
		if ((unsigned char)*text <= ' ' || *text == '"' || *text == '=' || *text == '\\' || *text == 0x7f)
			return true;
	}
	return false;
}

static void put_value(struct line *line, const char *text)
{
	if (!needs_quotes(text)) {
		put_text(line, text);
		return;
	}
	put(line, '"');
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\') {
			put(line, '\\');
			put(line, (char)c);
		} else if (c == '\n') {
			put_text(line, "\\n");
		} else if (c < ' ' || c == 0x7f) {
			put(line, '?');
		} else {
			put(line, (char)c);
		}
	}
	put(line, '"');
}

static void put_field(struct line *line, const struct zs_log_field *field)
{
	char number[24];

	put(line, ' ');
	put_text(line, field->key);
	put(line, '=');
	if (field->text) {
		put_value(line, field->text);
	} else {
		snprintf(number, sizeof(number), "%" PRId64, field->number);
		put_text(line, number);
	}
}

static void begin(struct line *line, enum zs_log_level level, const char *message)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };
	struct timespec now;
	struct tm utc;
	char date[40];
	char stamp[96];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(stamp, sizeof(stamp), "ts=%s.%03ldZ level=%s msg=", date, now.tv_nsec / 1000000, names[level]);
	line->used = 0;
	put_text(line, stamp);
	put_value(line, message);
}

/* Under the lock. False if the line did not go out whole. */
static bool send_line(struct line *line)
{
	struct pollfd ready = { .fd = log_fd, .events = POLLOUT };
	ssize_t written;

	line->text[line->used] = '\n';
	/* A pipe or terminal whose reader has stopped would block the caller. */
	if (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT))
		return false;
	do {
		written = write(log_fd, line->text, line->used + 1);
	} while (written < 0 && errno == EINTR);
	return written == (ssize_t)line->used + 1;
}

static void say_dropped(void)
{
	struct line line;
	struct zs_log_field field = zs_log_number("lines", (int64_t)dropped_unsaid);

	if (dropped_unsaid == 0)
		return;
	begin(&line, ZS_LOG_WARN, "log lines were lost");
	put_field(&line, &field);
	if (send_line(&line))
		dropped_unsaid = 0;
}

void zs_log_write(enum zs_log_level level, const char *message, const struct zs_log_field *fields)
{
	struct line line;
	int saved_errno = errno;

	if ((int)level < atomic_load_explicit(&log_level, memory_order_relaxed))
		return;
	begin(&line, level, message);
	for (; fields->key; fields++)
		put_field(&line, fields);
	pthread_mutex_lock(&lock);
	say_dropped();
	if (!send_line(&line)) {
		dropped_unsaid++;
		atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&lock);
	errno = saved_errno;
}

static int open_path(const char *path)
{
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
}

/* Takes over `path`. */
static void switch_to(int fd, char *path)
{
	int old_fd;
	char *old_path;

	pthread_mutex_lock(&lock);
	old_fd = log_fd;
	old_path = log_path;
	log_fd = fd;
	log_path = path;
	pthread_mutex_unlock(&lock);
	if (old_fd != STDERR_FILENO)
		close(old_fd);
	free(old_path);
}

int zs_log_open(const char *path)
{
	char *copy;
	int fd;

	if (!path || !*path) {
		switch_to(STDERR_FILENO, 0);
		return ZS_OK;
	}
	copy = strdup(path);
	if (!copy)
		return ZS_ENOMEM;
	fd = open_path(path);
	if (fd < 0) {
		int error = errno;

		free(copy);
		errno = error;
		return ZS_ESYS;
	}
	switch_to(fd, copy);
	return ZS_OK;
}

int zs_log_reopen(void)
{
	char *path;
	int result;

	pthread_mutex_lock(&lock);
	path = log_path ? strdup(log_path) : 0;
	pthread_mutex_unlock(&lock);
	result = path ? zs_log_open(path) : ZS_OK;
	free(path);
	return result;
}

void zs_log_set_level(enum zs_log_level level)
{
	atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

uint64_t zs_log_dropped(void)
{
	return atomic_load_explicit(&dropped, memory_order_relaxed);
}
