/*
 * The command line of zslab: options may stand anywhere, everything that does not begin with "--" is an operand, and
 * after "--" everything is. So values like -5 need no care.
 */
#ifndef ZS_CLIENT_COMMAND_ARGUMENTS_H
#define ZS_CLIENT_COMMAND_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "client/zslab.h"

/* Exit codes. */
enum {
	EXIT_OK = 0,
	EXIT_NOT_FOUND = 1, /* no such key, or the condition did not hold */
	EXIT_USAGE = 2,
	EXIT_NODE = 3, /* the node, or the way to it */
};

struct arguments {
	const char *addresses[1024];
	size_t address_count;
	const char *via;
	const char *user;
	const char *password_file;
	unsigned timeout_ms;
	bool verbose;
	bool help;
	bool version;
	/* of set and expire: */
	unsigned flags; /* enum zslab_flags */
	enum zslab_expiry expiry;
	long long time;
	const char *compare;
	const char *group;
	/* of watch: */
	unsigned long count;
	unsigned interval_ms;
	/* what is left: */
	const char **operands;
	size_t operand_count;
};

/* The caller frees the array of operands. False, and a sentence on standard error, if it cannot be understood. */
bool zs_arguments_parse(struct arguments *arguments, int argc, char **argv);

/* The part of --help about the options. */
void zs_arguments_help(void);

/* "auto", "shm", "rdma", "tcp". False if it is none of them. */
bool zs_via_parse(const char *text, enum zslab_via *via);

/* Reads a password, the first line of a file. NULL, and a sentence on standard error, if that fails. The caller frees
 * it. */
char *zs_password_read(const char *path);

#endif
