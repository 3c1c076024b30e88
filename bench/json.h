/*
 * A writer of JSON: nesting and commas are looked after, keys and texts are escaped.
 */
#ifndef ZS_BENCH_JSON_H
#define ZS_BENCH_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct zs_json {
	FILE *file;
	unsigned depth;
	bool first; /* nothing was written yet at this depth */
};

/* Opens `path` ("-": standard output) and begins an object. False, and errno, if it cannot be opened. */
bool zs_json_open(struct zs_json *json, const char *path);

/* Ends the object and closes the file. False, and errno, if anything could not be written. */
bool zs_json_close(struct zs_json *json);

/* `key` is NULL for the elements of an array. */
void zs_json_object(struct zs_json *json, const char *key);
void zs_json_array(struct zs_json *json, const char *key);
void zs_json_end_object(struct zs_json *json);
void zs_json_end_array(struct zs_json *json);
void zs_json_number(struct zs_json *json, const char *key, uint64_t value);
void zs_json_real(struct zs_json *json, const char *key, double value);
void zs_json_text(struct zs_json *json, const char *key, const char *value);

#endif
