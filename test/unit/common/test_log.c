#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/error.h"
#include "common/log.h"

static char directory[] = "/tmp/zs-test-log-XXXXXX";
static char path[64];
static char content[65536];

static int make_directory(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/log", directory);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	zs_log_open(NULL);
	unlink(path);
	return rmdir(directory);
}

static const char *read_log(void)
{
	FILE *file = fopen(path, "r");
	size_t size = file ? fread(content, 1, sizeof(content) - 1, file) : 0;

	content[size] = 0;
	if (file)
		fclose(file);
	return content;
}

static void open_fresh(void)
{
	unlink(path);
	assert_int_equal(zs_log_open(path), ZS_OK);
}

static void test_fields(void **state)
{
	(void)state;
	open_fresh();
	zs_log(ZS_LOG_INFO, "a message", zs_log_text("plain", "value"), zs_log_text("spaced", "a b"),
	       zs_log_text("odd", "q\"=\\\n\x01"), zs_log_text("empty", ""), zs_log_text("none", NULL),
	       zs_log_number("number", -5));
	assert_int_equal(strncmp(read_log(), "ts=20", 5), 0);
	assert_non_null(strstr(content, "Z level=info msg=\"a message\" plain=value spaced=\"a b\" "
					"odd=\"q\\\"=\\\\\\n?\" empty=\"\" none=\"\" number=-5\n"));
}

static void test_levels(void **state)
{
	(void)state;
	open_fresh();
	zs_log_set_level(ZS_LOG_WARN);
	zs_log(ZS_LOG_INFO, "quiet");
	zs_log(ZS_LOG_WARN, "loud");
	zs_log_set_level(ZS_LOG_INFO);
	read_log();
	assert_null(strstr(content, "quiet"));
	assert_non_null(strstr(content, "level=warn msg=loud\n"));
}

static void test_long_line_is_cut(void **state)
{
	char text[10000];

	(void)state;
	open_fresh();
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	zs_log(ZS_LOG_INFO, text);
	assert_int_equal(strlen(read_log()), 4001);
	assert_int_equal(content[4000], '\n');
}

/* After a rotation the old file keeps what it had, and the new one gets the rest. */
static void test_reopen(void **state)
{
	char rotated[80];

	(void)state;
	open_fresh();
	zs_log(ZS_LOG_INFO, "before");
	snprintf(rotated, sizeof(rotated), "%s.1", path);
	assert_int_equal(rename(path, rotated), 0);
	assert_int_equal(zs_log_reopen(), ZS_OK);
	zs_log(ZS_LOG_INFO, "after");
	read_log();
	assert_null(strstr(content, "before"));
	assert_non_null(strstr(content, "after"));
	unlink(rotated);
}

static void test_unwritable_path_keeps_the_old_log(void **state)
{
	(void)state;
	open_fresh();
	assert_int_equal(zs_log_open("/nonexistent/log"), ZS_ESYS);
	zs_log(ZS_LOG_INFO, "still here");
	assert_non_null(strstr(read_log(), "still here"));
}

static void test_full_disk_is_counted(void **state)
{
	uint64_t before = zs_log_dropped();

	(void)state;
	assert_int_equal(zs_log_open("/dev/full"), ZS_OK);
	zs_log(ZS_LOG_INFO, "lost");
	zs_log(ZS_LOG_INFO, "lost");
	assert_int_equal(zs_log_dropped(), before + 2);
	open_fresh();
	zs_log(ZS_LOG_INFO, "found");
	read_log();
	assert_non_null(strstr(content, "level=warn msg=\"log lines were lost\" lines=2\n"));
	assert_non_null(strstr(content, "msg=found\n"));
}

/* A pipe whose reader does not read takes some lines, and then must not block. */
static void test_full_pipe_does_not_block(void **state)
{
	uint64_t before = zs_log_dropped();
	int saved = dup(STDERR_FILENO);
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	assert_int_equal(zs_log_open(NULL), ZS_OK);
	for (int i = 0; i < 5000; i++)
		zs_log(ZS_LOG_INFO, "some line that fills the pipe");
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(ends[0]);
	close(ends[1]);
	assert_true(zs_log_dropped() > before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_long_line_is_cut),
		cmocka_unit_test(test_reopen),
		cmocka_unit_test(test_unwritable_path_keeps_the_old_log),
		cmocka_unit_test(test_full_disk_is_counted),
		cmocka_unit_test(test_full_pipe_does_not_block),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
