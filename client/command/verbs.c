#include "client/command/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int zs_report(struct zslab *handle, const struct zslab_op *op)
{
	if (op->status == ZSLAB_OK)
		return EXIT_OK;
	if (op->status == ZSLAB_ENOTFOUND || op->status == ZSLAB_ECONDITION) {
		fprintf(stderr, "zslab: %s\n", zslab_error_text(op->status));
		return EXIT_NOT_FOUND;
	}
	fprintf(stderr, "zslab: %s\n", op->error[0] ? op->error : zslab_error(handle));
	return op->status == ZSLAB_EINVAL || op->status == ZSLAB_ETOOBIG ? EXIT_USAGE : EXIT_NODE;
}

static int run(struct zslab *handle, struct zslab_op *op)
{
	(void)zslab_run(handle, op);
	return zs_report(handle, op);
}

static void print_value(const void *value, size_t size)
{
	fwrite(value, 1, size, stdout);
	putchar('\n');
}

/* ---- one key ---- */

int zs_verb_get(struct zslab *handle, const struct arguments *a)
{
	static char value[ZSLAB_OBJECT_MAX];
	struct zslab_op op = {
		.kind = ZSLAB_GET,
		.key = a->operands[1],
		.key_size = strlen(a->operands[1]),
		.buffer = value,
		.buffer_size = sizeof(value),
	};
	int code = run(handle, &op);

	if (code == EXIT_OK)
		print_value(value, op.size);
	return code;
}

/* "-": what standard input holds. False if that is too much or cannot be read. */
static bool read_value(const char *text, char *buffer, size_t buffer_size, const char **value, size_t *size)
{
	*value = text;
	*size = strlen(text);
	if (strcmp(text, "-") != 0)
		return true;
	*size = fread(buffer, 1, buffer_size, stdin);
	*value = buffer;
	if (ferror(stdin))
		fprintf(stderr, "zslab: standard input cannot be read: %s\n", strerror(errno));
	else if (*size == buffer_size)
		fprintf(stderr, "zslab: standard input holds more than a value can have, %d bytes with its key\n",
			ZSLAB_OBJECT_MAX);
	else
		return true;
	return false;
}

int zs_verb_set(struct zslab *handle, const struct arguments *a)
{
	static char given[ZSLAB_OBJECT_MAX + 1];
	static char old[ZSLAB_OBJECT_MAX];
	const char *value;
	size_t size;
	struct zslab_op op = {
		.kind = ZSLAB_SET,
		.key = a->operands[1],
		.key_size = strlen(a->operands[1]),
		.flags = a->flags,
		.expiry = a->expiry,
		.time = a->time,
		.compare = a->compare,
		.compare_size = a->compare ? strlen(a->compare) : 0,
		.group = a->group,
		.group_size = a->group ? strlen(a->group) : 0,
		.buffer = old,
		.buffer_size = sizeof(old),
	};
	int code;

	if (!read_value(a->operands[2], given, sizeof(given), &value, &size))
		return EXIT_USAGE;
	op.value = value;
	op.value_size = size;
	code = run(handle, &op);
	if (op.found)
		print_value(old, op.size);
	else if (code == EXIT_OK)
		puts("OK");
	return code;
}

int zs_verb_incr(struct zslab *handle, const struct arguments *a)
{
	const char *by = a->operand_count > 2 ? a->operands[2] : "1";
	struct zslab_op op = { .kind = ZSLAB_INCREMENT, .key = a->operands[1], .key_size = strlen(a->operands[1]) };
	char *end;
	int code;

	errno = 0;
	op.delta = strtoll(by, &end, 10);
	if (end == by || *end || errno) {
		fprintf(stderr, "zslab: incr adds a 64-bit integer, not '%s'\n", by);
		return EXIT_USAGE;
	}
	code = run(handle, &op);
	if (code == EXIT_OK)
		printf("%" PRId64 "\n", op.number);
	return code;
}

int zs_verb_expire(struct zslab *handle, const struct arguments *a)
{
	struct zslab_op op = {
		.kind = ZSLAB_EXPIRE,
		.key = a->operands[1],
		.key_size = strlen(a->operands[1]),
		.expiry = a->expiry,
		.time = a->time,
	};

	if (!a->expiry) {
		fprintf(stderr, "zslab: expire needs --ex, --px, --exat or --pxat\n");
		return EXIT_USAGE;
	}
	return run(handle, &op);
}

/* ---- many keys ---- */

