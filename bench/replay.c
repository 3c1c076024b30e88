#include "bench/replay.h"

#include "common/error.h"

double zs_replay_hit_ratio(const struct zs_replay_result *result)
{
	return result->lookups ? 100 * (double)result->hits / (double)result->lookups : 0;
}

/* Returns whether it was a hit; meaningless for writes and deletes. */
static bool access_yardstick(struct zs_yardstick *cache, const struct zs_access *access)
{
	uint64_t deadline = access->ttl_ms ? access->now_ms + access->ttl_ms : 0;
	bool hit = false;

	switch (access->kind) {
	case ZS_ACCESS_READ:
		hit = zs_yardstick_get(cache, access->key, access->now_ms);
		if (!hit)
			zs_yardstick_set(cache, access->key, deadline);
		break;
	case ZS_ACCESS_UPDATE:
		hit = zs_yardstick_get(cache, access->key, access->now_ms);
		zs_yardstick_set(cache, access->key, deadline);
		break;
	case ZS_ACCESS_WRITE:
		zs_yardstick_set(cache, access->key, deadline);
		break;
	case ZS_ACCESS_DELETE:
		zs_yardstick_delete(cache, access->key);
		break;
	case ZS_ACCESS_KINDS:
		break;
	}
	return hit;
}

int zs_replay_yardstick(struct zs_trace *trace, enum zs_yardstick_policy policy, uint64_t capacity, double warmup,
			struct zs_replay_result *result)
{
	uint64_t begin = (uint64_t)(warmup * (double)trace->accesses);
	struct zs_yardstick *cache = zs_yardstick_open(policy, capacity);
	uint64_t started = zs_net_now();

	*result = (struct zs_replay_result){ 0 };
	if (!cache)
		return ZS_ENOMEM;
	zs_trace_rewind(trace);
	for (uint64_t i = 0; i < trace->accesses; i++) {
		struct zs_access access;
		bool hit;

		zs_trace_next(trace, &access);
		hit = access_yardstick(cache, &access);
		if (i < begin)
			continue;
		result->objects += (double)zs_yardstick_count(cache);
		if (access.kind == ZS_ACCESS_READ || access.kind == ZS_ACCESS_UPDATE) {
			result->lookups++;
			result->hits += hit;
		}
	}
	result->objects /= (double)(trace->accesses - begin);
	result->seconds = (double)(zs_net_now() - started) / 1e9;
	zs_yardstick_close(cache);
	return ZS_OK;
}
