/*
 * bench-respload: a load client for RESP and memcached servers.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/json.h"
#include "bench/load.h"
#include "bench/net.h"
#include "bench/flags.h"
#include "common/error.h"

struct settings {
	struct zs_load_options load;
	struct zs_requests_options requests;
	const char *mix;
	const char *protocol;
	const char *keys_order;
	const char *json;
	uint64_t connections;
	uint64_t depth;
	uint64_t core;
	bool fill;
};

#define NO_CORE 4096

static struct settings settings = {
    .load =
	{
	    .server = "127.0.0.1:7379",
	    .io = "auto",
	    .warmup = 0.5,
	    .seconds = 5,
	    .pool = 256 << 20,
	},
    .requests =
	{
	    .keys = 1000000,
	    .key_size = 16,
	    .prefix = "key:",
	    .value_size = {128, 128},
	    .alpha = 0.99,
	    .fanout = 10,
	    .seed = 1,
	},
    .mix = "get",
    .protocol = "resp",
    .keys_order = "uniform",
    .connections = 50,
    .depth = 1,
    .core = NO_CORE,
};

#define LOAD settings.load
#define REQUESTS settings.requests

static const struct zs_flag flags[] = {
	{ "server", ZS_FLAG_TEXT, &LOAD.server, 0, 0, "ADDRESS", "HOST:PORT or unix:PATH" },
	{ "protocol", ZS_FLAG_TEXT, &settings.protocol, 0, 0, "NAME", "resp or memcached" },
	{ "op", ZS_FLAG_TEXT, &settings.mix, 0, 0, "MIX", "one operation, or shares such as get=90,set=10" },
	{ "connections", ZS_FLAG_NUMBER, &settings.connections, 1, 10000, "N", "connections" },
	{ "pipeline", ZS_FLAG_NUMBER, &settings.depth, 1, 4096, "N", "operations sent as one on a connection" },
	{ "keys", ZS_FLAG_NUMBER, &REQUESTS.keys, 1, UINT32_MAX, "N", "different keys" },
	{ "first", ZS_FLAG_NUMBER, &REQUESTS.first, 0, 1e12, "N", "number of the first key" },
	{ "key-size", ZS_FLAG_NUMBER, &REQUESTS.key_size, 1, 512, "BYTES", "bytes of a key" },
	{ "prefix", ZS_FLAG_TEXT, &REQUESTS.prefix, 0, 0, "TEXT", "what keys begin with" },
	{ "value-size", ZS_FLAG_RANGE, &REQUESTS.value_size, 0, 1 << 20, "BYTES", "of values: N or LOW..HIGH" },
	{ "order", ZS_FLAG_TEXT, &settings.keys_order, 0, 0, "NAME", "uniform, zipf or sequential" },
	{ "alpha", ZS_FLAG_REAL, &REQUESTS.alpha, 0, 10, "A", "of zipf" },
	{ "fanout", ZS_FLAG_NUMBER, &REQUESTS.fanout, 1, 1000, "N", "keys of an mget" },
	{ "ttl", ZS_FLAG_NUMBER, &REQUESTS.ttl, 0, 1e9, "SECONDS", "of set, getex, expire, count; 0: none" },
	{ "expire-at", ZS_FLAG_NUMBER, &REQUESTS.expire_at, 0, 1e11, "UNIX", "end of set and count, instead of a TTL" },
	{ "group", ZS_FLAG_TEXT, &REQUESTS.group, 0, 0, "NAME", "of set and count (zslabd only)" },
	{ "seed", ZS_FLAG_NUMBER, &REQUESTS.seed, 0, 1e15, "N", "of the random numbers" },
	{ "fill", ZS_FLAG_SWITCH, &settings.fill, 0, 0, NULL, "write each key once, in order, and stop" },
	{ "operations", ZS_FLAG_NUMBER, &LOAD.total, 0, 1e12, "N", "stop after so many, instead of a time" },
	{ "seconds", ZS_FLAG_REAL, &LOAD.seconds, 0.01, 86400, "S", "of measurement" },
	{ "warmup", ZS_FLAG_REAL, &LOAD.warmup, 0, 3600, "S", "seconds before it" },
	{ "rate", ZS_FLAG_REAL, &LOAD.rate, 0, 1e9, "N", "operations per second (open loop); 0: closed loop" },
	{ "pool", ZS_FLAG_NUMBER, &LOAD.pool, 0, 16ull << 30, "BYTES", "of requests built ahead; 0: when sent" },
	{ "io", ZS_FLAG_TEXT, &LOAD.io, 0, 0, "NAME", "auto, epoll or io_uring" },
	{ "sleep", ZS_FLAG_SWITCH, &LOAD.sleep, 0, 0, NULL, "sleep when idle instead of spinning" },
	{ "core", ZS_FLAG_NUMBER, &settings.core, 0, 4096, "N", "run on this core; 4096: any" },
	{ "json", ZS_FLAG_TEXT, &settings.json, 0, 0, "FILE", "results as JSON; - for standard output" },
};

static const struct zs_program program = {
	"bench-respload",
	"Loads a RESP or memcached server and reports operations per second and latencies. An error reply, a "
	"closed\n"
	"connection or a broken protocol makes it exit with 1. Operations:\n"
	"  get set mget getex expire incr del, and count, which is a counter with an end: INCR + EXPIRE NX, or "
	"with\n"
	"  --group SET NX GROUP + INCR.",
	flags,
	sizeof(flags) / sizeof(flags[0]),
};

static void choose(const char *option, const char *text, const char *const *names, unsigned count, unsigned *chosen)
{
	for (unsigned i = 0; i < count; i++) {
		if (!strcmp(text, names[i])) {
			*chosen = i;
			return;
		}
	}
	zs_flags_fail(&program, "--%s %s is none of those that --help lists", option, text);
}

static void interpret(void)
{
	static const char *const protocols[] = { "resp", "memcached" };
	static const char *const orders[] = { "uniform", "zipf", "sequential" };
	unsigned chosen;

	choose("protocol", settings.protocol, protocols, 2, &chosen);
	REQUESTS.protocol = (enum zs_protocol)chosen;
	choose("order", settings.keys_order, orders, 3, &chosen);
	REQUESTS.order = (enum zs_key_order)chosen;
	if (settings.fill) {
		settings.mix = "set";
		REQUESTS.order = ZS_KEYS_SEQUENTIAL;
		LOAD.total = REQUESTS.keys;
	}
	if (LOAD.total)
		LOAD.pool = 0;
	if (!zs_requests_parse_mix(settings.mix, REQUESTS.weights))
		zs_flags_fail(&program, "--op %s: operations are %sand shares are like get=90,set=10", settings.mix,
			      zs_requests_names());
	LOAD.connections = (unsigned)settings.connections;
	LOAD.depth = (unsigned)settings.depth;
}

static const double percents[] = { 50, 90, 99, 99.9, 99.99, 100 };

static void print_table(const struct zs_load_result *result)
{
	printf("%-22s %s, %s\n", "load", settings.mix, LOAD.rate > 0 ? "open loop" : "closed loop");
	printf("%-22s %s, %u connections x %u\n", "client", result->io, LOAD.connections, LOAD.depth);
	printf("%-22s %.3f, of which busy %.0f %%\n", "seconds", result->seconds, 100 * result->busy);
	printf("%-22s %" PRIu64 "\n", "operations", result->operations);
	printf("%-22s %.0f\n", "operations per second", (double)result->operations / result->seconds);
	if (result->reads)
		printf("%-22s %.4f\n", "hit ratio", (double)result->hits / (double)result->reads);
	printf("%-22s %" PRIu64 "%s%s\n", "errors", result->errors, result->errors ? ", first: " : "",
	       result->first_error);
	printf("%-22s", "latency, us");
	for (unsigned i = 0; i < sizeof(percents) / sizeof(percents[0]); i++)
		printf(" p%g %.1f", percents[i], (double)zs_histogram_percentile(&result->latency, percents[i]) / 1e3);
	putchar('\n');
}

static bool write_json(const struct zs_load_result *result, uint64_t payload)
{
	struct zs_json json;

	if (!zs_json_open(&json, settings.json))
		return false;
	zs_json_text(&json, "op", settings.mix);
	zs_json_text(&json, "io", result->io);
	zs_json_number(&json, "connections", LOAD.connections);
	zs_json_number(&json, "pipeline", LOAD.depth);
	zs_json_real(&json, "seconds", result->seconds);
	zs_json_real(&json, "client_busy", result->busy);
	zs_json_number(&json, "operations", result->operations);
	zs_json_real(&json, "operations_per_second", (double)result->operations / result->seconds);
	if (LOAD.total)
		zs_json_number(&json, "payload_bytes", payload);
	zs_json_number(&json, "reads", result->reads);
	zs_json_number(&json, "hits", result->hits);
	zs_json_number(&json, "errors", result->errors);
	zs_json_text(&json, "first_error", result->first_error);
	zs_json_object(&json, "latency_us");
	zs_json_real(&json, "mean", zs_histogram_mean(&result->latency) / 1e3);
	for (unsigned i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
		char name[16];

		snprintf(name, sizeof(name), "p%g", percents[i]);
		zs_json_real(&json, name, (double)zs_histogram_percentile(&result->latency, percents[i]) / 1e3);
	}
	zs_json_end_object(&json);
	return zs_json_close(&json);
}

int main(int argc, char **argv)
{
	static struct zs_load_result result;
	struct zs_requests requests;
	uint64_t payload;
	char why[256] = "";
	int status;

	zs_flags_parse(&program, argc, argv);
	interpret();
	if (settings.core != NO_CORE && !zs_net_pin((unsigned)settings.core))
		zs_flags_fail(&program, "--core %" PRIu64 ": this core cannot be had", settings.core);
	status = zs_requests_open(&requests, &REQUESTS, why, sizeof(why));
	if (status == ZS_EINVAL)
		zs_flags_fail(&program, "%s", why);
	if (status) {
		fprintf(stderr, "bench-respload: %s\n", zs_error_text(status));
		return 1;
	}
	status = zs_load_run(&LOAD, &requests, &result);
	payload = requests.payload;
	zs_requests_close(&requests);
	if (status)
		return 1;
	if (!settings.json || strcmp(settings.json, "-") != 0)
		print_table(&result);
	if (settings.json && !write_json(&result, payload)) {
		perror(settings.json);
		return 1;
	}
	return result.errors ? 1 : 0;
}
