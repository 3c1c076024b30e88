#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/resp.h"

static const struct zs_resp_limits usual = { .arguments = ZS_RESP_ARGUMENTS_MAX, .bulk = 1024, .total = 1 << 20 };

struct fixture {
	struct zs_resp parser;
	struct zs_resp_arguments arguments;
	struct zs_resp_command command;
};

static struct fixture *open_fixture(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(zs_resp_arguments_init(&f->arguments), 0);
	return f;
}

static void close_fixture(struct fixture *f)
{
	zs_resp_reset(&f->parser);
	zs_resp_arguments_free(&f->arguments);
	free(f);
}

static enum zs_resp_result parse(struct fixture *f, const void *data, size_t size)
{
	zs_resp_clear(&f->arguments);
	return zs_resp_parse(&f->parser, &usual, data, size, &f->arguments, &f->command);
}

/* The arguments as one text, each in <>. */
static void print(const struct fixture *f, char *text)
{
	*text = 0;
	for (size_t i = 0; i < f->command.argc; i++)
		text += sprintf(text, "<%.*s>", (int)f->command.argv[i].size, (const char *)f->command.argv[i].data);
}

struct example {
	const char *sent;
	const char *means; /* NULL: an empty command */
};

static const struct example examples[] = {
	{ "*1\r\n$4\r\nPING\r\n", "<PING>" },
	{ "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$0\r\n\r\n", "<SET><a><>" },
	{ "*2\r\n$3\r\nGET\r\n$4\r\n\r\n\r\n\r\n", "<GET><\r\n\r\n>" },
	{ "*12\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n$1\r\nf\r\n$1\r\ng\r\n$1\r\nh\r\n$1\r\ni\r\n"
	  "$1\r\nj\r\n$1\r\nk\r\n$10\r\n0123456789\r\n",
	  "<a><b><c><d><e><f><g><h><i><j><k><0123456789>" },
	{ "*0\r\n", NULL },
	{ "*-1\r\n", NULL },
	{ "*-7\r\n", NULL },
	{ "PING\r\n", "<PING>" },
	{ "PING\n", "<PING>" },
	{ "\r\n", NULL },
	{ "  \t \r\n", NULL },
	{ "  set  a\tb  \r\n", "<set><a><b>" },
	{ "set a \"b c\"\r\n", "<set><a><b c>" },
	{ "set a 'b c'\r\n", "<set><a><b c>" },
	{ "set \"\" ''\r\n", "<set><><>" },
	{ "e \"\\x41\\x7a\\n\\r\\t\\b\\a\\\\\\\"\\q\"\r\n", "<e><Az\n\r\t\b\a\\\"q>" },
	{ "e '\\x41\\'\\n'\r\n", "<e><\\x41'\\n>" },
	{ "e \"\\x4\" \"\\xzz\"\r\n", "<e><x4><xzz>" },
	{ "e a\"b c\"\r\n", "<e><ab c>" },
	{ "e it's' fine\r\n", "<e><its><fine>" },
};

static void test_whole(void **state)
{
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		struct fixture *f = open_fixture();
		const struct example *e = &examples[i];
		enum zs_resp_result result = parse(f, e->sent, strlen(e->sent));

		assert_int_equal(result, e->means ? ZS_RESP_COMMAND : ZS_RESP_EMPTY);
		assert_int_equal(f->command.consumed, strlen(e->sent));
		if (e->means) {
			print(f, text);
			assert_string_equal(text, e->means);
		}
		close_fixture(f);
	}
}

/* The same, with one byte more at each call, from memory that ends where the data does. */
static void test_split_at_every_byte(void **state)
{
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		const struct example *e = &examples[i];
		size_t size = strlen(e->sent);
		struct fixture *f = open_fixture();

		if (!e->means) {
			close_fixture(f);
			continue;
		}
		for (size_t n = 1; n <= size; n++) {
			uint8_t *copy = malloc(n);
			enum zs_resp_result result;

			memcpy(copy, e->sent, n);
			result = parse(f, copy, n);
			assert_int_equal(result, n < size ? ZS_RESP_MORE : ZS_RESP_COMMAND);
			if (n < size)
				assert_true(f->parser.needed > n && f->parser.needed <= size);
			else
				print(f, text);
			free(copy);
		}
		assert_string_equal(text, e->means);
		close_fixture(f);
	}
}

