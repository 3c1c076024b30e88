/* zslab: operations on a ZNS-Slab cache from the command line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/command/arguments.h"
#include "client/command/verbs.h"

struct verb {
	const char *name;
	const char *operands;
	size_t least; /* operands, the verb not counted */
	size_t most;
	int (*run)(struct zslab *handle, const struct arguments *arguments);
	const char *help;
};

static const struct verb verbs[] = {
	{ "get", "KEY", 1, 1, zs_verb_get, "print the value" },
	{ "set", "KEY VALUE", 2, 2, zs_verb_set, "store it; VALUE - is standard input" },
	{ "del", "KEY...", 1, SIZE_MAX, zs_verb_del, "delete; print how many there were" },
	{ "incr", "KEY [BY]", 1, 2, zs_verb_incr, "add BY (1) and print the sum" },
	{ "mget", "KEY...", 1, SIZE_MAX, zs_verb_mget, "print several values, read together" },
	{ "expire", "KEY", 1, 1, zs_verb_expire, "give it another time to live" },
	{ "touch", "KEY...", 1, SIZE_MAX, zs_verb_touch, "count as used; print how many there are" },
	{ "drop", "GROUP", 1, 1, zs_verb_drop, "end all objects of the group; print how many there were" },
	{ "stats", "[SECTION]", 0, 1, zs_verb_stats, "print what each node tells about itself" },
	{ "warm", "", 0, 0, zs_verb_warm, "print how the warm tier of each node fares" },
	{ "ping", "", 0, 0, zs_verb_ping, "does each node answer, and how long does it take?" },
	{ "watch", "", 0, 0, zs_verb_watch, "print every second what the nodes do" },
};

#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static void help(void)
{
	puts("zslab: operations on a ZNS-Slab cache\n\nUsage: zslab VERB [OPTION]... [OPERAND]...\n");
	for (size_t i = 0; i < VERBS; i++) {
		char left[40];

		snprintf(left, sizeof(left), "%s %s", verbs[i].name, verbs[i].operands);
		printf("  %-22s%s\n", left, verbs[i].help);
	}
	puts("\nOptions:\n");
	zs_arguments_help();
	puts("\nExit code: 0 done; 1 no such key, or a condition did not hold; 2 the command line is wrong;\n"
	     "3 the node, or the way to it.");
}

static const struct verb *find_verb(const struct arguments *a)
{
	const struct verb *verb = NULL;

	if (!a->operand_count) {
		fprintf(stderr, "zslab: what should be done? Try zslab --help\n");
		return NULL;
	}
	for (size_t i = 0; i < VERBS && !verb; i++) {
		if (!strcmp(verbs[i].name, a->operands[0]))
			verb = &verbs[i];
	}
	if (!verb) {
		fprintf(stderr, "zslab: there is no verb '%s'; try zslab --help\n", a->operands[0]);
		return NULL;
	}
	if (a->operand_count - 1 < verb->least || a->operand_count - 1 > verb->most) {
		fprintf(stderr, "zslab: usage: zslab %s %s\n", verb->name, verb->operands);
		return NULL;
	}
	return verb;
}

static void log_to_stderr(void *context, const char *sentence)
{
	(void)context;
	fprintf(stderr, "zslab: %s\n", sentence);
}

static int run(const struct arguments *a, const struct verb *verb)
{
	struct zslab_options options = { .user = a->user, .client_name = "zslab", .timeout_ms = a->timeout_ms };
	char why[ZSLAB_ERROR_MAX];
	struct zslab *handle;
	char *password = NULL;
	int code;

	if (a->password_file) {
		password = zs_password_read(a->password_file);
		if (!password)
			return EXIT_USAGE;
		options.password = password;
	}
	(void)zs_via_parse(a->via, &options.via);
	if (a->verbose)
		options.log = log_to_stderr;
	code = zslab_open(&handle, a->addresses, a->address_count, &options, why, sizeof(why));
	free(password);
	if (code) {
		fprintf(stderr, "zslab: %s\n", why);
		return code == ZSLAB_EINVAL ? EXIT_USAGE : EXIT_NODE;
	}
	code = verb->run(handle, a);
	zslab_close(handle);
	return code;
}

int main(int argc, char **argv)
{
	struct arguments a;
	const struct verb *verb;
	int code;

	if (!zs_arguments_parse(&a, argc, argv)) {
		code = EXIT_USAGE;
	} else if (a.help) {
		help();
		code = EXIT_OK;
	} else if (a.version) {
		puts("zslab " ZS_VERSION);
		code = EXIT_OK;
	} else {
		verb = find_verb(&a);
		code = verb ? run(&a, verb) : EXIT_USAGE;
	}
	free(a.operands);
	if (fflush(stdout) && code == EXIT_OK)
		code = EXIT_NODE;
	return code;
}
