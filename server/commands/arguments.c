#include "server/commands/arguments.h"

#include <string.h>
#include <strings.h>

#include "server/commands/numbers.h"

bool zs_argument_is(const struct zs_argument *argument, const char *word)
{
	size_t size = strlen(word);

	return argument->size == size && strncasecmp((const char *)argument->data, word, size) == 0;
}

bool zs_argument_integer(struct zs_call *call, const struct zs_argument *argument, int64_t *value)
{
	if (zs_integer_parse(argument->data, argument->size, value))
		return true;
	zs_reply_error(call->reply, "ERR value is not an integer or out of range");
	return false;
}

void zs_argument_syntax_error(struct zs_call *call)
{
	zs_reply_error(call->reply, "ERR syntax error");
}

static bool invalid_expire_time(struct zs_call *call)
{
	zs_reply_error(call->reply, "ERR invalid expire time in '%s' command", call->command->name);
	return false;
}

/* The number of `when` as milliseconds since 1970; false if that does not fit 63 bits. */
static bool resolve(const struct zs_call *call, const struct zs_when *when, int64_t number, int64_t *result)
{
	int64_t now = (int64_t)zs_thread_now(call->thread);

	if (when->seconds && __builtin_mul_overflow(number, 1000, &number))
		return false;
	if (!when->absolute && __builtin_add_overflow(number, now, &number))
		return false;
	*result = number;
	return true;
}

bool zs_when_deadline(struct zs_call *call, const struct zs_when *when, uint64_t *deadline)
{
	int64_t number;

	*deadline = 0;
	if (!when->number)
		return true;
	if (!zs_argument_integer(call, when->number, &number))
		return false;
	if (number <= 0 || !resolve(call, when, number, &number))
		return invalid_expire_time(call);
	*deadline = (uint64_t)number;
	return true;
}

bool zs_when_deadline_any(struct zs_call *call, const struct zs_when *when, uint64_t *deadline)
{
	int64_t number;

	if (!zs_argument_integer(call, when->number, &number))
		return false;
	if (!resolve(call, when, number, &number))
		return invalid_expire_time(call);
	*deadline = number > 0 ? (uint64_t)number : 1;
	return true;
}

struct parser {
	struct zs_call *call;
	struct zs_write_options *options;
	size_t at; /* of the argument in argv */
};

/* The argument after the present one, which is then passed too; NULL if there is none. */
static const struct zs_argument *take_operand(struct parser *parser)
{
	if (parser->at + 1 >= parser->call->argc)
		return NULL;
	parser->at++;
	return &parser->call->argv[parser->at];
}

/* EX, PX, EXAT and PXAT exclude each other, KEEPTTL and PERSIST; the same one may come twice and the last counts. */
static bool parse_when(struct parser *parser)
{
	static const struct {
		const char *word;
		struct zs_when when;
	} kinds[] = {
		{ "EX", { NULL, true, false } },
		{ "PX", { NULL, false, false } },
		{ "EXAT", { NULL, true, true } },
		{ "PXAT", { NULL, false, true } },
	};
	const struct zs_argument *word = &parser->call->argv[parser->at];
	struct zs_when *when = &parser->options->when;

	if (parser->options->persist || parser->options->set_flags & ZS_SET_KEEP_TTL)
		return false;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const struct zs_when *kind = &kinds[i].when;

		if (!zs_argument_is(word, kinds[i].word))
			continue;
		if (when->number && (when->seconds != kind->seconds || when->absolute != kind->absolute))
			return false;
		*when = *kind;
		when->number = take_operand(parser);
		return when->number != NULL;
	}
	return false;
}

/* Sets a condition of SET unless one of `excluded` is there. */
static bool add_condition(struct zs_write_options *options, unsigned flag, unsigned excluded)
{
	if (options->set_flags & excluded)
		return false;
	options->set_flags |= flag;
	return true;
}

static bool parse_set_option(struct parser *parser)
{
	const struct zs_argument *word = &parser->call->argv[parser->at];
	struct zs_write_options *options = parser->options;

	if (zs_argument_is(word, "NX"))
		return add_condition(options, ZS_SET_ABSENT, ZS_SET_PRESENT | ZS_SET_EQUAL);
	if (zs_argument_is(word, "XX"))
		return add_condition(options, ZS_SET_PRESENT, ZS_SET_ABSENT | ZS_SET_EQUAL);
	if (zs_argument_is(word, "IFEQ")) {
		options->expected = take_operand(parser);
		return options->expected && add_condition(options, ZS_SET_EQUAL, ZS_SET_ABSENT | ZS_SET_PRESENT);
	}
	if (zs_argument_is(word, "GROUP")) {
		options->group = take_operand(parser);
		options->set_flags |= ZS_SET_GROUP;
		return options->group != NULL;
	}
	if (zs_argument_is(word, "GET")) {
		options->get = true;
		return true;
	}
	if (zs_argument_is(word, "KEEPTTL")) {
		options->set_flags |= ZS_SET_KEEP_TTL;
		return !options->when.number;
	}
	return parse_when(parser);
}

static bool parse_getex_option(struct parser *parser)
{
	struct zs_write_options *options = parser->options;

	if (zs_argument_is(&parser->call->argv[parser->at], "PERSIST")) {
		options->persist = true;
		return !options->when.number;
	}
	return parse_when(parser);
}

static bool parse_options(struct zs_call *call, size_t first, struct zs_write_options *options,
			  bool (*parse_one)(struct parser *parser))
{
	struct parser parser = { call, options, first };

	*options = (struct zs_write_options){ 0 };
	for (; parser.at < call->argc; parser.at++) {
		if (!parse_one(&parser)) {
			zs_argument_syntax_error(call);
			return false;
		}
	}
	return true;
}

bool zs_parse_set_options(struct zs_call *call, struct zs_write_options *options)
{
	return parse_options(call, 3, options, parse_set_option);
}

bool zs_parse_getex_options(struct zs_call *call, struct zs_write_options *options)
{
	return parse_options(call, 2, options, parse_getex_option);
}

bool zs_parse_expire_options(struct zs_call *call, unsigned *flags)
{
	*flags = 0;
	for (size_t i = 3; i < call->argc; i++) {
		const struct zs_argument *word = &call->argv[i];

		if (zs_argument_is(word, "NX")) {
			*flags |= ZS_EXPIRE_NX;
		} else if (zs_argument_is(word, "XX")) {
			*flags |= ZS_EXPIRE_XX;
		} else if (zs_argument_is(word, "GT")) {
			*flags |= ZS_EXPIRE_GT;
		} else if (zs_argument_is(word, "LT")) {
			*flags |= ZS_EXPIRE_LT;
		} else {
			zs_reply_error(call->reply, "ERR Unsupported option %.*s", (int)word->size, word->data);
			return false;
		}
	}
	if (*flags & ZS_EXPIRE_NX && *flags != ZS_EXPIRE_NX) {
		zs_reply_error(call->reply, "ERR NX and XX, GT or LT options at the same time are not compatible");
		return false;
	}
	if (*flags & ZS_EXPIRE_GT && *flags & ZS_EXPIRE_LT) {
		zs_reply_error(call->reply, "ERR GT and LT options at the same time are not compatible");
		return false;
	}
	return true;
}
