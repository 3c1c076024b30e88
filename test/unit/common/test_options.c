#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/error.h"
#include "common/options.h"

enum { PORT, MEMORY, WAIT, MODE, KIND, SAFE, NAME, COUNT };

static const struct zs_option table[] = {
	[PORT] = { "port", ZS_OPTION_INTEGER, "7379", 0, 65535, 0, 0, 0, "Where to listen." },
	[MEMORY] = { "memory", ZS_OPTION_BYTES, "1gb", 4096, INT64_C(1) << 40, 0, 0, 0, "How much." },
	[WAIT] = { "wait-time", ZS_OPTION_DURATION, "20", 0, 10000, "ms", 0, ZS_OPTION_RUNTIME, "How long." },
	[MODE] = { "mode", ZS_OPTION_MODE, "700", 0, 0777, 0, 0, 0, "Bits." },
	[KIND] = { "kind", ZS_OPTION_WORD, "auto", 0, 0, 0, "auto|uring|epoll", 0, "Which." },
	[SAFE] = { "safe", ZS_OPTION_BOOL, "yes", 0, 1, 0, 0, 0, "Whether." },
	[NAME] = { "name", ZS_OPTION_TEXT, "", 0, 0, 0, 0, 0, "Who." },
};

static struct zs_options options;
static char why[ZS_OPTION_WHY_MAX];

static int setup(void **state)
{
	(void)state;
	return zs_options_init(&options, table, COUNT);
}

static int teardown(void **state)
{
	(void)state;
	zs_options_free(&options);
	return 0;
}

struct value {
	unsigned option;
	const char *text;
	int64_t number; /* INT64_MIN: refused */
	const char *printed;
};

#define REFUSED INT64_MIN

static const struct value values[] = {
	{ PORT, "0", 0, "0" },
	{ PORT, "65535", 65535, "65535" },
	{ PORT, "65536", REFUSED, "an integer from 0 to 65535" },
	{ PORT, "-1", REFUSED, "an integer from 0 to 65535" },
	{ PORT, "80x", REFUSED, "'port' cannot be '80x'" },
	{ PORT, "", REFUSED, "an integer" },
	{ PORT, " 80", REFUSED, "an integer" },
	{ PORT, "99999999999999999999", REFUSED, "an integer" },
	{ MEMORY, "4096", 4096, "4kb" },
	{ MEMORY, "5000", 5000, "5000" },
	{ MEMORY, "64k", 65536, "64kb" },
	{ MEMORY, "512mb", 512 << 20, "512mb" },
	{ MEMORY, "2G", INT64_C(2) << 30, "2gb" },
	{ MEMORY, "1tb", INT64_C(1) << 40, "1tb" },
	{ MEMORY, "2tb", REFUSED, "bytes from 4kb to 1tb" },
	{ MEMORY, "9999999999999g", REFUSED, "bytes from" },
	{ MEMORY, "1x", REFUSED, "like 512mb or 1g" },
	{ WAIT, "7", 7, "7" },
	{ WAIT, "7ms", 7, "7" },
	{ WAIT, "2s", 2000, "2000" },
	{ WAIT, "5000us", 5, "5" },
	{ WAIT, "5us", REFUSED, "a duration from 0 to 10000 ms" },
	{ WAIT, "1m", REFUSED, "a duration" },
	{ MODE, "770", 0770, "770" },
	{ MODE, "888", REFUSED, "octal" },
	{ MODE, "1000", REFUSED, "octal permission bits from 0 to 777" },
	{ KIND, "uring", 1, "uring" },
	{ KIND, "EPOLL", 2, "epoll" },
	{ KIND, "poll", REFUSED, "one of auto|uring|epoll" },
	{ KIND, "", REFUSED, "one of" },
	{ SAFE, "no", 0, "no" },
	{ SAFE, "on", 1, "yes" },
	{ SAFE, "2", REFUSED, "yes or no" },
};

static void test_values(void **state)
{
	char text[ZS_OPTION_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		const struct value *v = &values[i];
		int result = zs_options_set(&options, v->option, v->text, why, sizeof(why));

		if (v->number == REFUSED) {
			assert_int_equal(result, ZS_ECONFIG);
			assert_non_null(strstr(why, v->printed));
			continue;
		}
		assert_int_equal(result, ZS_OK);
		assert_int_equal(zs_options_number(&options, v->option), v->number);
		zs_options_print(&options, v->option, text);
		assert_string_equal(text, v->printed);
	}
}

