#include "client/bench/workload.h"

#include <stdio.h>
#include <string.h>

/* ycsb-*: as in Cooper et al., Benchmarking cloud serving systems with YCSB, SoCC '10. */
static const struct zs_workload workloads[] = {
	{ "get", "reads, uniform", ZS_SPREAD_UNIFORM, { [ZS_ACTION_READ] = 100 } },
	{ "set", "writes, uniform", ZS_SPREAD_UNIFORM, { [ZS_ACTION_UPDATE] = 100 } },
	{ "mget", "multi-gets of --batch keys, uniform", ZS_SPREAD_UNIFORM, { [ZS_ACTION_MULTI] = 100 } },
	{ "ycsb-a",
	  "half reads, half updates, Zipf",
	  ZS_SPREAD_ZIPF,
	  { [ZS_ACTION_READ] = 50, [ZS_ACTION_UPDATE] = 50 } },
	{ "ycsb-b",
	  "95 % reads, 5 % updates, Zipf",
	  ZS_SPREAD_ZIPF,
	  { [ZS_ACTION_READ] = 95, [ZS_ACTION_UPDATE] = 5 } },
	{ "ycsb-c", "reads, Zipf", ZS_SPREAD_ZIPF, { [ZS_ACTION_READ] = 100 } },
	{ "ycsb-d",
	  "95 % reads of what came last, 5 % inserts",
	  ZS_SPREAD_LATEST,
	  { [ZS_ACTION_READ] = 95, [ZS_ACTION_INSERT] = 5 } },
	{ "ycsb-e",
	  "95 % multi-gets of 1 to --batch neighbouring keys, 5 % inserts, Zipf",
	  ZS_SPREAD_ZIPF,
	  { [ZS_ACTION_RANGE] = 95, [ZS_ACTION_INSERT] = 5 } },
	{ "ycsb-f",
	  "half reads, half read-modify-writes, Zipf",
	  ZS_SPREAD_ZIPF,
	  { [ZS_ACTION_READ] = 50, [ZS_ACTION_MODIFY] = 50 } },
};

#define WORKLOADS (sizeof(workloads) / sizeof(workloads[0]))

const struct zs_workload *zs_workload_find(const char *name)
{
	for (size_t i = 0; i < WORKLOADS; i++) {
		if (!strcmp(workloads[i].name, name))
			return &workloads[i];
	}
	return NULL;
}

void zs_workload_print(void)
{
	for (size_t i = 0; i < WORKLOADS; i++)
		printf("  %-8s %s\n", workloads[i].name, workloads[i].help);
}

enum zs_action zs_workload_draw(const struct zs_workload *workload, struct zs_random *random)
{
	uint64_t drawn = zs_random_below(random, 100);
	unsigned action = 0;

	while (drawn >= workload->percent[action])
		drawn -= workload->percent[action++];
	return (enum zs_action)action;
}

uint64_t zs_workload_key(const struct zs_workload *workload, const struct zs_zipf *zipf, uint64_t keys,
			 struct zs_random *random)
{
	uint64_t rank;

	if (workload->spread == ZS_SPREAD_UNIFORM)
		return zs_random_below(random, keys);
	rank = zs_zipf_draw(zipf, random);
	if (workload->spread == ZS_SPREAD_LATEST)
		return rank < keys ? keys - 1 - rank : 0;
	return zs_mix(rank) % keys; /* popular keys are not neighbours */
}

/* The lowest four bytes in hexadecimal, most significant digit first: all digits at once, one a byte. */
static uint64_t hexadecimal(uint64_t number)
{
	const uint64_t ones = 0x0101010101010101u;
	uint64_t digits = number & 0xffffffff;
	uint64_t letters;

	digits = (digits | digits << 16) & 0x0000ffff0000ffffu;
	digits = (digits | digits << 8) & 0x00ff00ff00ff00ffu;
	digits = (digits | digits << 4) & 0x0f0f0f0f0f0f0f0fu;
	letters = (digits + 6 * ones) >> 4 & ones;
	return __builtin_bswap64(digits + '0' * ones + letters * ('a' - '9' - 1));
}

void zs_bench_key(uint64_t number, char key[ZS_BENCH_KEY_SIZE])
{
	static const char prefix[4] = { 'k', 'e', 'y', ':' };
	uint64_t high = hexadecimal(number >> 32);
	uint64_t low = hexadecimal(number);

	/* Of 48 bits: the last four digits of the upper half, all of the lower. */
	memcpy(key, prefix, sizeof(prefix));
	memcpy(key + 4, (const char *)&high + 4, 4);
	memcpy(key + 8, &low, 8);
}

/* Eight bytes at a time, the last ones of the sequence cut off. */
static uint64_t piece(uint64_t number, size_t at)
{
	return zs_mix(number * 512 + at / 8);
}

void zs_bench_value(uint64_t number, uint8_t *value, size_t size)
{
	for (size_t at = 0; at < size; at += 8) {
		uint64_t bytes = piece(number, at);

		memcpy(value + at, &bytes, size - at < 8 ? size - at : 8);
	}
}

bool zs_bench_value_is_right(uint64_t number, const uint8_t *value, size_t size)
{
	size_t last = size ? (size - 1) / 8 * 8 : 0;
	uint64_t begin = piece(number, 0);
	uint64_t end = piece(number, last);
	uint64_t found[2];

	if (size >= 8 && size % 8 == 0) {
		memcpy(&found[0], value, 8);
		memcpy(&found[1], value + last, 8);
		return found[0] == begin && found[1] == end;
	}
	return !memcmp(value, &begin, size < 8 ? size : 8) && !memcmp(value + last, &end, size - last);
}