static const struct example errors[] = {
	{ "*a\r\n", "Protocol error: invalid multibulk length" },
	{ "*1048577\r\n", "Protocol error: invalid multibulk length" },
	{ "*99999999999999999999999\r\n", "Protocol error: invalid multibulk length" },
	{ "*01\r\n", "Protocol error: invalid multibulk length" },
	{ "*1x\r\n", "Protocol error: invalid multibulk length" },
	{ "*1\rx", "Protocol error: invalid multibulk length" },
	{ "*1\r\nPING\r\n", "Protocol error: expected '$', got 'P'" },
	{ "*1\r\n\x01", "Protocol error: expected '$', got '?'" },
	{ "*1\r\n$-1\r\n", "Protocol error: invalid bulk length" },
	{ "*1\r\n$x\r\n", "Protocol error: invalid bulk length" },
	{ "*1\r\n$1025\r\n", "Protocol error: invalid bulk length" },
	{ "*1\r\n$1\r\nabc", "Protocol error: expected CRLF after a bulk string" },
	{ "a \"b\r\n", "Protocol error: unbalanced quotes in request" },
	{ "a 'b\r\n", "Protocol error: unbalanced quotes in request" },
	{ "a \"b\"c\r\n", "Protocol error: unbalanced quotes in request" },
};

static void test_errors(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct fixture *f = open_fixture();

		assert_int_equal(parse(f, errors[i].sent, strlen(errors[i].sent)), ZS_RESP_ERROR);
		assert_string_equal(f->command.error, errors[i].means);
		close_fixture(f);
	}
}

static void test_inline_limit(void **state)
{
	size_t size = ZS_RESP_INLINE_MAX + 1;
	char *line = malloc(size + 1);
	struct fixture *f = open_fixture();

	(void)state;
	memset(line, 'a', size + 1);
	assert_int_equal(parse(f, line, size - 1), ZS_RESP_MORE);
	assert_int_equal(parse(f, line, size), ZS_RESP_ERROR);
	assert_string_equal(f->command.error, "Protocol error: too big inline request");
	close_fixture(f);
	free(line);
}

static void test_total_limit(void **state)
{
	struct zs_resp_limits limits = { .arguments = 10, .bulk = 100, .total = 60 };
	static const char sent[] = "*2\r\n$30\r\n012345678901234567890123456789\r\n$30\r\n";
	struct fixture *f = open_fixture();

	(void)state;
	assert_int_equal(
	    zs_resp_parse(&f->parser, &limits, (const uint8_t *)sent, strlen(sent), &f->arguments, &f->command),
	    ZS_RESP_ERROR);
	assert_non_null(strstr(f->command.error, "longer than the limit of 60 bytes"));
	close_fixture(f);
}

/* Many arguments: kept between calls, so that each byte is looked at once however they trickle in. */
static void test_long_command(void **state)
{
	const size_t count = 5000;
	char *sent = malloc(count * 16 + 32);
	size_t size = (size_t)sprintf(sent, "*%zu\r\n", count);
	struct fixture *f = open_fixture();
	size_t positions = 0;
	size_t last = 0;

	(void)state;
	for (size_t i = 0; i < count; i++)
		size += (size_t)sprintf(sent + size, "$4\r\n%04zu\r\n", i);
	for (size_t n = 1; n < size; n++) {
		assert_int_equal(parse(f, sent, n), ZS_RESP_MORE);
		assert_true(f->parser.position >= last);
		positions += f->parser.position != last;
		last = f->parser.position;
	}
	assert_int_equal(positions, count); /* of these, the header's is one, and the last argument is not there */
	assert_int_equal(parse(f, sent, size), ZS_RESP_COMMAND);
	assert_int_equal(f->command.argc, count);
	assert_int_equal(f->command.consumed, size);
	assert_memory_equal(f->command.argv[4321].data, "4321", 4);
	assert_null(f->parser.spans);
	close_fixture(f);
	free(sent);
}

/* Commands parsed ahead share the argument list until it is full. */
static void test_room(void **state)
{
	static const char sent[] = "*2\r\n$3\r\nGET\r\n$1\r\na\r\n";
	struct fixture *f = open_fixture();
	size_t n = 0;

	(void)state;
	while (zs_resp_parse(&f->parser, &usual, (const uint8_t *)sent, strlen(sent), &f->arguments, &f->command) ==
	       ZS_RESP_COMMAND)
		n++;
	assert_int_equal(n, f->arguments.size / 2);
	assert_int_equal(zs_resp_parse(&f->parser, &usual, (const uint8_t *)"PING\r\n", 6, &f->arguments, &f->command),
			 ZS_RESP_ROOM);
	assert_int_equal(parse(f, "PING\r\n", 6), ZS_RESP_COMMAND);
	close_fixture(f);
}

static uint64_t random_state = 88172645463325252u;

static uint32_t random_below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 11) % n;
}

static size_t random_bytes(uint8_t *data, size_t size)
{
	static const char likely[] = "*$\r\n0123456789-\"' \\xa";

	for (size_t i = 0; i < size; i++)
		data[i] =
		    random_below(8) ? (uint8_t)likely[random_below(sizeof(likely) - 1)] : (uint8_t)random_below(256);
	return size;
}