static void test_refused_value_changes_nothing(void **state)
{
	(void)state;
	assert_int_equal(zs_options_set(&options, PORT, "x", why, sizeof(why)), ZS_ECONFIG);
	assert_int_equal(zs_options_number(&options, PORT), 7379);
}

static void test_text(void **state)
{
	char long_text[ZS_OPTION_TEXT_MAX + 1];
	char text[ZS_OPTION_TEXT_MAX];

	(void)state;
	memset(long_text, 'x', sizeof(long_text));
	long_text[ZS_OPTION_TEXT_MAX] = 0;
	assert_int_equal(zs_options_set(&options, NAME, long_text, why, sizeof(why)), ZS_ECONFIG);
	long_text[ZS_OPTION_TEXT_MAX - 1] = 0;
	assert_int_equal(zs_options_set(&options, NAME, long_text, why, sizeof(why)), ZS_OK);
	zs_options_text(&options, NAME, text);
	assert_string_equal(text, long_text);
}

static void test_file(void **state)
{
	static const char file[] = "# a comment\n"
				   "port = 1234;\n"
				   "memory = \"2g\";\n"
				   "wait-time = \"1s\";\n"
				   "mode = 640;\n"
				   "kind = \"epoll\";\n"
				   "safe = false;\n"
				   "name = [ \"a\", \"b\" ];\n";
	char text[ZS_OPTION_TEXT_MAX];

	(void)state;
	assert_int_equal(zs_options_read_string(&options, file, "f", why, sizeof(why)), ZS_OK);
	assert_int_equal(zs_options_number(&options, PORT), 1234);
	assert_int_equal(zs_options_number(&options, MEMORY), INT64_C(2) << 30);
	assert_int_equal(zs_options_number(&options, WAIT), 1000);
	assert_int_equal(zs_options_number(&options, MODE), 0640);
	assert_int_equal(zs_options_number(&options, KIND), 2);
	assert_int_equal(zs_options_number(&options, SAFE), 0);
	zs_options_text(&options, NAME, text);
	assert_string_equal(text, "a b");
}

static void test_big_number_in_file(void **state)
{
	(void)state;
	assert_int_equal(zs_options_read_string(&options, "memory = 8589934592L;", "f", why, sizeof(why)), ZS_OK);
	assert_int_equal(zs_options_number(&options, MEMORY), INT64_C(8) << 30);
}

struct fault {
	const char *file;
	const char *message; /* how it begins */
	const char *advice;  /* what it has somewhere */
};

static const struct fault faults[] = {
	{ "port = 1;\nprot = 2;\n", "z.conf:2: unknown setting 'prot'", "did you mean 'port'?" },
	{ "\n\nzzzzzzzz = 1;\n", "z.conf:3: unknown setting 'zzzzzzzz'", "--help" },
	{ "port = 70000;\n", "z.conf:1: 'port' cannot be '70000'", "from 0 to 65535" },
	{ "safe = true;\nkind = \"kqueue\";", "z.conf:2: 'kind' cannot be 'kqueue'", "auto|uring|epoll" },
	{ "memory = 1.5;\n", "z.conf:1: 'memory' cannot be '1.5'", "like 512mb" },
	{ "port = { a = 1; };\n", "z.conf:1: 'port' must be a number", "true or false" },
	{ "port 7\n", "z.conf:1: syntax error", "name = value;" },
	{ "port = 1;\nport = 2;\n", "z.conf:2: duplicate setting name", "" },
	{ "@include \"/dev/zero\"\n", "z.conf: @include is not supported", "one file" },
};

static void test_faults_name_their_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		assert_int_equal(zs_options_read_string(&options, faults[i].file, "z.conf", why, sizeof(why)),
				 ZS_ECONFIG);
		if (strncmp(why, faults[i].message, strlen(faults[i].message)) != 0)
			fail_msg("'%s' does not begin with '%s'", why, faults[i].message);
		assert_non_null(strstr(why, faults[i].advice));
	}
}

