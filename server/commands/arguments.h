/*
 * Reading of command arguments: words in any case, integers, times to live, and the options of SET, GETEX and
 * EXPIRE.
 *
 * Functions that take a call answer it with Redis' error and return false when the argument is wrong.
 */
#ifndef ZS_SERVER_COMMANDS_ARGUMENTS_H
#define ZS_SERVER_COMMANDS_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "server/commands/command.h"

/* Is the argument this word, whatever the case of its letters? */
bool zs_argument_is(const struct zs_argument *argument, const char *word);

/* A canonical 64-bit decimal. */
bool zs_argument_integer(struct zs_call *call, const struct zs_argument *argument, int64_t *value);

void zs_argument_syntax_error(struct zs_call *call);

/* A point in time as it was asked for: EX, PX, EXAT or PXAT and its number. */
struct zs_when {
	const struct zs_argument *number; /* NULL: none was given */
	bool seconds;			  /* instead of milliseconds */
	bool absolute;			  /* since 1970 instead of from now */
};

/*
 * The deadline that `when` stands for, for commands that insist on one above 0 (SET, SETEX, GETEX). It may
 * have passed already when it is absolute. 0 if none was given.
 */
bool zs_when_deadline(struct zs_call *call, const struct zs_when *when, uint64_t *deadline);

/*
 * The same for the EXPIRE family, which takes any number: what lies before 1970 or is 1970 becomes 1, a
 * deadline that has passed for certain.
 */
bool zs_when_deadline_any(struct zs_call *call, const struct zs_when *when, uint64_t *deadline);

struct zs_write_options {
	struct zs_when when;
	unsigned set_flags;		    /* enum zs_set_flags; KEEPTTL is one */
	bool get;			    /* GET */
	bool persist;			    /* PERSIST, of GETEX */
	const struct zs_argument *expected; /* of IFEQ */
	const struct zs_argument *group;    /* of GROUP */
};

/* The options of SET (from argv[3]) and of GETEX (from argv[2]). */
bool zs_parse_set_options(struct zs_call *call, struct zs_write_options *options);
bool zs_parse_getex_options(struct zs_call *call, struct zs_write_options *options);

/* NX XX GT LT from argv[3], as enum zs_expire_flags. */
bool zs_parse_expire_options(struct zs_call *call, unsigned *flags);

#endif
