#include "bench/replay.h"

#include <stdio.h>
#include <string.h>

#include "common/error.h"

/* The virtual clock starts here, in 2023. */
#define EPOCH_MS 1700000000000u
#define QUIESCE_EVERY 8
#define UPKEEP_EVERY 64
#define UPKEEP_US 100
#define COUNT_EVERY 1024
/* Writes that are told to try again so often in a row will never succeed. */
#define TRIES 10000

struct replay {
	struct zs_trace *trace;
	struct zs_engine *engine;
	struct zs_thread *thread;
	uint64_t now_ms;
	char value[ZS_OBJECT_MAX];
};

static uint64_t virtual_ms(void *context)
{
	const struct replay *replay = context;

	return EPOCH_MS + replay->now_ms;
}

/* Durations of upkeep are real ones. */
static uint64_t real_ns(void *context)
{
	(void)context;
	return zs_net_now();
}

static int store(struct replay *replay, const struct zs_access *access, const char *key)
{
	const struct zs_trace_profile *profile = replay->trace->profile;
	struct zs_set set = { .key = key,
			      .key_size = profile->key_size,
			      .value = replay->value,
			      .value_size = profile->value_size,
			      .deadline = access->ttl_ms ? EPOCH_MS + access->now_ms + access->ttl_ms : 0 };
	int error = ZS_EAGAIN;

	for (unsigned i = 0; i < TRIES && error == ZS_EAGAIN; i++) {
		error = zs_set(replay->thread, &set, NULL);
		if (error == ZS_EAGAIN)
			zs_thread_upkeep(replay->thread, UPKEEP_US);
	}
	return error;
}

static int do_access(struct replay *replay, const struct zs_access *access, bool *hit)
{
	struct zs_view view;
	char key[ZS_TRACE_KEY_MAX];
	size_t key_size = replay->trace->profile->key_size;
	int error;

	zs_trace_key(replay->trace, access->key, key);
	*hit = false;
	switch (access->kind) {
	case ZS_ACCESS_READ:
		error = zs_get(replay->thread, key, key_size, 0, &view);
		*hit = error == ZS_OK;
		return error == ZS_ENOTFOUND ? store(replay, access, key) : error;
	case ZS_ACCESS_UPDATE:
		*hit = zs_get(replay->thread, key, key_size, 0, &view) == ZS_OK;
		return store(replay, access, key);
	case ZS_ACCESS_WRITE:
		return store(replay, access, key);
	case ZS_ACCESS_DELETE:
		error = zs_delete(replay->thread, key, key_size, NULL);
		return error == ZS_ENOTFOUND ? ZS_OK : error;
	case ZS_ACCESS_KINDS:
		break;
	}
	return ZS_EINVAL;
}

static int run(struct replay *replay, uint64_t begin, struct zs_replay_result *result)
{
	uint64_t samples = 0;

	for (uint64_t i = 0; i < replay->trace->accesses; i++) {
		struct zs_access access;
		bool hit;
		int error;

		zs_trace_next(replay->trace, &access);
		replay->now_ms = access.now_ms;
		if (i % UPKEEP_EVERY == 0)
			zs_thread_upkeep(replay->thread, UPKEEP_US);
		else if (i % QUIESCE_EVERY == 0)
			zs_thread_quiesce(replay->thread);
		error = do_access(replay, &access, &hit);
		if (error) {
			fprintf(stderr, "the engine refused access %llu: %s\n", (unsigned long long)i,
				zs_error_text(error));
			return error;
		}
		if (i < begin)
			continue;
		if (i % COUNT_EVERY == 0) {
			result->objects += (double)zs_engine_count(replay->engine);
			samples++;
		}
		if (access.kind == ZS_ACCESS_READ || access.kind == ZS_ACCESS_UPDATE) {
			result->lookups++;
			result->hits += hit;
		}
	}
	result->objects /= samples ? (double)samples : 1;
	return ZS_OK;
}

int zs_replay_engine(struct zs_trace *trace, enum zs_policy policy, uint64_t memory, double warmup,
		     struct zs_replay_result *result)
{
	struct replay replay = { .trace = trace };
	const struct zs_clock clock = { virtual_ms, real_ns, &replay };
	uint64_t started = zs_net_now();
	struct zs_engine_options options;
	struct zs_stats stats;
	char why[256];
	int error;

	*result = (struct zs_replay_result){ 0 };
	zs_engine_options_init(&options);
	options.memory = memory;
	options.policy = policy;
	options.threads = 1;
	options.clock = &clock;
	options.seed = 1;
	error = zs_engine_open(&options, &replay.engine, why, sizeof(why));
	if (error) {
		fprintf(stderr, "no engine of %llu bytes: %s\n", (unsigned long long)memory, why);
		return error;
	}
	memset(replay.value, 'v', sizeof(replay.value));
	zs_trace_rewind(trace);
	replay.thread = zs_thread_attach(replay.engine);
	if (!replay.thread) {
		error = ZS_ENOMEM;
		goto close_engine;
	}
	error = run(&replay, (uint64_t)(warmup * (double)trace->accesses), result);
	zs_engine_stats(replay.engine, &stats);
	result->evicted = stats.evicted_objects;
	result->moved = (double)stats.moved_evict / (double)trace->accesses;
	result->seconds = (double)(zs_net_now() - started) / 1e9;
	zs_thread_detach(replay.thread);
close_engine:
	zs_engine_close(replay.engine);
	return error;
}
