#include "bench/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/scanner.h"
#include "common/error.h"

#define BATCH_MAX 1024
#define REQUEST_MAX (ZS_OBJECT_MAX + 512)

struct replay {
	struct zs_trace *trace;
	const struct zs_replay_server *server;
	int fd;
	struct zs_scanner scanner;
	struct zs_access batch[BATCH_MAX];
	bool hit[BATCH_MAX];
	unsigned asked[BATCH_MAX]; /* which of the batch the lookups of a round belong to */
	unsigned answered;
	char value[ZS_OBJECT_MAX];
	char *out; /* room for BATCH_MAX requests */
	size_t out_size;
	char in[65536];
};

static void on_reply(void *context, uint64_t values)
{
	struct replay *replay = context;

	if (replay->answered < BATCH_MAX)
		replay->hit[replay->asked[replay->answered++]] = values > 0;
}

/* ---- requests ---- */

__attribute__((format(printf, 2, 3))) static void put(struct replay *replay, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	replay->out_size += (size_t)vsnprintf(replay->out + replay->out_size, REQUEST_MAX, format, arguments);
	va_end(arguments);
}

static void put_lookup(struct replay *replay, const char *key, uint32_t size)
{
	if (replay->server->protocol == ZS_RESP)
		put(replay, "*2\r\n$3\r\nGET\r\n$%u\r\n%.*s\r\n", size, (int)size, key);
	else
		put(replay, "get %.*s\r\n", (int)size, key);
}

static void put_delete(struct replay *replay, const char *key, uint32_t size)
{
	if (replay->server->protocol == ZS_RESP)
		put(replay, "*2\r\n$3\r\nDEL\r\n$%u\r\n%.*s\r\n", size, (int)size, key);
	else
		put(replay, "delete %.*s\r\n", (int)size, key);
}

static void put_store(struct replay *replay, const char *key, uint32_t size, uint64_t ttl_ms)
{
	uint32_t value = replay->trace->profile->value_size;
	char ttl[24];
	int digits;

	if (replay->server->protocol == ZS_MEMCACHED) {
		put(replay, "set %.*s 0 %" PRIu64 " %u\r\n%.*s\r\n", (int)size, key, (ttl_ms + 999) / 1000, value,
		    (int)value, replay->value);
		return;
	}
	put(replay, "*%d\r\n$3\r\nSET\r\n$%u\r\n%.*s\r\n$%u\r\n%.*s\r\n", ttl_ms ? 5 : 3, size, (int)size, key, value,
	    (int)value, replay->value);
	if (ttl_ms) {
		digits = snprintf(ttl, sizeof(ttl), "%" PRIu64, ttl_ms);
		put(replay, "$2\r\nPX\r\n$%d\r\n%s\r\n", digits, ttl);
	}
}

/* ---- rounds ---- */

static int send_all(struct replay *replay)
{
	size_t done = 0;

	while (done < replay->out_size) {
		ssize_t sent = send(replay->fd, replay->out + done, replay->out_size - done, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0) {
			fprintf(stderr, "%s: %s\n", replay->server->address, strerror(errno));
			return -1;
		}
		done += (size_t)sent;
	}
	replay->out_size = 0;
	return 0;
}

static int receive_until(struct replay *replay, uint64_t target)
{
	size_t kept = 0;

	while (replay->scanner.replies < target) {
		ssize_t got = recv(replay->fd, replay->in + kept, sizeof(replay->in) - kept, 0);
		ssize_t used;

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			fprintf(stderr, "%s: %s\n", replay->server->address,
				got ? strerror(errno) : "the connection was closed");
			return -1;
		}
		used = zs_scanner_feed(&replay->scanner, replay->in, kept + (size_t)got);
		if (used < 0 || replay->scanner.errors) {
			fprintf(stderr, "%s: %s\n", replay->server->address, replay->scanner.first_error);
			return -1;
		}
		kept = kept + (size_t)got - (size_t)used;
		memmove(replay->in, replay->in + used, kept);
	}
	return 0;
}

