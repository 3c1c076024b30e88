/*
 * bench-hitratio: hit ratios of the engine beside object-level policies that hold as many objects; or of a
 * server.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/flags.h"
#include "bench/json.h"
#include "bench/replay.h"
#include "bench/trace.h"
#include "common/error.h"

#define TEXTS 16

struct settings {
	const char *traces;
	const char *policies;
	const char *shares;
	const char *server;
	const char *json;
	uint64_t keys;
	uint64_t accesses;
	uint64_t depth;
	uint64_t seed;
	double rate;
	double speed;
	double warmup;
	bool quick;
};

static struct settings settings = {
	.traces = "zipf,scan,churn",
	.policies = "s3fifo",
	.shares = "10,1",
	.keys = 4000000,
	.accesses = 20000000,
	.depth = 64,
	.seed = 1,
	.rate = 50000,
	.warmup = 0.3,
};

static const struct zs_flag flags[] = {
	{ "traces", ZS_FLAG_TEXT, &settings.traces, 0, 0, "NAMES", "which, separated by commas, or all" },
	{ "policies", ZS_FLAG_TEXT, &settings.policies, 0, 0, "NAMES", "of the engine: s3fifo,lru,lfu" },
	{ "shares", ZS_FLAG_TEXT, &settings.shares, 0, 0, "PERCENTS", "of the popular keys that the cache holds" },
	{ "keys", ZS_FLAG_NUMBER, &settings.keys, 1000, 1u << 30, "N", "popular keys" },
	{ "accesses", ZS_FLAG_NUMBER, &settings.accesses, 1000, 1e11, "N", "length of a trace" },
	{ "warmup", ZS_FLAG_REAL, &settings.warmup, 0, 0.99, "SHARE", "of the accesses that are not counted" },
	{ "rate", ZS_FLAG_REAL, &settings.rate, 1, 1e9, "N", "accesses to a second of virtual time" },
	{ "seed", ZS_FLAG_NUMBER, &settings.seed, 0, 1e15, "N", "of the random numbers" },
	{ "quick", ZS_FLAG_SWITCH, &settings.quick, 0, 0, NULL, "3M keys, 6M accesses" },
	{ "server", ZS_FLAG_TEXT, &settings.server, 0, 0, "ADDRESS", "redis:HOST:PORT or memcached:HOST:PORT" },
	{ "pipeline", ZS_FLAG_NUMBER, &settings.depth, 1, 1024, "N", "accesses that go to a server as one" },
	{ "speed", ZS_FLAG_REAL, &settings.speed, 0, 1e6, "X", "times virtual time, with a server; 0: all it can" },
	{ "json", ZS_FLAG_TEXT, &settings.json, 0, 0, "FILE", "results as JSON; - for standard output" },
};

static const struct zs_program program = {
	"bench-hitratio",
	"Replays made-up traces (look up; store what was missed) against the engine, and against exact "
	"object-level S3-FIFO,\n"
	"LRU and SIEVE that hold as many objects as the engine did. With --server, against a running server "
	"instead: the\n"
	"protocol of redis: is RESP, so zslabd is one too.",
	flags,
	sizeof(flags) / sizeof(flags[0]),
};

static struct zs_json json;
static bool quiet;

/* Cuts a list at its commas, in place of a copy. Returns how many there are. */
static unsigned split(const char *option, const char *text, char copy[256], char *parts[TEXTS])
{
	size_t size = strlen(text) + 1;
	unsigned count = 0;

	if (size > 256)
		zs_flags_fail(&program, "--%s: the list is too long", option);
	memcpy(copy, text, size);
	for (char *rest = copy, *part; (part = strsep(&rest, ","));) {
		if (count == TEXTS)
			zs_flags_fail(&program, "--%s: more than %d names", option, TEXTS);
		parts[count++] = part;
	}
	return count;
}

static unsigned choose_traces(const struct zs_trace_profile *chosen[TEXTS])
{
	size_t all;
	const struct zs_trace_profile *profiles = zs_trace_profiles(&all);
	char copy[256];
	char *names[TEXTS];
	unsigned count = 0;

	if (!strcmp(settings.traces, "all")) {
		for (; count < all; count++)
			chosen[count] = &profiles[count];
		return count;
	}
	count = split("traces", settings.traces, copy, names);
	for (unsigned i = 0; i < count; i++) {
		chosen[i] = zs_trace_find(names[i]);
		if (chosen[i])
			continue;
		fprintf(stderr, "bench-hitratio: --traces %s: traces are", names[i]);
		for (size_t j = 0; j < all; j++)
			fprintf(stderr, " %s", profiles[j].name);
		fputc('\n', stderr);
		exit(2);
	}
	return count;
}

