#include "bench/json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static void put_text(FILE *file, const char *text)
{
	fputc('"', file);
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c == '"' || *c == '\\')
			fprintf(file, "\\%c", *c);
		else if (*c < 0x20)
			fprintf(file, "\\u%04x", *c);
		else
			fputc(*c, file);
	}
	fputc('"', file);
}

static void begin_value(struct zs_json *json, const char *key)
{
	fputs(json->first ? "\n" : ",\n", json->file);
	fprintf(json->file, "%*s", (int)json->depth * 2, "");
	if (key) {
		put_text(json->file, key);
		fputs(": ", json->file);
	}
	json->first = false;
}

static void begin_nest(struct zs_json *json, const char *key, char bracket)
{
	begin_value(json, key);
	fputc(bracket, json->file);
	json->depth++;
	json->first = true;
}

static void end_nest(struct zs_json *json, char bracket)
{
	json->depth--;
	if (!json->first)
		fprintf(json->file, "\n%*s", (int)json->depth * 2, "");
	fputc(bracket, json->file);
	json->first = false;
}

bool zs_json_open(struct zs_json *json, const char *path)
{
	json->file = strcmp(path, "-") ? fopen(path, "we") : stdout;
	if (!json->file)
		return false;
	fputc('{', json->file);
	json->depth = 1;
	json->first = true;
	return true;
}

bool zs_json_close(struct zs_json *json)
{
	bool good;

	end_nest(json, '}');
	fputc('\n', json->file);
	good = !ferror(json->file);
	if (json->file == stdout)
		return !fflush(stdout) && good;
	return !fclose(json->file) && good;
}

void zs_json_object(struct zs_json *json, const char *key)
{
	begin_nest(json, key, '{');
}

void zs_json_array(struct zs_json *json, const char *key)
{
	begin_nest(json, key, '[');
}

void zs_json_end_object(struct zs_json *json)
{
	end_nest(json, '}');
}

void zs_json_end_array(struct zs_json *json)
{
	end_nest(json, ']');
}

void zs_json_number(struct zs_json *json, const char *key, uint64_t value)
{
	begin_value(json, key);
	fprintf(json->file, "%" PRIu64, value);
}

void zs_json_real(struct zs_json *json, const char *key, double value)
{
	begin_value(json, key);
	if (isfinite(value))
		fprintf(json->file, "%.9g", value);
	else
		fputs("null", json->file);
}

void zs_json_text(struct zs_json *json, const char *key, const char *value)
{
	begin_value(json, key);
	put_text(json->file, value);
}