static void test_unreadable_files(void **state)
{
	(void)state;
	assert_int_equal(zs_options_read_file(&options, "/nonexistent.conf", why, sizeof(why)), ZS_ECONFIG);
	assert_string_equal(why, "/nonexistent.conf: cannot be opened: No such file or directory");
	assert_int_equal(zs_options_read_file(&options, "/", why, sizeof(why)), ZS_ECONFIG);
	assert_string_equal(why, "/: cannot be read: Is a directory");
	assert_int_equal(zs_options_read_file(&options, "/dev/zero", why, sizeof(why)), ZS_ECONFIG);
}

static int read_flags(int argc, char **argv)
{
	return zs_options_read_flags(&options, argc, argv, why, sizeof(why));
}

static void test_flags(void **state)
{
	char *good[] = { "--port", "99", "--memory=2g", "--safe", "--kind", "uring", "--safe", "no" };
	char *bare[] = { "port", "99" };
	char *unknown[] = { "--prot", "99" };
	char *missing[] = { "--port" };
	char *wrong[] = { "--port", "x" };

	(void)state;
	assert_int_equal(read_flags(8, good), ZS_OK);
	assert_int_equal(zs_options_number(&options, PORT), 99);
	assert_int_equal(zs_options_number(&options, MEMORY), INT64_C(2) << 30);
	assert_int_equal(zs_options_number(&options, SAFE), 0);
	assert_int_equal(read_flags(2, bare), ZS_ECONFIG);
	assert_string_equal(why, "'port' is not a flag; flags look like this: --name value");
	assert_int_equal(read_flags(2, unknown), ZS_ECONFIG);
	assert_string_equal(why, "--prot: unknown setting 'prot'; did you mean 'port'?");
	assert_int_equal(read_flags(1, missing), ZS_ECONFIG);
	assert_string_equal(why, "--port: its value is missing");
	assert_int_equal(read_flags(2, wrong), ZS_ECONFIG);
	assert_string_equal(why, "--port: 'port' cannot be 'x': it must be an integer from 0 to 65535");
}

/* What --print-config prints can be read, and is what the defaults are. */
static void test_sample_is_the_defaults(void **state)
{
	char *sample = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&sample, &size);
	char *change[] = { "--port", "1",      "--memory", "8k",     "--wait-time", "1",      "--mode",
			   "1",	     "--kind", "epoll",	   "--safe", "no",	    "--name", "x" };
	char text[ZS_OPTION_TEXT_MAX];
	char standard[ZS_OPTION_TEXT_MAX];
	struct zs_options fresh;

	(void)state;
	zs_options_sample(&options, out);
	fclose(out);
	assert_int_equal(read_flags(14, change), ZS_OK);
	assert_int_equal(zs_options_read_string(&options, sample, "sample", why, sizeof(why)), ZS_OK);
	assert_int_equal(zs_options_init(&fresh, table, COUNT), ZS_OK);
	for (unsigned i = 0; i < COUNT; i++) {
		zs_options_print(&options, i, text);
		zs_options_print(&fresh, i, standard);
		assert_string_equal(text, standard);
	}
	zs_options_free(&fresh);
	free(sample);
}

static void test_random_files(void **state)
{
	static const char *const pieces[] = { "port", "memory", "=",	":", ";",     "\n",
					      "1",    "-",	"\"",	"{", "}",     "[",
					      "]",    "(",	")",	",", "true",  "0x",
					      "L",    ".",	"e",	"#", "/*",    "*/",
					      "\\",   "@",	"name", " ", "\"a\"", "99999999999999999999" };
	uint64_t random = 12345;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		char file[256] = "";
		size_t size = 0;

		for (unsigned i = 0; i < 12; i++) {
			random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
			size += (size_t)snprintf(file + size, sizeof(file) - size, "%s",
						 pieces[(random >> 33) % (sizeof(pieces) / sizeof(pieces[0]))]);
		}
		if (zs_options_read_string(&options, file, "r", why, sizeof(why)))
			assert_int_equal(strncmp(why, "r:", 2), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_value_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_text, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_big_number_in_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_faults_name_their_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unreadable_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flags, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sample_is_the_defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random_files, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