static unsigned choose_policies(enum zs_policy chosen[TEXTS])
{
	static const char *const known[] = { "s3fifo", "lru", "lfu" };
	char copy[256];
	char *names[TEXTS];
	unsigned count = split("policies", settings.policies, copy, names);

	for (unsigned i = 0; i < count; i++) {
		unsigned j = 0;

		while (j < 3 && strcmp(names[i], known[j]) != 0)
			j++;
		if (j == 3)
			zs_flags_fail(&program, "--policies %s: policies are s3fifo, lru, lfu", names[i]);
		chosen[i] = (enum zs_policy)j;
	}
	return count;
}

static const char *policy_name(enum zs_policy policy)
{
	return policy == ZS_POLICY_S3FIFO ? "s3fifo" : policy == ZS_POLICY_LRU ? "lru" : "lfu";
}

static unsigned choose_shares(double chosen[TEXTS])
{
	char copy[256];
	char *texts[TEXTS];
	unsigned count = split("shares", settings.shares, copy, texts);

	for (unsigned i = 0; i < count; i++) {
		char *end;

		chosen[i] = strtod(texts[i], &end) / 100;
		if (*end || chosen[i] <= 0 || chosen[i] > 1)
			zs_flags_fail(&program, "--shares %s: percents above 0 and up to 100 are wanted", texts[i]);
	}
	return count;
}

static void open_trace(struct zs_trace *trace, const struct zs_trace_profile *profile)
{
	int error = zs_trace_open(trace, profile, settings.keys, settings.accesses, settings.rate, settings.seed);

	if (error) {
		fprintf(stderr, "bench-hitratio: trace %s: %s\n", profile->name, zs_error_text(error));
		exit(1);
	}
}

/* Finds the memory with which the engine holds about `target` objects, and leaves the result of that run. */
static uint64_t fit_memory(struct zs_trace *trace, enum zs_policy policy, double target,
			   struct zs_replay_result *result)
{
	const struct zs_trace_profile *profile = trace->profile;
	double cost = (double)zs_object_cost(profile->key_size, profile->value_size, profile->ttls[0].share > 0);
	double memory = target * cost;

	for (unsigned i = 0;; i++) {
		uint64_t bytes = memory < ZS_MEMORY_MIN ? ZS_MEMORY_MIN : ((uint64_t)memory + 4095) & ~4095ull;

		if (zs_replay_engine(trace, policy, bytes, settings.warmup, result))
			exit(1);
		/* Equal counts are had by giving the yardsticks what the engine held: near the target is
		 * enough. */
		if (i == 2 || !result->evicted || fabs(result->objects / target - 1) < 0.03)
			return bytes;
		if (bytes == ZS_MEMORY_MIN && result->objects > target)
			return bytes;
		memory = (double)bytes * target / result->objects;
	}
}

static void compare(struct zs_trace *trace, enum zs_policy policy, double share)
{
	static const enum zs_yardstick_policy yardsticks[] = { ZS_YARDSTICK_S3FIFO, ZS_YARDSTICK_LRU,
							       ZS_YARDSTICK_SIEVE };
	double ratios[3];
	struct zs_replay_result engine;
	struct zs_replay_result other;
	uint64_t memory = fit_memory(trace, policy, share * (double)trace->keys, &engine);
	uint64_t capacity = (uint64_t)(engine.objects + 0.5);
	double ratio = zs_replay_hit_ratio(&engine);

	for (unsigned i = 0; i < 3; i++) {
		if (zs_replay_yardstick(trace, yardsticks[i], capacity ? capacity : 1, settings.warmup, &other)) {
			fprintf(stderr, "bench-hitratio: out of memory\n");
			exit(1);
		}
		ratios[i] = zs_replay_hit_ratio(&other);
	}
	if (!quiet) {
		printf("%-6s %-7s %9" PRIu64 " %5.1f%% %6.1f | %7.2f | %8.2f %7.2f %7.2f | %+8.2f %+7.2f | %6.3f\n",
		       trace->profile->name, policy_name(policy), capacity, 100 * engine.objects / (double)trace->keys,
		       (double)memory / (1 << 20), ratio, ratios[0], ratios[1], ratios[2], ratio - ratios[0],
		       ratio - ratios[1], engine.moved);
		fflush(stdout);
	}
	if (!json.file)
		return;
	zs_json_object(&json, NULL);
	zs_json_text(&json, "trace", trace->profile->name);
	zs_json_text(&json, "policy", policy_name(policy));
	zs_json_real(&json, "share", share);
	zs_json_number(&json, "objects", capacity);
	zs_json_number(&json, "memory", memory);
	zs_json_real(&json, "engine", ratio);
	for (unsigned i = 0; i < 3; i++)
		zs_json_real(&json, zs_yardstick_name(yardsticks[i]), ratios[i]);
	zs_json_real(&json, "copies_per_access", engine.moved);
	zs_json_number(&json, "evicted", engine.evicted);
	zs_json_end_object(&json);
}

