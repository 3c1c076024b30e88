/*
 * Command-line options of the benchmark programs, declared once as a table from which parsing and --help
 * come.
 */
#ifndef ZS_BENCH_FLAGS_H
#define ZS_BENCH_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum zs_flag_type {
	ZS_FLAG_SWITCH, /* bool *, set by its presence */
	ZS_FLAG_NUMBER, /* uint64_t *; k, m, g after the digits multiply by 1024, K, M, G by 1000 */
	ZS_FLAG_REAL,	/* double * */
	ZS_FLAG_TEXT,	/* const char **, points into argv */
	ZS_FLAG_RANGE,	/* struct zs_range *: "128" or "32..512" */
};

struct zs_range {
	uint64_t low;
	uint64_t high; /* included */
};

struct zs_flag {
	const char *name;
	enum zs_flag_type type;
	void *target; /* holds the default when parsing begins */
	double least; /* NUMBER, RANGE and REAL: accepted values */
	double most;
	const char *argument; /* what --help calls the argument */
	const char *help;
};

struct zs_program {
	const char *name;
	const char *summary; /* printed by --help above the options */
	const struct zs_flag *flags;
	size_t count;
};

/*
 * Reads argv into the targets. --help prints the table and exits with 0; anything wrong prints a sentence
 * that says what would be right and exits with 2. No positional arguments are accepted.
 */
void zs_flags_parse(const struct zs_program *program, int argc, char **argv);

/* Prints "<program>: <message>" to standard error and exits with 2. For combinations of options. */
__attribute__((format(printf, 2, 3), noreturn)) void zs_flags_fail(const struct zs_program *program, const char *format,
								   ...);

/* Reads a number with an optional suffix. False if the text is not one. */
bool zs_flags_number(const char *text, uint64_t *number);

/* Reads "N" or "LOW..HIGH". False if the text is neither, or HIGH is below LOW. */
bool zs_flags_range(const char *text, struct zs_range *range);

#endif
