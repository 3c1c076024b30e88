#include "common/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/error.h"

struct unit {
	const char *suffix;
	int64_t factor;
};

static const struct unit byte_units[] = {
	{ "", 1 },	   { "b", 1 },	     { "k", 1 << 10 },	{ "kb", 1 << 10 },	   { "m", 1 << 20 },
	{ "mb", 1 << 20 }, { "g", 1 << 30 }, { "gb", 1 << 30 }, { "t", INT64_C(1) << 40 }, { "tb", INT64_C(1) << 40 },
	{ 0, 0 },
};

/* In microseconds. */
static const struct unit time_units[] = {
	{ "us", 1 },
	{ "ms", 1000 },
	{ "s", 1000000 },
	{ "m", INT64_C(60) * 1000000 },
	{ "h", INT64_C(3600) * 1000000 },
	{ "d", INT64_C(86400) * 1000000 },
	{ 0, 0 },
};

static int64_t factor_of(const struct unit *units, const char *suffix)
{
	for (; units->suffix; units++) {
		if (strcasecmp(units->suffix, suffix) == 0)
			return units->factor;
	}
	return 0;
}

/* ---- values as text ---- */

static void print_bytes(int64_t value, char *text, size_t size)
{
	static const char *const suffixes[] = { "", "kb", "mb", "gb", "tb" };
	int i = 0;

	while (i < 4 && value && value % 1024 == 0) {
		value /= 1024;
		i++;
	}
	snprintf(text, size, "%" PRId64 "%s", value, suffixes[i]);
}

static void print_word(const char *words, int64_t position, char *text, size_t size)
{
	for (; position > 0 && words; position--) {
		words = strchr(words, '|');
		words = words ? words + 1 : 0;
	}
	if (words)
		snprintf(text, size, "%.*s", (int)strcspn(words, "|"), words);
	else
		snprintf(text, size, "?");
}

static void print_number(const struct zs_option *option, int64_t number, char *text, size_t size)
{
	switch (option->type) {
	case ZS_OPTION_BOOL:
		snprintf(text, size, "%s", number ? "yes" : "no");
		break;
	case ZS_OPTION_BYTES:
		print_bytes(number, text, size);
		break;
	case ZS_OPTION_MODE:
		snprintf(text, size, "%" PRIo64, (uint64_t)number);
		break;
	case ZS_OPTION_WORD:
		print_word(option->words, number, text, size);
		break;
	case ZS_OPTION_INTEGER:
	case ZS_OPTION_DURATION:
	case ZS_OPTION_TEXT:
		snprintf(text, size, "%" PRId64, number);
		break;
	}
}

/* What a value of this option looks like, for people. */
static void print_range(const struct zs_option *option, char *text, size_t size)
{
	char low[32];
	char high[32];

	print_number(option, option->min, low, sizeof(low));
	print_number(option, option->max, high, sizeof(high));
	switch (option->type) {
	case ZS_OPTION_BOOL:
		snprintf(text, size, "yes or no");
		break;
	case ZS_OPTION_INTEGER:
		snprintf(text, size, "an integer from %s to %s", low, high);
		break;
	case ZS_OPTION_BYTES:
		snprintf(text, size, "bytes from %s to %s, like 512mb or 1g", low, high);
		break;
	case ZS_OPTION_DURATION:
		snprintf(text, size, "a duration from %s to %s %s, like 10, 500ms, 30s or 5m (a bare number: %s)", low,
			 high, option->unit, option->unit);
		break;
	case ZS_OPTION_MODE:
		snprintf(text, size, "octal permission bits from %s to %s", low, high);
		break;
	case ZS_OPTION_WORD:
		snprintf(text, size, "one of %s", option->words);
		break;
	case ZS_OPTION_TEXT:
		snprintf(text, size, "text of at most %d bytes", ZS_OPTION_TEXT_MAX - 1);
		break;
	}
}