static void compare_all(const struct zs_trace_profile *const *profiles, unsigned count)
{
	enum zs_policy policies[TEXTS];
	double shares[TEXTS];
	unsigned policy_count = choose_policies(policies);
	unsigned share_count = choose_shares(shares);

	if (!quiet)
		printf("hit ratios in percent, at equal numbers of objects\n"
		       "%-6s %-7s %9s %6s %6s | %7s | %8s %7s %7s | %8s %7s | %6s\n",
		       "trace", "policy", "objects", "share", "MB", "engine", "S3-FIFO", "LRU", "SIEVE", "-S3-FIFO",
		       "-LRU", "copies");
	for (unsigned i = 0; i < count; i++) {
		struct zs_trace trace;

		open_trace(&trace, profiles[i]);
		for (unsigned j = 0; j < share_count; j++) {
			for (unsigned k = 0; k < policy_count; k++)
				compare(&trace, policies[k], shares[j]);
		}
		zs_trace_close(&trace);
	}
}

static void replay_to_server(const struct zs_trace_profile *const *profiles, unsigned count)
{
	struct zs_replay_server server = { .depth = (unsigned)settings.depth, .speed = settings.speed };

	if (!strncmp(settings.server, "redis:", 6)) {
		server.protocol = ZS_RESP;
		server.address = settings.server + 6;
	} else if (!strncmp(settings.server, "memcached:", 10)) {
		server.protocol = ZS_MEMCACHED;
		server.address = settings.server + 10;
	} else {
		zs_flags_fail(&program, "--server %s: redis:HOST:PORT or memcached:HOST:PORT is wanted",
			      settings.server);
	}
	if (!quiet)
		printf("%-6s %12s %8s %10s\n", "trace", "lookups", "hits %", "accesses/s");
	for (unsigned i = 0; i < count; i++) {
		struct zs_replay_result result;
		struct zs_trace trace;

		open_trace(&trace, profiles[i]);
		if (zs_replay_server(&trace, &server, settings.warmup, &result))
			exit(1);
		if (!quiet)
			printf("%-6s %12" PRIu64 " %8.2f %10.0f\n", profiles[i]->name, result.lookups,
			       zs_replay_hit_ratio(&result), (double)trace.accesses / result.seconds);
		if (json.file) {
			zs_json_object(&json, NULL);
			zs_json_text(&json, "trace", profiles[i]->name);
			zs_json_number(&json, "lookups", result.lookups);
			zs_json_real(&json, "hit_ratio", zs_replay_hit_ratio(&result));
			zs_json_real(&json, "seconds", result.seconds);
			zs_json_end_object(&json);
		}
		zs_trace_close(&trace);
	}
}

int main(int argc, char **argv)
{
	const struct zs_trace_profile *profiles[TEXTS];
	unsigned count;

	zs_flags_parse(&program, argc, argv);
	if (settings.quick) {
		settings.keys = 3000000;
		settings.accesses = 6000000;
	}
	count = choose_traces(profiles);
	quiet = settings.json && !strcmp(settings.json, "-");
	if (settings.json) {
		if (!zs_json_open(&json, settings.json)) {
			perror(settings.json);
			return 1;
		}
		zs_json_array(&json, "rows");
	}
	if (settings.server)
		replay_to_server(profiles, count);
	else
		compare_all(profiles, count);
	if (settings.json) {
		zs_json_end_array(&json);
		if (!zs_json_close(&json)) {
			perror(settings.json);
			return 1;
		}
	}
	return 0;
}
