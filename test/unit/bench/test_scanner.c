#include "test/unit/bench/cmocka_all.h"

#include <string.h>

#include "bench/scanner.h"

static void feed_all(struct zs_scanner *scanner, const char *text)
{
	assert_int_equal(zs_scanner_feed(scanner, text, strlen(text)), strlen(text));
}

/* Whatever the pieces in which bytes arrive, the counts are those of the whole. */
static void check(enum zs_protocol protocol, const char *text, uint64_t replies, uint64_t values, uint64_t nulls,
		  uint64_t errors)
{
	size_t size = strlen(text);

	for (size_t piece = 1; piece <= size; piece++) {
		struct zs_scanner scanner;
		size_t begin = 0;

		zs_scanner_init(&scanner, protocol);
		for (size_t end = piece;; end += piece) {
			ssize_t used;

			if (end > size)
				end = size;
			used = zs_scanner_feed(&scanner, text + begin, end - begin);
			assert_true(used >= 0);
			begin += (size_t)used;
			if (end == size)
				break;
		}
		assert_int_equal(begin, size);
		assert_int_equal(scanner.replies, replies);
		assert_int_equal(scanner.values, values);
		assert_int_equal(scanner.nulls, nulls);
		assert_int_equal(scanner.errors, errors);
	}
}

static void test_resp(void **state)
{
	(void)state;
	check(ZS_RESP, "+OK\r\n:12\r\n$3\r\na\r\n\r\n$0\r\n\r\n$-1\r\n_\r\n", 6, 2, 2, 0);
	check(ZS_RESP, "-ERR no\r\n+OK\r\n", 2, 0, 0, 1);
	check(ZS_RESP, "#t\r\n,1.5\r\n(123456789012345678901234\r\n=5\r\ntxt:x\r\n!3\r\nbad\r\n", 5, 1, 0, 1);
}

static void test_resp_aggregates(void **state)
{
	(void)state;
	check(ZS_RESP, "*3\r\n$1\r\na\r\n$-1\r\n$1\r\nb\r\n+OK\r\n", 2, 2, 1, 0);
	check(ZS_RESP, "*0\r\n*-1\r\n*2\r\n*2\r\n:1\r\n:2\r\n*1\r\n$1\r\nx\r\n", 3, 1, 1, 0);
	check(ZS_RESP, "%2\r\n+a\r\n:1\r\n+b\r\n~1\r\n:3\r\n+OK\r\n", 2, 0, 0, 0);
}

static void test_memcached(void **state)
{
	(void)state;
	check(ZS_MEMCACHED, "VALUE key 0 3\r\nEND\r\nEND\r\nEND\r\nSTORED\r\n", 3, 1, 0, 0);
	check(ZS_MEMCACHED, "VALUE a 0 2\r\n\r\n\r\nVALUE b 0 0\r\n\r\nEND\r\n17\r\nNOT_FOUND\r\nDELETED\r\n", 4, 2, 0,
	      0);
	check(ZS_MEMCACHED, "ERROR\r\nSERVER_ERROR out of memory\r\nNOT_STORED\r\n", 3, 0, 0, 2);
}

static void test_first_error_is_kept(void **state)
{
	struct zs_scanner scanner;

	(void)state;
	zs_scanner_init(&scanner, ZS_RESP);
	feed_all(&scanner, "-ERR one\x01\r\n-ERR two\r\n");
	assert_string_equal(scanner.first_error, "ERR one?");
}

static void test_broken(void **state)
{
	static const char *const resp[] = { "hello\r\n",	"\r\n",		"\n",	 "$x\r\n", "$12 \r\n",
					    "$-2\r\n",		"$\r\n",	"+OK\n", "*x\r\n", ">1\r\n",
					    "$99999999999\r\n", "*99999999\r\n" };
	static const char *const memcached[] = { "hello\r\n", "VALUE a 0 x\r\n", "VALUE a 0 -1\r\n", "VALUE \r\n",
						 "\r\n" };
	struct zs_scanner scanner;

	(void)state;
	for (size_t i = 0; i < sizeof(resp) / sizeof(resp[0]); i++) {
		zs_scanner_init(&scanner, ZS_RESP);
		assert_int_equal(zs_scanner_feed(&scanner, resp[i], strlen(resp[i])), -1);
		assert_true(strlen(scanner.first_error) > 0);
	}
	for (size_t i = 0; i < sizeof(memcached) / sizeof(memcached[0]); i++) {
		zs_scanner_init(&scanner, ZS_MEMCACHED);
		assert_int_equal(zs_scanner_feed(&scanner, memcached[i], strlen(memcached[i])), -1);
	}
}

static void test_endless_line(void **state)
{
	char text[ZS_SCANNER_LINE_MAX + 1];
	struct zs_scanner scanner;

	(void)state;
	memset(text, '+', sizeof(text));
	zs_scanner_init(&scanner, ZS_RESP);
	assert_int_equal(zs_scanner_feed(&scanner, text, ZS_SCANNER_LINE_MAX), 0);
	assert_int_equal(zs_scanner_feed(&scanner, text, sizeof(text)), -1);
}

static void note_reply(void *context, uint64_t values)
{
	char *notes = context;

	notes[strlen(notes)] = (char)('0' + values);
}

static void test_reply_callback(void **state)
{
	char notes[16] = "";
	struct zs_scanner scanner;

	(void)state;
	zs_scanner_init(&scanner, ZS_RESP);
	scanner.reply = note_reply;
	scanner.context = notes;
	feed_all(&scanner, "$1\r\na\r\n$-1\r\n*3\r\n$1\r\na\r\n$-1\r\n$1\r\nb\r\n+OK\r\n");
	assert_string_equal(notes, "1020");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resp),	       cmocka_unit_test(test_resp_aggregates),
		cmocka_unit_test(test_memcached),      cmocka_unit_test(test_first_error_is_kept),
		cmocka_unit_test(test_broken),	       cmocka_unit_test(test_endless_line),
		cmocka_unit_test(test_reply_callback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
