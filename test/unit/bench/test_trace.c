#include "test/unit/bench/cmocka_all.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/trace.h"
#include "common/error.h"

#define KEYS 20000
#define ACCESSES 200000

static void open_named(struct zs_trace *trace, const char *name, uint64_t seed)
{
	const struct zs_trace_profile *profile = zs_trace_find(name);

	assert_non_null(profile);
	assert_int_equal(zs_trace_open(trace, profile, KEYS, ACCESSES, 1000, seed), ZS_OK);
}

static uint64_t fingerprint(struct zs_trace *trace)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < ACCESSES; i++) {
		struct zs_access access;

		zs_trace_next(trace, &access);
		sum = zs_mix(sum ^ access.key) ^ zs_mix(access.ttl_ms + (uint64_t)access.kind);
	}
	return sum;
}

static void test_same_seed_same_trace(void **state)
{
	size_t count;
	const struct zs_trace_profile *profiles = zs_trace_profiles(&count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		struct zs_trace a;
		struct zs_trace b;
		uint64_t first;

		open_named(&a, profiles[i].name, 1);
		first = fingerprint(&a);
		zs_trace_rewind(&a);
		assert_true(fingerprint(&a) == first);
		open_named(&b, profiles[i].name, 2);
		assert_true(fingerprint(&b) != first);
		zs_trace_close(&a);
		zs_trace_close(&b);
	}
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The share of distinct keys that were accessed once. */
static double one_hit_share(struct zs_trace *trace)
{
	uint64_t *keys = malloc(ACCESSES * sizeof(*keys));
	unsigned distinct = 0;
	unsigned once = 0;

	assert_non_null(keys);
	for (unsigned i = 0; i < ACCESSES; i++) {
		struct zs_access access;

		zs_trace_next(trace, &access);
		keys[i] = access.key;
	}
	qsort(keys, ACCESSES, sizeof(*keys), ascending);
	for (unsigned i = 0; i < ACCESSES; i++) {
		if (i && keys[i] == keys[i - 1])
			continue;
		distinct++;
		once += i + 1 == ACCESSES || keys[i + 1] != keys[i];
	}
	free(keys);
	return (double)once / distinct;
}

/* c22 wants 41 % of its keys to be seen once; the drift adds a little. */
static void test_one_hit_wonders(void **state)
{
	struct zs_trace trace;

	(void)state;
	open_named(&trace, "c22", 5);
	assert_true(fabs(one_hit_share(&trace) - 0.41) < 0.03);
	zs_trace_close(&trace);
}

static void count_kinds(struct zs_trace *trace, unsigned kinds[ZS_ACCESS_KINDS])
{
	for (unsigned i = 0; i < ACCESSES; i++) {
		struct zs_access access;

		zs_trace_next(trace, &access);
		kinds[access.kind]++;
	}
}

static void test_kinds(void **state)
{
	unsigned kinds[ZS_ACCESS_KINDS] = { 0 };
	struct zs_trace trace;

	(void)state;
	open_named(&trace, "c23", 1);
	count_kinds(&trace, kinds);
	assert_true(fabs(kinds[ZS_ACCESS_READ] / 0.36 / ACCESSES - 1 / 0.99) < 0.05);
	assert_true(fabs(kinds[ZS_ACCESS_UPDATE] / 0.30 / ACCESSES - 1 / 0.99) < 0.05);
	assert_true(fabs(kinds[ZS_ACCESS_DELETE] / 0.02 / ACCESSES - 1 / 0.99) < 0.1);
	zs_trace_close(&trace);
}

static void test_ttls(void **state)
{
	struct zs_trace trace;
	uint64_t last = 0;

	(void)state;
	open_named(&trace, "c19", 1);
	for (unsigned i = 0; i < ACCESSES; i++) {
		struct zs_access access;

		zs_trace_next(&trace, &access);
		assert_in_range(access.ttl_ms, 6.6 * 3600 * 1000, 7.5 * 3600 * 1000);
		assert_true(access.now_ms >= last);
		last = access.now_ms;
	}
	assert_int_equal(last, ACCESSES - 1);
	zs_trace_close(&trace);
}

static void test_scan_share(void **state)
{
	unsigned scanned = 0;
	struct zs_trace trace;

	(void)state;
	open_named(&trace, "scan", 1);
	for (unsigned i = 0; i < ACCESSES; i++) {
		struct zs_access access;

		zs_trace_next(&trace, &access);
		scanned += access.key >= KEYS;
	}
	/* Scans of 20,000: a trace as short as this holds two, give or take two. */
	assert_in_range(scanned, 1, 5 * 20000);
	zs_trace_close(&trace);
}

static void test_key_text(void **state)
{
	char text[ZS_TRACE_KEY_MAX];
	struct zs_trace trace;

	(void)state;
	open_named(&trace, "c18", 1);
	zs_trace_key(&trace, 0x1234abcd, text);
	assert_memory_equal(text, "kk000000001234abcd", 18);
	zs_trace_close(&trace);
}

static void test_unknown(void **state)
{
	(void)state;
	assert_null(zs_trace_find("c99"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_seed_same_trace),
		cmocka_unit_test(test_one_hit_wonders),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_ttls),
		cmocka_unit_test(test_scan_share),
		cmocka_unit_test(test_key_text),
		cmocka_unit_test(test_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