static int round_trip(struct replay *replay, unsigned requests)
{
	if (!requests)
		return 0;
	if (send_all(replay))
		return -1;
	return receive_until(replay, replay->scanner.replies + requests);
}

static bool looks_up(const struct zs_access *access)
{
	return access->kind == ZS_ACCESS_READ || access->kind == ZS_ACCESS_UPDATE;
}

static int look_up(struct replay *replay, unsigned count)
{
	char key[ZS_TRACE_KEY_MAX];
	unsigned requests = 0;
	int status;

	for (unsigned i = 0; i < count; i++) {
		replay->hit[i] = false;
		if (!looks_up(&replay->batch[i]))
			continue;
		replay->asked[requests++] = i;
		zs_trace_key(replay->trace, replay->batch[i].key, key);
		put_lookup(replay, key, replay->trace->profile->key_size);
	}
	replay->answered = 0;
	replay->scanner.reply = on_reply;
	status = round_trip(replay, requests);
	replay->scanner.reply = NULL;
	return status;
}

static int write_back(struct replay *replay, unsigned count)
{
	double speed = replay->server->speed > 0 ? replay->server->speed : 1;
	uint32_t size = replay->trace->profile->key_size;
	char key[ZS_TRACE_KEY_MAX];
	unsigned requests = 0;

	for (unsigned i = 0; i < count; i++) {
		const struct zs_access *access = &replay->batch[i];

		if (access->kind == ZS_ACCESS_READ && replay->hit[i])
			continue;
		zs_trace_key(replay->trace, access->key, key);
		if (access->kind == ZS_ACCESS_DELETE)
			put_delete(replay, key, size);
		else
			put_store(replay, key, size, (uint64_t)((double)access->ttl_ms / speed + 0.999));
		requests++;
	}
	return round_trip(replay, requests);
}

static void wait_until(uint64_t when)
{
	uint64_t now = zs_net_now();

	if (when > now) {
		struct timespec rest = { (time_t)((when - now) / 1000000000u), (long)((when - now) % 1000000000u) };

		nanosleep(&rest, NULL);
	}
}

static int run(struct replay *replay, uint64_t begin, struct zs_replay_result *result)
{
	struct zs_trace *trace = replay->trace;
	uint64_t started = zs_net_now();

	while (trace->done < trace->accesses) {
		uint64_t first = trace->done;
		unsigned count = 0;

		while (count < replay->server->depth && trace->done < trace->accesses)
			zs_trace_next(trace, &replay->batch[count++]);
		if (replay->server->speed > 0)
			wait_until(started + (uint64_t)((double)replay->batch[0].now_ms * 1e6 / replay->server->speed));
		if (look_up(replay, count) || write_back(replay, count))
			return -1;
		for (unsigned i = 0; i < count; i++) {
			if (first + i < begin || !looks_up(&replay->batch[i]))
				continue;
			result->lookups++;
			result->hits += replay->hit[i];
		}
	}
	result->seconds = (double)(zs_net_now() - started) / 1e9;
	return 0;
}

int zs_replay_server(struct zs_trace *trace, const struct zs_replay_server *server, double warmup,
		     struct zs_replay_result *result)
{
	struct replay *replay = calloc(1, sizeof(*replay));
	int status = -1;

	*result = (struct zs_replay_result){ 0 };
	if (!replay)
		return -1;
	replay->trace = trace;
	replay->server = server;
	zs_scanner_init(&replay->scanner, server->protocol);
	replay->scanner.context = replay;
	memset(replay->value, 'v', sizeof(replay->value));
	zs_trace_rewind(trace);
	replay->fd = zs_net_connect(server->address);
	if (replay->fd < 0)
		goto free_replay;
	replay->out = malloc((size_t)BATCH_MAX * REQUEST_MAX);
	if (replay->out)
		status = run(replay, (uint64_t)(warmup * (double)trace->accesses), result);
	free(replay->out);
	close(replay->fd);
free_replay:
	free(replay);
	return status;
}