/* ---- text as values ---- */

static bool parse_bool(const char *text, int64_t *number)
{
	static const char *const words[] = { "no", "yes", "false", "true", "off", "on", "0", "1" };

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcasecmp(text, words[i]) == 0) {
			*number = i & 1;
			return true;
		}
	}
	return false;
}

static bool parse_word(const char *words, const char *text, int64_t *number)
{
	size_t size = strlen(text);

	for (int64_t i = 0; words; i++) {
		size_t length = strcspn(words, "|");

		if (length == size && strncasecmp(words, text, size) == 0) {
			*number = i;
			return true;
		}
		words = words[length] ? words + length + 1 : 0;
	}
	return false;
}

/* An integer in `base` with a suffix; *suffix is set behind it. */
static bool parse_integer(const char *text, int base, int64_t *number, const char **suffix)
{
	char *end;

	if (!(*text == '-' || (*text >= '0' && *text <= '9')))
		return false;
	errno = 0;
	*number = strtoll(text, &end, base);
	*suffix = end;
	return errno == 0 && end != text;
}

static bool parse_duration(const struct zs_option *option, const char *suffix, int64_t *number)
{
	int64_t from = factor_of(time_units, *suffix ? suffix : option->unit);
	int64_t to = factor_of(time_units, option->unit);
	int64_t us;

	if (!from || !to || __builtin_mul_overflow(*number, from, &us) || us % to)
		return false;
	*number = us / to;
	return true;
}

static bool parse_number(const struct zs_option *option, const char *text, int64_t *number)
{
	const char *suffix;
	int64_t factor;

	if (option->type == ZS_OPTION_BOOL)
		return parse_bool(text, number);
	if (option->type == ZS_OPTION_WORD)
		return parse_word(option->words, text, number);
	if (!parse_integer(text, option->type == ZS_OPTION_MODE ? 8 : 10, number, &suffix))
		return false;
	if (option->type == ZS_OPTION_BYTES) {
		factor = factor_of(byte_units, suffix);
		if (!factor || __builtin_mul_overflow(*number, factor, number))
			return false;
	} else if (option->type == ZS_OPTION_DURATION) {
		if (!parse_duration(option, suffix, number))
			return false;
	} else if (*suffix) {
		return false;
	}
	return *number >= option->min && *number <= option->max;
}

static bool parse(const struct zs_option *option, const char *text, int64_t *number)
{
	if (option->type == ZS_OPTION_TEXT) {
		*number = 0;
		return strlen(text) < ZS_OPTION_TEXT_MAX && !strpbrk(text, "\r\n");
	}
	return parse_number(option, text, number);
}

int zs_option_check(const struct zs_option *option, const char *value, int64_t *number, char *why, size_t why_size)
{
	char range[ZS_OPTION_WHY_MAX / 2];

	if (parse(option, value, number))
		return ZS_OK;
	print_range(option, range, sizeof(range));
	snprintf(why, why_size, "'%s' cannot be '%.64s': it must be %s", option->name, value, range);
	return ZS_ECONFIG;
}

/* ---- the interface ---- */

int zs_options_init(struct zs_options *options, const struct zs_option *table, size_t count)
{
	char why[ZS_OPTION_WHY_MAX];

	options->table = table;
	options->count = count;
	options->values = calloc(count, sizeof(*options->values));
	if (!options->values)
		return ZS_ENOMEM;
	pthread_mutex_init(&options->lock, 0);
	for (size_t i = 0; i < count; i++) {
		if (zs_options_set(options, (unsigned)i, table[i].standard, why, sizeof(why))) {
			fprintf(stderr, "default: %s\n", why);
			abort(); /* the table itself is wrong */
		}
	}
	return ZS_OK;
}

void zs_options_free(struct zs_options *options)
{
	if (!options->values)
		return;
	pthread_mutex_destroy(&options->lock);
	free(options->values);
	options->values = 0;
}

