/*
 * Random bytes as a stream of requests, in pieces: every argument must lie in the piece or in the unquoted text, and
 * the parser must get on. The first byte chooses the size of the pieces.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct zs_resp_limits limits = { .arguments = ZS_RESP_ARGUMENTS_MAX, .bulk = 2048, .total = 65536 };

static void check(const struct zs_resp_arguments *arguments, const struct zs_resp_command *command, const uint8_t *data,
		  size_t size)
{
	volatile uint8_t sum = 0;

	if (command->consumed == 0 || command->consumed > size || command->argc == 0)
		abort();
	for (size_t i = 0; i < command->argc; i++) {
		const struct zs_argument *a = &command->argv[i];
		int in_data = a->data >= data && a->data + a->size <= data + size;
		int in_text = arguments->text && a->data >= arguments->text &&
			      a->data + a->size <= arguments->text + arguments->text_size;

		if (!in_data && !in_text)
			abort();
		for (size_t j = 0; j < a->size; j++)
			sum = (uint8_t)(sum + a->data[j]);
	}
}

/* Parses what one piece after the other makes available. Each attempt sees a copy with nothing behind it. */
static void parse_stream(struct zs_resp *parser, struct zs_resp_arguments *arguments, const uint8_t *data, size_t size,
			 size_t piece)
{
	size_t start = 0;
	size_t there = 0;

	while (there < size) {
		enum zs_resp_result result = ZS_RESP_COMMAND;

		there = size - there < piece ? size : there + piece;
		while (result == ZS_RESP_COMMAND || result == ZS_RESP_EMPTY || result == ZS_RESP_ROOM) {
			struct zs_resp_command command = { 0 };
			size_t n = there - start;
			uint8_t *copy = malloc(n ? n : 1);

			memcpy(copy, data + start, n);
			if (result == ZS_RESP_ROOM)
				zs_resp_clear(arguments);
			result = zs_resp_parse(parser, &limits, copy, n, arguments, &command);
			if (result == ZS_RESP_COMMAND)
				check(arguments, &command, copy, n);
			if (result == ZS_RESP_ERROR && memcmp(command.error, "Protocol error: ", 16) != 0)
				abort();
			start += command.consumed;
			free(copy);
			if (result == ZS_RESP_ERROR)
				return;
		}
	}
}

/* What is found in a run must be what is found one by one. */
static void compare_run(struct zs_resp_arguments *arguments, const uint8_t *data, size_t size)
{
	struct zs_resp_request list[32];
	size_t count;
	size_t end = 0;

	zs_resp_clear(arguments);
	count = zs_resp_parse_run(&limits, data, size, arguments, list, 32);
	for (size_t i = 0; i < count; i++) {
		struct zs_resp parser = { 0 };
		struct zs_resp_command command = { 0 };

		if (zs_resp_parse(&parser, &limits, data + end, size - end, arguments, &command) != ZS_RESP_COMMAND)
			abort();
		check(arguments, &command, data + end, size - end);
		end += command.consumed;
		if (list[i].end != end || list[i].argc != command.argc ||
		    memcmp(list[i].argv, command.argv, command.argc * sizeof(*command.argv)) != 0)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zs_resp parser = { 0 };
	struct zs_resp_arguments arguments;

	if (size < 2 || zs_resp_arguments_init(&arguments))
		return 0;
	parse_stream(&parser, &arguments, data + 1, size - 1, 1u + data[0] * 4u);
	compare_run(&arguments, data + 1, size - 1);
	zs_resp_reset(&parser);
	zs_resp_arguments_free(&arguments);
	return 0;
}