/* The operation on each of the keys. How many were there is printed; not found only if none was. */
static int run_each(struct zslab *handle, const struct arguments *a, enum zslab_kind kind)
{
	size_t found = 0;

	for (size_t i = 1; i < a->operand_count; i++) {
		struct zslab_op op = { .kind = kind, .key = a->operands[i], .key_size = strlen(a->operands[i]) };
		int status = zslab_run(handle, &op);

		if (status && status != ZSLAB_ENOTFOUND)
			return zs_report(handle, &op);
		found += status == ZSLAB_OK;
	}
	printf("%zu\n", found);
	return found ? EXIT_OK : EXIT_NOT_FOUND;
}

int zs_verb_del(struct zslab *handle, const struct arguments *a)
{
	return run_each(handle, a, ZSLAB_DELETE);
}

int zs_verb_touch(struct zslab *handle, const struct arguments *a)
{
	return run_each(handle, a, ZSLAB_TOUCH);
}

static int print_items(const struct zslab_item *items, size_t count)
{
	int code = EXIT_OK;

	for (size_t i = 0; i < count; i++) {
		const struct zslab_item *item = &items[i];

		printf("%s: ", (const char *)item->key);
		if (item->status == ZSLAB_OK) {
			print_value(item->buffer, item->size);
			continue;
		}
		printf("(%s)\n", zslab_error_text(item->status));
		code = item->status == ZSLAB_ENOTFOUND && code == EXIT_OK ? EXIT_NOT_FOUND : code;
	}
	return code;
}

int zs_verb_mget(struct zslab *handle, const struct arguments *a)
{
	size_t count = a->operand_count - 1;
	struct zslab_item *items = calloc(count, sizeof(*items));
	char *values = malloc(count * ZSLAB_OBJECT_MAX);
	struct zslab_op op = { .kind = ZSLAB_MGET, .items = items, .item_count = count };
	int code = EXIT_NODE;
	int printed;

	if (!items || !values) {
		fprintf(stderr, "zslab: not enough memory for %zu values\n", count);
		goto free_memory;
	}
	for (size_t i = 0; i < count; i++) {
		items[i].key = a->operands[i + 1];
		items[i].key_size = strlen(a->operands[i + 1]);
		items[i].buffer = values + i * ZSLAB_OBJECT_MAX;
		items[i].buffer_size = ZSLAB_OBJECT_MAX;
	}
	code = run(handle, &op);
	printed = print_items(items, count);
	code = code == EXIT_OK ? printed : code;
free_memory:
	free(values);
	free(items);
	return code;
}

int zs_verb_drop(struct zslab *handle, const struct arguments *a)
{
	struct zslab_op op = { .kind = ZSLAB_DROP, .group = a->operands[1], .group_size = strlen(a->operands[1]) };
	int code = run(handle, &op);

	if (code == EXIT_OK)
		printf("%" PRId64 "\n", op.number);
	return code;
}

/* ---- about nodes ---- */

static void print_state(struct zslab *handle, size_t node)
{
	struct zslab_node_state state;

	if (zslab_node_state(handle, node, &state))
		return;
	printf("# Node %s\nreads_via:%s\noperations_via:%s\n", state.address, state.reads, state.operations);
	if (*state.problem)
		printf("problem:%s\n", state.problem);
}

int zs_verb_stats(struct zslab *handle, const struct arguments *a)
{
	static char text[1 << 17];
	const char *section = a->operand_count > 1 ? a->operands[1] : "";
	int code = EXIT_OK;

	for (size_t i = 0; i < zslab_node_count(handle); i++) {
		struct zslab_op op = {
			.kind = ZSLAB_STATS,
			.node = i,
			.key = section,
			.key_size = strlen(section),
			.buffer = text,
			.buffer_size = sizeof(text),
		};
		int one = run(handle, &op);

		print_state(handle, i);
		if (one == EXIT_OK)
			print_value(text, op.size);
		else
			code = one;
	}
	return code;
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int zs_verb_ping(struct zslab *handle, const struct arguments *a)
{
	int code = EXIT_OK;

	(void)a;
	for (size_t i = 0; i < zslab_node_count(handle); i++) {
		struct zslab_op op = { .kind = ZSLAB_PING, .node = i };
		struct zslab_node_state state;
		double began = now_ms();
		int one = run(handle, &op);

		if (one != EXIT_OK)
			code = one;
		else if (!zslab_node_state(handle, i, &state))
			printf("%s: answers in %.3f ms, reads go by %s\n", state.address, now_ms() - began,
			       state.reads);
	}
	return code;
}
