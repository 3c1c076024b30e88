/* Where settings come from: the configuration file and the command line. */
#include <errno.h>
#include <libconfig.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "common/options.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LEAKS_ARE_CHECKED
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define LEAKS_ARE_CHECKED
#endif

#ifdef LEAKS_ARE_CHECKED
/* libconfig 1.5 loses the text before a syntax error. The program ends then, so it does not matter. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig";
}
#endif

/* A larger configuration is a mistake (somebody named the wrong file). */
#define FILE_MAX (1u << 20)

__attribute__((format(printf, 3, 4))) static int refuse(char *why, size_t why_size, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(why, why_size, format, list);
	va_end(list);
	return ZS_ECONFIG;
}

/* ---- "did you mean" ---- */

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Levenshtein's distance, for names of up to 63 bytes. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[64];
	size_t n = strnlen(b, 63);

	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 1; i <= 63 && a[i - 1]; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= n; j++) {
			unsigned above = row[j];

			row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[n];
}

static int refuse_unknown(const struct zs_options *options, const char *where, const char *name, char *why,
			  size_t why_size)
{
	unsigned best = strlen(name) < 4 ? 2 : 4;
	const char *nearest = 0;

	for (size_t i = 0; i < options->count; i++) {
		unsigned d = distance(name, options->table[i].name);

		if (d < best) {
			best = d;
			nearest = options->table[i].name;
		}
	}
	if (nearest)
		return refuse(why, why_size, "%s: unknown setting '%.64s'; did you mean '%s'?", where, name, nearest);
	return refuse(why, why_size, "%s: unknown setting '%.64s'; --help lists all settings", where, name);
}

static int set(struct zs_options *options, const char *where, const char *name, const char *value, char *why,
	       size_t why_size)
{
	char reason[ZS_OPTION_WHY_MAX];
	int option = zs_options_find(options, name);

	if (option < 0)
		return refuse_unknown(options, where, name, why, why_size);
	if (zs_options_set(options, (unsigned)option, value, reason, sizeof(reason)))
		return refuse(why, why_size, "%s: %s", where, reason);
	return ZS_OK;
}

/* ---- the file ---- */

static bool scalar_text(const config_setting_t *setting, char *text, size_t size)
{
	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		snprintf(text, size, "%lld", config_setting_get_int64(setting));
		return true;
	case CONFIG_TYPE_FLOAT:
		snprintf(text, size, "%g", config_setting_get_float(setting));
		return true;
	case CONFIG_TYPE_BOOL:
		snprintf(text, size, "%s", config_setting_get_bool(setting) ? "yes" : "no");
		return true;
	case CONFIG_TYPE_STRING:
		return (size_t)snprintf(text, size, "%s", config_setting_get_string(setting)) < size;
	default:
		return false;
	}
}

/* A list becomes its elements with spaces between. */
static bool value_text(const config_setting_t *setting, char *text, size_t size)
{
	size_t used = 0;

	if (!config_setting_is_aggregate(setting))
		return scalar_text(setting, text, size);
	if (config_setting_is_group(setting))
		return false;
	text[0] = 0;
	for (int i = 0; i < config_setting_length(setting); i++) {
		if (used + 2 > size || !scalar_text(config_setting_get_elem(setting, (unsigned)i),
						    text + used + (i > 0), size - used - (i > 0)))
			return false;
		if (i > 0)
			text[used] = ' ';
		used += strlen(text + used);
	}
	return true;
}

static int take_setting(struct zs_options *options, const config_setting_t *setting, const char *file, char *why,
			size_t why_size)
{
	char where[ZS_OPTION_WHY_MAX / 2];
	char value[ZS_OPTION_TEXT_MAX + 1];
	const char *name = config_setting_name(setting);

	snprintf(where, sizeof(where), "%.300s:%u", file, config_setting_source_line(setting));
	if (!value_text(setting, value, sizeof(value)))
		return refuse(why, why_size,
			      "%s: '%.64s' must be a number, true or false, or a text of at most %d bytes", where, name,
			      ZS_OPTION_TEXT_MAX - 1);
	return set(options, where, name, value, why, why_size);
}

