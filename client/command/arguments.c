#include "client/command/arguments.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct option {
	const char *name;
	const char *operand; /* NULL: it takes none */
	bool (*apply)(struct arguments *arguments, const char *text, const struct option *option);
	int number;
	const char *help;
};

__attribute__((format(printf, 1, 2))) static bool complain(const char *format, ...)
{
	va_list arguments;

	fputs("zslab: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputs("; try zslab --help\n", stderr);
	return false;
}

static bool parse_number(const struct option *option, const char *text, long long least, long long most,
			 long long *number)
{
	char *end;

	errno = 0;
	*number = strtoll(text, &end, 10);
	if (end != text && !*end && !errno && *number >= least && *number <= most)
		return true;
	fprintf(stderr, "zslab: --%s takes a number from %lld to %lld, not '%s'\n", option->name, least, most, text);
	return false;
}

/* ---- one option each ---- */

static bool add_address(struct arguments *a, const char *text, const struct option *option)
{
	(void)option;
	if (a->address_count == sizeof(a->addresses) / sizeof(a->addresses[0]))
		return complain("there are too many addresses");
	a->addresses[a->address_count++] = text;
	return true;
}

static bool set_via(struct arguments *a, const char *text, const struct option *option)
{
	enum zslab_via via;

	(void)option;
	a->via = text;
	return zs_via_parse(text, &via) || complain("--via takes auto, shm, rdma or tcp, not '%s'", text);
}

static bool set_user(struct arguments *a, const char *text, const struct option *option)
{
	(void)option;
	a->user = text;
	return true;
}

static bool set_password_file(struct arguments *a, const char *text, const struct option *option)
{
	(void)option;
	a->password_file = text;
	return true;
}

static bool set_timeout(struct arguments *a, const char *text, const struct option *option)
{
	long long number;

	if (!parse_number(option, text, 1, 3600000, &number))
		return false;
	a->timeout_ms = (unsigned)number;
	return true;
}

static bool set_switch(struct arguments *a, const char *text, const struct option *option)
{
	bool *const switches[] = { &a->verbose, &a->help, &a->version };

	(void)text;
	*switches[option->number] = true;
	return true;
}

static bool add_flag(struct arguments *a, const char *text, const struct option *option)
{
	(void)text;
	a->flags |= (unsigned)option->number;
	return true;
}

static bool set_compare(struct arguments *a, const char *text, const struct option *option)
{
	a->flags |= (unsigned)option->number;
	a->compare = text;
	return true;
}

static bool set_group(struct arguments *a, const char *text, const struct option *option)
{
	(void)option;
	a->group = text;
	return *text || complain("--group takes the name of a group");
}

static bool set_expiry(struct arguments *a, const char *text, const struct option *option)
{
	if (a->expiry)
		return complain("--%s is a second time to live; one is enough", option->name);
	a->expiry = (enum zslab_expiry)option->number;
	return parse_number(option, text, 1, INT64_MAX, &a->time);
}

static bool set_count(struct arguments *a, const char *text, const struct option *option)
{
	long long number;

	if (!parse_number(option, text, 1, INT32_MAX, &number))
		return false;
	a->count = (unsigned long)number;
	return true;
}

static bool set_interval(struct arguments *a, const char *text, const struct option *option)
{
	long long number;

	if (!parse_number(option, text, 10, 3600000, &number))
		return false;
	a->interval_ms = (unsigned)number;
	return true;
}

static const struct option options[] = {
	{ "address", "A", add_address, 0,
	  "a node: host:port, [ipv6]:port or unix:/path; repeated for several nodes, in the same order for all clients "
	  "(default 127.0.0.1:7379)" },
	{ "via", "WAY", set_via, 0, "auto, shm, rdma or tcp (default auto)" },
	{ "user", "NAME", set_user, 0, "log in as this user (default 'default')" },
	{ "password-file", "FILE", set_password_file, 0, "the password is the first line of FILE" },
	{ "timeout", "MS", set_timeout, 0, "of each operation (default 1000)" },
	{ "verbose", NULL, set_switch, 0, "say on standard error how nodes are connected" },
	{ "help", NULL, set_switch, 1, "print this" },
	{ "version", NULL, set_switch, 2, "print the version" },
	{ "ex", "S", set_expiry, ZSLAB_EX, "set, expire: seconds to live" },
	{ "px", "MS", set_expiry, ZSLAB_PX, "set, expire: milliseconds to live" },
	{ "exat", "T", set_expiry, ZSLAB_EXAT, "set, expire: ends at this second since 1970" },
	{ "pxat", "T", set_expiry, ZSLAB_PXAT, "set, expire: ends at this millisecond since 1970" },
	{ "keepttl", NULL, add_flag, ZSLAB_KEEP_TTL, "set: the deadline stays as it is" },
	{ "nx", NULL, add_flag, ZSLAB_IF_ABSENT, "set: only if there is no such key" },
	{ "xx", NULL, add_flag, ZSLAB_IF_PRESENT, "set: only if there is one" },
	{ "ifeq", "OLD", set_compare, ZSLAB_IF_EQUAL, "set: only if its value is OLD" },
	{ "get", NULL, add_flag, ZSLAB_GET_OLD, "set: print the value that was there" },
	{ "group", "NAME", set_group, 0, "set: put it into this group" },
	{ "count", "N", set_count, 0, "watch: end after N lines" },
	{ "interval", "MS", set_interval, 0, "watch: between lines (default 1000)" },
};

#define OPTIONS (sizeof(options) / sizeof(options[0]))

/* ---- the whole line ---- */

static const struct option *find(const char *name, size_t size)
{
	for (size_t i = 0; i < OPTIONS; i++) {
		if (strlen(options[i].name) == size && !memcmp(options[i].name, name, size))
			return &options[i];
	}
	return NULL;
}

/* Takes argv[i], "--name", "--name=value" or "--name value". The number of arguments it took; 0 if it is wrong. */
static int take_option(struct arguments *a, int argc, char **argv, int i)
{
	const char *name = argv[i] + 2;
	const char *value = strchr(name, '=');
	const struct option *option = find(name, value ? (size_t)(value - name) : strlen(name));

	if (!option)
		return complain("there is no option '%s'", argv[i]);
	if (!option->operand)
		return value ? complain("--%s takes no value", option->name) : option->apply(a, NULL, option);
	if (value)
		return option->apply(a, value + 1, option);
	if (i + 1 == argc)
		return complain("--%s needs a value: %s", option->name, option->operand);
	return option->apply(a, argv[i + 1], option) ? 2 : 0;
}

bool zs_arguments_parse(struct arguments *a, int argc, char **argv)
{
	bool only_operands = false;
	int step;

	*a = (struct arguments){ .via = "auto", .interval_ms = 1000 };
	a->operands = calloc((size_t)argc + 1, sizeof(*a->operands));
	if (!a->operands)
		return complain("there is not enough memory");
	for (int i = 1; i < argc; i += step) {
		step = 1;
		if (only_operands || strncmp(argv[i], "--", 2) != 0)
			a->operands[a->operand_count++] = argv[i];
		else if (!argv[i][2])
			only_operands = true;
		else
			step = take_option(a, argc, argv, i);
		if (!step)
			return false;
	}
	if (!a->address_count)
		a->addresses[a->address_count++] = "127.0.0.1:7379";
	return true;
}

void zs_arguments_help(void)
{
	for (size_t i = 0; i < OPTIONS; i++) {
		char left[40];

		snprintf(left, sizeof(left), "--%s %s", options[i].name, options[i].operand ? options[i].operand : "");
		printf("  %-22s%s\n", left, options[i].help);
	}
}

bool zs_via_parse(const char *text, enum zslab_via *via)
{
	static const char *const names[] = { "auto", "shm", "rdma", "tcp" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(text, names[i])) {
			*via = (enum zslab_via)i;
			return true;
		}
	}
	return false;
}

char *zs_password_read(const char *path)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	if (!file) {
		fprintf(stderr, "the password file %s cannot be read: %s\n", path, strerror(errno));
		return NULL;
	}
	n = getline(&line, &size, file);
	fclose(file);
	if (n > 0 && line[n - 1] == '\n')
		line[--n] = 0;
	if (n > 0)
		return line;
	fprintf(stderr, "the first line of the password file %s is empty\n", path);
	free(line);
	return NULL;
}
