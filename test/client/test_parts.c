/* The parts that need no node: slots, addresses, replies. */
#include <netinet/in.h>
#include <stdlib.h>

#include "client/address.h"
#include "client/reply.h"
#include "client/topology.h"
#include "test/client/support.h"

static void test_slots(void **state)
{
	static struct zs_topology topology;

	(void)state;
	/* The check value of CRC-16/XMODEM, and slots that Redis documents. */
	assert_int_equal(zs_slot_of("123456789", 9), 0x31c3 % 16384);
	assert_int_equal(zs_slot_of("foo", 3), 12182);
	assert_int_equal(zs_slot_of("", 0), 0);
	assert_int_equal(zs_slot_of("{user1000}.following", 20), zs_slot_of("user1000", 8));
	assert_int_equal(zs_slot_of("a{user1000}b{c}", 15), zs_slot_of("user1000", 8));
	assert_int_not_equal(zs_slot_of("foo{}{bar}", 10), zs_slot_of("bar", 3));
	assert_int_equal(zs_slot_of("foo{{bar}}zap", 13), zs_slot_of("{bar", 4));
	assert_int_not_equal(zs_slot_of("foo{bar", 7), zs_slot_of("bar", 3));
	zs_topology_init(&topology, 3);
	assert_int_equal(topology.owner[0], 0);
	assert_int_equal(topology.owner[16383], 2);
	for (unsigned slot = 1; slot < 16384; slot++)
		assert_true(topology.owner[slot] - topology.owner[slot - 1] <= 1);
	assert_int_equal(zs_topology_node(&topology, "foo", 3), 2);
	zs_topology_init(&topology, 1);
	assert_int_equal(zs_topology_node(&topology, "foo", 3), 0);
}

static void check_address(const char *text, const char *host, const char *port, int family)
{
	struct zs_address address;
	char why[ZSLAB_ERROR_MAX] = "";

	if (zs_address_init(&address, text, why, sizeof(why)))
		fail_msg("%s: %s", text, why);
	if (host) {
		assert_string_equal(address.host, host);
		assert_string_equal(address.port, port);
	}
	assert_true(address.count >= 1);
	assert_int_equal(address.endpoints[0].address.ss_family, family);
	zs_address_free(&address);
}

static void test_addresses(void **state)
{
	static const char *const wrong[] = { "",	":1",	"host:",    "host:0",	 "host:65536", "host:x",
					     "host:1x", "[::1", "[::1]x:5", "[::1]:bad", "unix:",      "[]:1" };
	char why[ZSLAB_ERROR_MAX];
	char path[300] = "unix:/";
	struct zs_address address;

	(void)state;
	check_address("127.0.0.1:80", "127.0.0.1", "80", AF_INET);
	check_address("127.0.0.1", "127.0.0.1", "7379", AF_INET);
	check_address("[::1]:5", "::1", "5", AF_INET6);
	check_address("[::1]", "::1", "7379", AF_INET6);
	check_address("::1", "::1", "7379", AF_INET6);
	check_address("unix:/run/x.sock", NULL, NULL, AF_UNIX);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(zs_address_init(&address, wrong[i], why, sizeof(why)), ZSLAB_EINVAL);
		assert_mentions(why, "host:port");
	}
	memset(path + 6, 'p', sizeof(path) - 7);
	assert_int_equal(zs_address_init(&address, path, why, sizeof(why)), ZSLAB_EINVAL);
	assert_mentions(why, "at most 107 bytes");
}

/* The result of the whole, having seen that every beginning of it asks for more. */
static enum zs_reply_result parse(const char *text, size_t size, struct zs_token *token, char *why, size_t why_size)
{
	for (size_t n = 0; n < size; n++) {
		uint8_t *copy = malloc(n + 1);
		enum zs_reply_result result;

		memcpy(copy, text, n);
		result = zs_reply_next(copy, n, token, why, why_size);
		if (result == ZS_REPLY_MORE)
			assert_in_range(token->consumed, n + 1, size);
		free(copy);
		if (result == ZS_REPLY_BROKEN)
			return result;
		if (result == ZS_REPLY_TOKEN)
			fail_msg("a token was seen in %zu bytes of '%s'", n, text);
	}
	return zs_reply_next((const uint8_t *)text, size, token, why, why_size);
}

static void check_token(const char *text, enum zs_token_kind kind, const char *content, int64_t number)
{
	struct zs_token token;
	char why[200] = "";

	assert_int_equal(parse(text, strlen(text), &token, why, sizeof(why)), ZS_REPLY_TOKEN);
	assert_int_equal(token.kind, kind);
	assert_int_equal(token.consumed, strlen(text));
	if (content) {
		assert_int_equal(token.size, strlen(content));
		assert_memory_equal(token.text, content, token.size);
	} else {
		assert_true(token.number == number);
	}
}

static void test_tokens(void **state)
{
	(void)state;
	check_token("+OK\r\n", ZS_TOKEN_STATUS, "OK", 0);
	check_token("+\r\n", ZS_TOKEN_STATUS, "", 0);
	check_token("-ERR no\r\n", ZS_TOKEN_ERROR, "ERR no", 0);
	check_token(":42\r\n", ZS_TOKEN_INTEGER, NULL, 42);
	check_token(":-9223372036854775808\r\n", ZS_TOKEN_INTEGER, NULL, INT64_MIN);
	check_token(":9223372036854775807\r\n", ZS_TOKEN_INTEGER, NULL, INT64_MAX);
	check_token("$5\r\na\r\nbc\r\n", ZS_TOKEN_BULK, "a\r\nbc", 0);
	check_token("$0\r\n\r\n", ZS_TOKEN_BULK, "", 0);
	check_token("$-1\r\n", ZS_TOKEN_NULL, NULL, -1);
	check_token("*-1\r\n", ZS_TOKEN_NULL, NULL, -1);
	check_token("*3\r\n", ZS_TOKEN_ARRAY, NULL, 3);
}

static void test_broken_replies(void **state)
{
	static const char *const wrong[] = {
		"HTTP/1.1 400 Bad Request\r\n",
		"\r\n",
		"%2\r\n",
		"_\r\n",
		":\r\n",
		":12a\r\n",
		":-\r\n",
		":--1\r\n",
		":9223372036854775808\r\n",
		"$-2\r\n",
		"$99999999\r\n",
		"$x\r\n",
		"$3\r\nabcd\r\n",
		"*-5\r\n",
		"*2000000\r\n",
		":1\rx\n",
		"*99999999999999999999999999\r\n",
	};
	static char long_line[8192];
	struct zs_token token;
	char why[200];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		why[0] = 0;
		if (parse(wrong[i], strlen(wrong[i]), &token, why, sizeof(why)) != ZS_REPLY_BROKEN)
			fail_msg("'%s' was accepted", wrong[i]);
		assert_mentions(why, "its reply");
	}
	memset(long_line, '+', sizeof(long_line));
	assert_int_equal(parse(long_line, sizeof(long_line), &token, why, sizeof(why)), ZS_REPLY_BROKEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_broken_replies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