/* libconfig follows @include to any path, which a text from memory has no business to do. */
static bool has_include(const char *text)
{
	return strstr(text, "@include") != 0;
}

int zs_options_read_string(struct zs_options *options, const char *text, const char *name, char *why, size_t why_size)
{
	config_t config;
	config_setting_t *root;
	int result = ZS_OK;

	if (has_include(text))
		return refuse(why, why_size, "%.300s: @include is not supported; put all settings into one file", name);
	config_init(&config);
	if (!config_read_string(&config, text)) {
		result = refuse(why, why_size, "%.300s:%d: %s; a setting looks like this: name = value;", name,
				config_error_line(&config), config_error_text(&config));
		goto destroy;
	}
	root = config_root_setting(&config);
	for (int i = 0; i < config_setting_length(root) && !result; i++)
		result = take_setting(options, config_setting_get_elem(root, (unsigned)i), name, why, why_size);
destroy:
	config_destroy(&config);
	return result;
}

int zs_options_read_file(struct zs_options *options, const char *path, char *why, size_t why_size)
{
	FILE *file = fopen(path, "re");
	char *text = 0;
	size_t size;
	int result;

	if (!file)
		return refuse(why, why_size, "%s: cannot be opened: %s", path, strerror(errno));
	text = malloc(FILE_MAX + 1);
	if (!text) {
		result = refuse(why, why_size, "%s: not enough memory to read it", path);
		goto close;
	}
	size = fread(text, 1, FILE_MAX, file);
	if (ferror(file)) {
		result = refuse(why, why_size, "%s: cannot be read: %s", path, strerror(errno));
	} else if (size == FILE_MAX) {
		result = refuse(why, why_size, "%s: is larger than 1 MB; a configuration is a short text", path);
	} else if (memchr(text, 0, size)) {
		result = refuse(why, why_size, "%s: has a zero byte; a configuration is a text", path);
	} else {
		text[size] = 0;
		result = zs_options_read_string(options, text, path, why, why_size);
	}
	free(text);
close:
	fclose(file);
	return result;
}

/* ---- the command line ---- */

/* The value of the flag at argv[*i]; *i is moved to its last word. NULL: there is none. */
static const char *flag_value(const struct zs_options *options, const char *name, const char *equals, int argc,
			      char *const *argv, int *i)
{
	int option = zs_options_find(options, name);
	bool is_bool = option >= 0 && options->table[option].type == ZS_OPTION_BOOL;

	if (equals)
		return equals + 1;
	if (is_bool && (*i + 1 >= argc || argv[*i + 1][0] == '-'))
		return "yes";
	if (*i + 1 >= argc)
		return 0;
	return argv[++*i];
}

int zs_options_read_flags(struct zs_options *options, int argc, char *const *argv, char *why, size_t why_size)
{
	char name[72];
	char where[80];

	for (int i = 0; i < argc; i++) {
		const char *flag = argv[i];
		const char *equals = strchr(flag, '=');
		const char *value;
		int result;

		if (strncmp(flag, "--", 2) != 0 || !flag[2])
			return refuse(why, why_size, "'%.64s' is not a flag; flags look like this: --name value", flag);
		snprintf(name, sizeof(name), "%.*s", equals ? (int)(equals - flag - 2) : 64, flag + 2);
		snprintf(where, sizeof(where), "--%s", name);
		if (zs_options_find(options, name) < 0)
			return refuse_unknown(options, where, name, why, why_size);
		value = flag_value(options, name, equals, argc, argv, &i);
		if (!value)
			return refuse(why, why_size, "%s: its value is missing", where);
		result = set(options, where, name, value, why, why_size);
		if (result)
			return result;
	}
	return ZS_OK;
}
