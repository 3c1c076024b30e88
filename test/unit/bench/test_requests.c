#include "test/unit/bench/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/requests.h"
#include "common/error.h"

static struct zs_requests_options defaults(void)
{
	return (struct zs_requests_options){ .keys = 100,
					     .key_size = 6,
					     .prefix = "k",
					     .value_size = { 2, 2 },
					     .order = ZS_KEYS_SEQUENTIAL,
					     .fanout = 2,
					     .seed = 1 };
}

/* Builds one batch and compares it; '?' stands for any byte of a value. */
static void check(const struct zs_requests_options *options, const char *mix, unsigned depth, unsigned replies,
		  unsigned reads, const char *expected)
{
	struct zs_requests_options own = *options;
	struct zs_requests requests;
	struct zs_text text = { 0 };
	struct zs_batch batch;
	char why[256];

	assert_true(zs_requests_parse_mix(mix, own.weights));
	assert_int_equal(zs_requests_open(&requests, &own, why, sizeof(why)), ZS_OK);
	assert_int_equal(zs_requests_build(&requests, depth, &text, &batch), ZS_OK);
	assert_int_equal(batch.size, strlen(expected));
	assert_int_equal(batch.operations, depth);
	assert_int_equal(batch.replies, replies);
	assert_int_equal(batch.reads, reads);
	for (size_t i = 0; i < batch.size; i++)
		assert_true(expected[i] == '?' || expected[i] == text.data[i]);
	free(text.data);
	zs_requests_close(&requests);
}

static void test_resp(void **state)
{
	struct zs_requests_options options = defaults();

	(void)state;
	check(&options, "get", 2, 2, 2, "*2\r\n$3\r\nGET\r\n$6\r\nk00000\r\n*2\r\n$3\r\nGET\r\n$6\r\nk00001\r\n");
	check(&options, "set", 1, 1, 0, "*3\r\n$3\r\nSET\r\n$6\r\nk00000\r\n$2\r\n\?\?\r\n");
	check(&options, "mget", 1, 1, 2, "*3\r\n$4\r\nMGET\r\n$6\r\nk00000\r\n$6\r\nk00001\r\n");
	options.ttl = 60;
	options.first = 7;
	check(&options, "set", 1, 1, 0, "*5\r\n$3\r\nSET\r\n$6\r\nk00007\r\n$2\r\n\?\?\r\n$2\r\nEX\r\n$2\r\n60\r\n");
	check(&options, "getex", 1, 1, 1, "*4\r\n$5\r\nGETEX\r\n$6\r\nk00007\r\n$2\r\nEX\r\n$2\r\n60\r\n");
	check(&options, "count", 1, 2, 0,
	      "*2\r\n$4\r\nINCR\r\n$6\r\nk00007\r\n*4\r\n$6\r\nEXPIRE\r\n$6\r\nk00007\r\n$2\r\n60\r\n$"
	      "2\r\nNX\r\n");
	options.expire_at = 2000000000;
	check(&options, "count", 1, 2, 0,
	      "*2\r\n$4\r\nINCR\r\n$6\r\nk00007\r\n*4\r\n$8\r\nEXPIREAT\r\n$6\r\nk00007\r\n$10\r\n2000000000\r\n$"
	      "2\r\nNX\r\n");
}

static void test_groups(void **state)
{
	struct zs_requests_options options = defaults();

	(void)state;
	options.group = "w1";
	check(&options, "set", 1, 1, 0, "*5\r\n$3\r\nSET\r\n$6\r\nk00000\r\n$2\r\n\?\?\r\n$5\r\nGROUP\r\n$2\r\nw1\r\n");
	check(&options, "count", 1, 2, 0,
	      "*6\r\n$3\r\nSET\r\n$6\r\nk00000\r\n$1\r\n0\r\n$2\r\nNX\r\n$5\r\nGROUP\r\n$2\r\nw1\r\n"
	      "*2\r\n$4\r\nINCR\r\n$6\r\nk00000\r\n");
}

