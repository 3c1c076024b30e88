/*
 * Parsing of RESP requests: arrays of bulk strings, and inline commands with Redis' quoting.
 *
 * Pure functions over a buffer: no I/O, no clock. The arguments of a command point into the caller's buffer
 * (those of an inline command into the argument list), so nothing is copied. A command that has not arrived
 * whole is parsed again when there is more of it; the parser remembers how much it must wait for, and for
 * long commands how far it came, so that bytes that trickle in one by one cost no more than constant work
 * each.
 */
#ifndef ZS_COMMON_RESP_H
#define ZS_COMMON_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zs_argument {
	const uint8_t *data;
	size_t size;
};

/* What a peer may send. More is a protocol error. */
struct zs_resp_limits {
	size_t arguments; /* of one command */
	size_t bulk;	  /* bytes of one argument */
	size_t total;	  /* bytes of one command as sent */
};

#define ZS_RESP_ARGUMENTS_MAX 1048576u

/* Bytes of the longest inline command. */
#define ZS_RESP_INLINE_MAX 65536u

/* Where arguments are put. One for each thread is enough: its contents live until the next zs_resp_clear. */
struct zs_resp_arguments {
	struct zs_argument *list;
	size_t used;
	size_t size;
	uint8_t *text; /* arguments of an inline command, unquoted */
	size_t text_size;
};

/* ZS_OK or ZS_ENOMEM. */
int zs_resp_arguments_init(struct zs_resp_arguments *arguments);
void zs_resp_arguments_free(struct zs_resp_arguments *arguments);

static inline void zs_resp_clear(struct zs_resp_arguments *arguments)
{
	arguments->used = 0;
}

struct zs_resp_span {
	size_t offset;
	size_t size;
};

/* The state of one connection. All zero is a fresh one. */
struct zs_resp {
	size_t needed;	 /* fewer bytes than this cannot complete the command */
	size_t position; /* long commands only: parsed so far */
	size_t missing;	 /* long commands only: arguments still to come; 0: no long command has begun */
	struct zs_resp_span *spans;
	size_t spans_used;
	size_t spans_size;
};

/* Whether no part of a command has been seen. */
static inline bool zs_resp_is_fresh(const struct zs_resp *parser)
{
	return parser->needed == 0 && parser->missing == 0;
}

/* Frees what the parser holds; it is fresh afterwards. */
void zs_resp_reset(struct zs_resp *parser);

enum zs_resp_result {
	ZS_RESP_COMMAND, /* a command: argv, argc, consumed are set */
	ZS_RESP_EMPTY,	 /* an empty line or array, to be skipped: consumed is set */
	ZS_RESP_MORE,	 /* not all there yet; keep the bytes and call again with at least parser->needed */
	ZS_RESP_ROOM,	 /* the argument list has other commands and no room: clear it and call again */
	ZS_RESP_ERROR,	 /* error is set; the connection cannot go on */
};

struct zs_resp_command {
	const struct zs_argument *argv;
	size_t argc;
	size_t consumed;
	char error[96]; /* "Protocol error: ..." */
};

/*
 * Parses the command at the start of data. As long as ZS_RESP_MORE is returned, the next call for this parser
 * must begin with the same bytes (anywhere in memory), with more behind them. Arguments are added to the
 * list, up to its size.
 */
enum zs_resp_result zs_resp_parse(struct zs_resp *parser, const struct zs_resp_limits *limits, const uint8_t *data,
				  size_t size, struct zs_resp_arguments *arguments, struct zs_resp_command *command);

/* A command of a run. */
struct zs_resp_request {
	const struct zs_argument *argv;
	size_t argc;
	size_t end; /* of its bytes, from the start of the data */
};

/*
 * Parses up to `most` commands that follow one another at the start of data, as long as they are there whole and have
 * nothing unusual; returns how many. Whatever comes then is for zs_resp_parse, and is not wrong because of that. The
 * parser of the connection must be fresh.
 */
size_t zs_resp_parse_run(const struct zs_resp_limits *limits, const uint8_t *data, size_t size,
			 struct zs_resp_arguments *arguments, struct zs_resp_request *list, size_t most);

#endif
