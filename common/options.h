/*
 * Settings as data. A table says for each setting its name, type, range, default, unit and help; the command
 * line, the configuration file, --help, the sample configuration, CONFIG GET and CONFIG SET all come from it.
 *
 * Numbers may be read by any thread at any time; texts are copied out under a lock. Every function that can
 * refuse something writes one sentence to `why`: what was wrong, and what would be right.
 */
#ifndef ZS_COMMON_OPTIONS_H
#define ZS_COMMON_OPTIONS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define ZS_OPTION_TEXT_MAX 512
#define ZS_OPTION_WHY_MAX 768

enum zs_option_type {
	ZS_OPTION_BOOL, /* yes or no */
	ZS_OPTION_INTEGER,
	ZS_OPTION_BYTES,    /* 1024, 64kb, 512mb, 1g: units are powers of 1024 */
	ZS_OPTION_DURATION, /* 10, 500ms, 5m: kept in, and a bare number means, the option's unit */
	ZS_OPTION_MODE,	    /* permission bits, octal */
	ZS_OPTION_WORD,	    /* one of `words`; kept as its position */
	ZS_OPTION_TEXT,
};

enum zs_option_flags {
	ZS_OPTION_RUNTIME = 1, /* may be changed while the program runs */
};

struct zs_option {
	const char *name;
	enum zs_option_type type;
	const char *standard; /* the default, as one would write it */
	int64_t min, max;     /* of numbers, in the unit they are kept in */
	const char *unit;     /* of durations: "us", "ms", "s" */
	const char *words;    /* "auto|uring|epoll" */
	uint64_t flags;
	const char *help;
};

struct zs_option_value {
	_Atomic int64_t number;
	char text[ZS_OPTION_TEXT_MAX];
};

struct zs_options {
	const struct zs_option *table;
	size_t count;
	struct zs_option_value *values;
	pthread_mutex_t lock; /* of the texts */
};

/* All settings at their defaults. The table must outlive the options. ZS_OK or ZS_ENOMEM. */
int zs_options_init(struct zs_options *options, const struct zs_option *table, size_t count);
void zs_options_free(struct zs_options *options);

/* The position of a setting in the table, names compared without case; -1 if there is none. */
int zs_options_find(const struct zs_options *options, const char *name);

/* A number (bool: 0 or 1, word: its position). Any thread. */
static inline int64_t zs_options_number(const struct zs_options *options, unsigned option)
{
	return atomic_load_explicit(&options->values[option].number, memory_order_relaxed);
}

/* Copies a text setting. Any thread. */
void zs_options_text(struct zs_options *options, unsigned option, char text[ZS_OPTION_TEXT_MAX]);

/* Checks a value without storing it. ZS_OK or ZS_ECONFIG. */
int zs_options_check(const struct zs_options *options, unsigned option, const char *value, char *why, size_t why_size);

/* Checks and stores a value. Any thread. ZS_OK or ZS_ECONFIG. */
int zs_options_set(struct zs_options *options, unsigned option, const char *value, char *why, size_t why_size);

/* Reads a value as this option would be. ZS_OK, or ZS_ECONFIG and a sentence. */
int zs_option_check(const struct zs_option *option, const char *value, int64_t *number, char *why, size_t why_size);

/* Writes the value of any setting in the form that zs_options_set reads. */
void zs_options_print(struct zs_options *options, unsigned option, char text[ZS_OPTION_TEXT_MAX]);

/*
 * Reads a configuration file (libconfig's syntax: `name = value;`). The sentence of an error begins with file
 * and line. Settings before a faulty line are stored. ZS_OK or ZS_ECONFIG.
 */
int zs_options_read_file(struct zs_options *options, const char *path, char *why, size_t why_size);

/* The same from memory; `name` stands for the file in messages. @include is refused. */
int zs_options_read_string(struct zs_options *options, const char *text, const char *name, char *why, size_t why_size);

/* Reads flags: `--name value`, `--name=value`, and `--name` alone for bool. ZS_OK or ZS_ECONFIG. */
int zs_options_read_flags(struct zs_options *options, int argc, char *const *argv, char *why, size_t why_size);

/* The part of --help about the settings. */
void zs_options_help(const struct zs_options *options, FILE *out);

/* A configuration file with every setting at its default, each with its help. */
void zs_options_sample(const struct zs_options *options, FILE *out);

#endif