static void test_memcached(void **state)
{
	struct zs_requests_options options = defaults();

	(void)state;
	options.protocol = ZS_MEMCACHED;
	options.ttl = 9;
	check(&options, "get", 1, 1, 1, "get k00000\r\n");
	check(&options, "mget", 1, 1, 2, "get k00000 k00001\r\n");
	check(&options, "set", 1, 1, 0, "set k00000 0 9 2\r\n\?\?\r\n");
	check(&options, "getex", 1, 1, 1, "gat 9 k00000\r\n");
	check(&options, "expire", 1, 1, 0, "touch k00000 9\r\n");
	check(&options, "count", 1, 2, 0, "add k00000 0 9 1\r\n0\r\nincr k00000 1\r\n");
	check(&options, "del", 1, 1, 0, "delete k00000\r\n");
}

static void test_mix(void **state)
{
	double weights[ZS_REQUEST_KINDS];

	(void)state;
	assert_true(zs_requests_parse_mix("get=90,set=10", weights));
	assert_true(weights[ZS_REQUEST_GET] == 90 && weights[ZS_REQUEST_SET] == 10 && weights[ZS_REQUEST_INCR] == 0);
	assert_false(zs_requests_parse_mix("", weights));
	assert_false(zs_requests_parse_mix("get,", weights));
	assert_false(zs_requests_parse_mix("gets", weights));
	assert_false(zs_requests_parse_mix("get=", weights));
	assert_false(zs_requests_parse_mix("get=-1", weights));
	assert_false(zs_requests_parse_mix("get=1x", weights));
}

/* Shares come out as asked for; kinds without a share never do. */
static void test_shares(void **state)
{
	struct zs_requests_options options = defaults();
	struct zs_requests requests;
	struct zs_text text = { 0 };
	struct zs_batch batch;
	unsigned gets = 0;
	char why[256];

	(void)state;
	assert_true(zs_requests_parse_mix("get=75,set=25", options.weights));
	assert_int_equal(zs_requests_open(&requests, &options, why, sizeof(why)), ZS_OK);
	for (unsigned i = 0; i < 10000; i++) {
		text.size = 0;
		assert_int_equal(zs_requests_build(&requests, 1, &text, &batch), ZS_OK);
		assert_true(!memcmp(text.data, "*2\r\n$3\r\nGET", 11) || !memcmp(text.data, "*3\r\n$3\r\nSET", 11));
		gets += batch.reads;
	}
	assert_in_range(gets, 7300, 7700);
	free(text.data);
	zs_requests_close(&requests);
}

/* Zipf spreads its ranks over all keys: each number is some rank's. */
static void test_zipf_spreads(void **state)
{
	struct zs_requests_options options = defaults();
	struct zs_requests requests;
	bool seen[100] = { false };
	struct zs_text text = { 0 };
	struct zs_batch batch;
	char why[256];

	(void)state;
	options.order = ZS_KEYS_ZIPF;
	options.protocol = ZS_MEMCACHED;
	assert_true(zs_requests_parse_mix("get", options.weights));
	assert_int_equal(zs_requests_open(&requests, &options, why, sizeof(why)), ZS_OK);
	for (unsigned i = 0; i < 20000; i++) {
		text.size = 0;
		assert_int_equal(zs_requests_build(&requests, 1, &text, &batch), ZS_OK);
		seen[strtoul(text.data + strlen("get k"), NULL, 10)] = true;
	}
	for (unsigned i = 0; i < 100; i++)
		assert_true(seen[i]);
	free(text.data);
	zs_requests_close(&requests);
}

static void test_refusals(void **state)
{
	struct zs_requests_options options = defaults();
	struct zs_requests requests;
	char why[256] = "";

	(void)state;
	assert_true(zs_requests_parse_mix("getex", options.weights));
	assert_int_equal(zs_requests_open(&requests, &options, why, sizeof(why)), ZS_EINVAL);
	assert_non_null(strstr(why, "TTL"));
	options = defaults();
	options.first = 99950;
	assert_true(zs_requests_parse_mix("get", options.weights));
	assert_int_equal(zs_requests_open(&requests, &options, why, sizeof(why)), ZS_EINVAL);
	assert_non_null(strstr(why, "6 digits"));
	options = defaults();
	options.group = "g";
	options.protocol = ZS_MEMCACHED;
	assert_true(zs_requests_parse_mix("set", options.weights));
	assert_int_equal(zs_requests_open(&requests, &options, why, sizeof(why)), ZS_EINVAL);
	assert_non_null(strstr(why, "groups"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resp),	 cmocka_unit_test(test_groups), cmocka_unit_test(test_memcached),
		cmocka_unit_test(test_mix),	 cmocka_unit_test(test_shares), cmocka_unit_test(test_zipf_spreads),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