int zs_options_find(const struct zs_options *options, const char *name)
{
	for (size_t i = 0; i < options->count; i++) {
		if (strcasecmp(options->table[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

void zs_options_text(struct zs_options *options, unsigned option, char text[ZS_OPTION_TEXT_MAX])
{
	pthread_mutex_lock(&options->lock);
	memcpy(text, options->values[option].text, ZS_OPTION_TEXT_MAX);
	pthread_mutex_unlock(&options->lock);
}

int zs_options_check(const struct zs_options *options, unsigned option, const char *value, char *why, size_t why_size)
{
	int64_t number;

	return zs_option_check(&options->table[option], value, &number, why, why_size);
}

int zs_options_set(struct zs_options *options, unsigned option, const char *value, char *why, size_t why_size)
{
	struct zs_option_value *slot = &options->values[option];
	int64_t number;
	int result = zs_option_check(&options->table[option], value, &number, why, why_size);

	if (result)
		return result;
	if (options->table[option].type == ZS_OPTION_TEXT) {
		pthread_mutex_lock(&options->lock);
		snprintf(slot->text, sizeof(slot->text), "%s", value);
		pthread_mutex_unlock(&options->lock);
	} else {
		atomic_store_explicit(&slot->number, number, memory_order_relaxed);
	}
	return ZS_OK;
}

void zs_options_print(struct zs_options *options, unsigned option, char text[ZS_OPTION_TEXT_MAX])
{
	if (options->table[option].type == ZS_OPTION_TEXT)
		zs_options_text(options, option, text);
	else
		print_number(&options->table[option], zs_options_number(options, option), text, ZS_OPTION_TEXT_MAX);
}

static bool quoted_in_file(const struct zs_option *option)
{
	char *end;

	if (option->type == ZS_OPTION_BOOL)
		return false;
	strtoll(option->standard, &end, 10);
	return option->type == ZS_OPTION_TEXT || end == option->standard || *end;
}

static const char *in_file(const struct zs_option *option)
{
	if (option->type != ZS_OPTION_BOOL)
		return option->standard;
	return strcmp(option->standard, "yes") == 0 ? "true" : "false";
}

/* Help text, broken at spaces. */
static void print_wrapped(FILE *out, const char *prefix, const char *text)
{
	const size_t width = 96;

	while (*text) {
		size_t length = strlen(text);

		if (length > width) {
			length = width;
			while (length && text[length] != ' ')
				length--;
			if (!length)
				length = width;
		}
		fprintf(out, "%s%.*s\n", prefix, (int)length, text);
		text += length;
		text += strspn(text, " ");
	}
}

void zs_options_help(const struct zs_options *options, FILE *out)
{
	char range[ZS_OPTION_WHY_MAX / 2];

	for (size_t i = 0; i < options->count; i++) {
		const struct zs_option *option = &options->table[i];

		print_range(option, range, sizeof(range));
		fprintf(out, "  --%s VALUE\n", option->name);
		print_wrapped(out, "      ", option->help);
		fprintf(out, "      Value: %s; default: %s%s\n", range, *option->standard ? option->standard : "empty",
			option->flags & ZS_OPTION_RUNTIME ? "; can be changed by CONFIG SET" : "");
	}
}

void zs_options_sample(const struct zs_options *options, FILE *out)
{
	char range[ZS_OPTION_WHY_MAX / 2];

	for (size_t i = 0; i < options->count; i++) {
		const struct zs_option *option = &options->table[i];
		const char *quote = quoted_in_file(option) ? "\"" : "";

		print_range(option, range, sizeof(range));
		print_wrapped(out, "# ", option->help);
		if (option->type != ZS_OPTION_TEXT)
			fprintf(out, "# Value: %s.\n", range);
		fprintf(out, "%s = %s%s%s;\n\n", option->name, quote, in_file(option), quote);
	}
}