static size_t random_command(uint8_t *data)
{
	uint32_t argc = 1 + random_below(5);
	size_t size = (size_t)sprintf((char *)data, "*%u\r\n", argc);

	for (uint32_t i = 0; i < argc; i++) {
		uint32_t length = random_below(20);

		size += (size_t)sprintf((char *)data + size, "$%u\r\n", length);
		size += random_bytes(data + size, length);
		data[size++] = '\r';
		data[size++] = '\n';
	}
	return size;
}

static void check_bounds(const struct fixture *f, const uint8_t *data, size_t size)
{
	const uint8_t *text = f->arguments.text;

	for (size_t i = 0; i < f->command.argc; i++) {
		const struct zs_argument *a = &f->command.argv[i];
		bool in_data = a->data >= data && a->data + a->size <= data + size;
		bool in_text = text && a->data >= text && a->data + a->size <= text + f->arguments.text_size;

		assert_true(in_data || in_text);
	}
}

/* Whatever comes, parsing gets on, and the same whether it comes at once or in pieces. */
static void test_random(void **state)
{
	uint8_t data[512];

	(void)state;
	for (unsigned round = 0; round < 200000; round++) {
		struct fixture *whole = open_fixture();
		struct fixture *pieces = open_fixture();
		size_t size =
		    random_below(3) ? random_command(data) : random_bytes(data, 1 + (size_t)random_below(100));
		enum zs_resp_result expected;
		enum zs_resp_result result = ZS_RESP_MORE;
		uint8_t *exact;

		if (random_below(3) == 0)
			data[random_below((uint32_t)size)] ^= (uint8_t)(1u << random_below(8));
		exact = malloc(size);
		memcpy(exact, data, size);
		expected = parse(whole, exact, size);
		for (size_t n = 0; n < size && result == ZS_RESP_MORE;) {
			n += 1 + random_below((uint32_t)(size - n));
			result = parse(pieces, exact, n);
		}
		assert_int_equal(result, expected);
		if (result == ZS_RESP_COMMAND) {
			check_bounds(whole, exact, size);
			assert_int_equal(whole->command.argc, pieces->command.argc);
			assert_int_equal(whole->command.consumed, pieces->command.consumed);
			assert_true(whole->command.consumed <= size);
		}
		free(exact);
		close_fixture(whole);
		close_fixture(pieces);
	}
}

/* Whatever bytes come, a run is what parsing them one by one gives, or the beginning of it. */
static void check_run(const uint8_t *data, size_t size)
{
	struct zs_resp_request list[8];
	struct fixture *run = open_fixture();
	struct fixture *single = open_fixture();
	size_t count = zs_resp_parse_run(&usual, data, size, &run->arguments, list, 8);
	size_t end = 0;

	assert_in_range(count, 0, 8);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(parse(single, data + end, size - end), ZS_RESP_COMMAND);
		end += single->command.consumed;
		assert_int_equal(list[i].end, end);
		assert_int_equal(list[i].argc, single->command.argc);
		assert_memory_equal(list[i].argv, single->command.argv, list[i].argc * sizeof(*list[i].argv));
	}
	close_fixture(run);
	close_fixture(single);
}

static void test_runs(void **state)
{
	static const char whole[] = "*2\r\n$3\r\nGET\r\n$4\r\nabcd\r\n*3\r\n$3\r\nSET\r\n$4\r\nabcd\r\n"
				    "$12\r\n0123456789ab\r\n*1\r\n$4\r\nPING\r\n";
	struct fixture *f = open_fixture();
	struct zs_resp_request list[8];

	(void)state;
	assert_int_equal(zs_resp_parse_run(&usual, (const uint8_t *)whole, strlen(whole), &f->arguments, list, 8), 3);
	assert_int_equal(f->arguments.used, 6);
	zs_resp_clear(&f->arguments);
	assert_int_equal(zs_resp_parse_run(&usual, (const uint8_t *)whole, strlen(whole), &f->arguments, list, 2), 2);
	close_fixture(f);
	for (size_t n = 0; n <= strlen(whole); n++) {
		uint8_t *exact = malloc(n ? n : 1);

		memcpy(exact, whole, n);
		check_run(exact, n);
		free(exact);
	}
	for (unsigned round = 0; round < 20000; round++) {
		size_t size = strlen(whole);
		uint8_t *copy = malloc(size);

		for (size_t i = 0; i < size; i++)
			copy[i] = (uint8_t)whole[i];
		copy[random_below((uint32_t)size)] = (uint8_t) "*$\r\n0129a"[random_below(9)];
		copy[random_below((uint32_t)size)] ^= (uint8_t)(1u << random_below(8));
		check_run(copy, size);
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),	    cmocka_unit_test(test_split_at_every_byte),
		cmocka_unit_test(test_errors),	    cmocka_unit_test(test_inline_limit),
		cmocka_unit_test(test_total_limit), cmocka_unit_test(test_long_command),
		cmocka_unit_test(test_room),	    cmocka_unit_test(test_random),
		cmocka_unit_test(test_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
