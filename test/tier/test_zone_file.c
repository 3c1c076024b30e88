/* Zoned devices made of files: the folder, what it refuses, its faults, and power cuts. */
#include "test/tier/support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/random.h"

#define CUTS 60u

static void path_in(const struct zs_zone_test *test, const char *name, char path[static 128])
{
	snprintf(path, 128, "%s/%s", test->folder, name);
}

static void expect_refused(const struct zs_zone_test *test, int error, const char *part)
{
	struct zs_zone_device *device = (struct zs_zone_device *)1;
	char why[512] = "";

	assert_int_equal(zs_zone_file_open(test->folder, &test->options, &device, why, sizeof(why)), error);
	assert_null(device);
	if (!strstr(why, part))
		fail_msg("'%s' does not say '%s'", why, part);
}

static void overwrite(const struct zs_zone_test *test, const char *name, off_t at, const void *data, size_t size)
{
	char path[128];
	int file;

	path_in(test, name, path);
	file = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(file >= 0);
	assert_int_equal(pwrite(file, data, size, at), size);
	close(file);
}

static void test_one_process_at_a_time(void **state)
{
	struct zs_zone_test test;

	(void)state;
	zs_zone_test_open(&test);
	expect_refused(&test, ZS_ECONFIG, "another process");
	zs_zone_test_close(&test);
}

static void test_another_size_is_refused_and_none_takes_what_is_there(void **state)
{
	struct zs_zone_test test;

	(void)state;
	zs_zone_test_open(&test);
	zs_zone_device_close(test.device);
	test.options.size *= 2;
	expect_refused(&test, ZS_ECONFIG, "in 12 zones");
	test.options.size = 0;
	zs_zone_test_start(&test);
	assert_int_equal(zs_zone_geometry(test.device)->zones, ZONES);
	assert_int_equal(zs_zone_geometry(test.device)->active_max, ACTIVE_MAX);
	zs_zone_test_close(&test);
}

static void test_a_folder_of_somebody_else_is_left_alone(void **state)
{
	struct zs_zone_test test;
	struct stat stat_of;
	char path[128];

	(void)state;
	zs_zone_test_open(&test);
	zs_zone_device_close(test.device);
	path_in(&test, "zones", path);
	unlink(path);
	overwrite(&test, "letters.txt", 0, "dear", 4);
	expect_refused(&test, ZS_ECONFIG, "letters.txt");
	path_in(&test, "letters.txt", path);
	assert_int_equal(stat(path, &stat_of), 0);
	assert_int_equal(stat_of.st_size, 4);
	unlink(path);
	zs_zone_test_start(&test);
	zs_zone_test_close(&test);
}

static void test_bad_options_are_named(void **state)
{
	struct zs_zone_test test = { .folder = "zones.absent" };

	(void)state;
	zs_zone_file_options_init(&test.options);
	test.options.size = 1000;
	expect_refused(&test, ZS_EINVAL, "less than one zone");
	test.options.zone_capacity = 5000;
	expect_refused(&test, ZS_EINVAL, "whole blocks");
	test.options.zone_capacity = 1 << 20;
	test.options.active_max = 2;
	expect_refused(&test, ZS_EINVAL, "active");
	rmdir(test.folder);
}

static void test_a_damaged_folder_is_refused(void **state)
{
	static const char rubbish[64] = "rubbish";
	struct zs_zone_test test;
	char path[128];

	(void)state;
	zs_zone_test_open(&test);
	zs_zone_device_close(test.device);
	/* The record of zone 2; then a bit of the header; then all of its beginning. */
	overwrite(&test, "zones", ZS_ZONE_BLOCK_SIZE + 2 * 16, rubbish, 16);
	expect_refused(&test, ZS_ECONFIG, "zone 2");
	overwrite(&test, "zones", 12, rubbish, 1);
	expect_refused(&test, ZS_ECONFIG, "checksum");
	overwrite(&test, "zones", 0, rubbish, sizeof(rubbish));
	expect_refused(&test, ZS_ECONFIG, "no table of zones");
	path_in(&test, "zones", path);
	assert_int_equal(truncate(path, 0), 0);
	expect_refused(&test, ZS_ECONFIG, "no table of zones");
	unlink(path);
	zs_zone_test_start(&test);
	zs_zone_test_close(&test);
}

static void test_a_missing_zone_is_named(void **state)
{
	struct zs_zone_test test;
	char path[128];

	(void)state;
	zs_zone_test_open(&test);
	zs_zone_device_close(test.device);
	path_in(&test, "zone.00003", path);
	unlink(path);
	expect_refused(&test, ZS_ECONFIG, "zone.00003");
	path_in(&test, "zones", path);
	unlink(path);
	zs_zone_test_start(&test);
	zs_zone_test_close(&test);
}

/* A process that was killed while it wrote leaves half a block. */
static void test_half_a_block_at_the_end_is_not_counted(void **state)
{
	struct zs_zone_test test;
	uint32_t block;

	(void)state;
	zs_zone_test_open(&test);
	assert_int_equal(zs_zone_test_append(&test, 0, 2, 7, &block), ZS_ZONE_DONE);
	zs_zone_device_close(test.device);
	overwrite(&test, "zone.00000", 2 * ZS_ZONE_BLOCK_SIZE, "torn", 4);
	zs_zone_test_start(&test);
	assert_int_equal(zs_zone_test_state(&test, 0).written, 2);
	assert_int_equal(zs_zone_test_append(&test, 0, 1, 8, &block), ZS_ZONE_DONE);
	assert_int_equal(block, 2);
	assert_int_equal(zs_zone_test_read(&test, 0, 2), ZS_ZONE_DONE);
	assert_true(zs_zone_test_is(test.data, 8, 0));
	zs_zone_test_close(&test);
}

static void test_faults(void **state)
{
	struct zs_zone_test test;
	uint32_t block;

	(void)state;
	zs_zone_test_open(&test);
	assert_int_equal(zs_zone_test_append(&test, 0, 1, 1, &block), ZS_ZONE_DONE);
	zs_zone_file_inject(test.device, 0, ZS_ZONE_FAULT_APPEND);
	assert_int_equal(zs_zone_test_append(&test, 0, 2, 2, &block), ZS_ZONE_WRITE_FAULT);
	assert_int_equal(zs_zone_test_append(&test, 0, 1, 3, &block), ZS_ZONE_DONE);
	assert_int_equal(block, 3);
	zs_zone_file_inject(test.device, 0, ZS_ZONE_FAULT_READ);
	assert_int_equal(zs_zone_test_read(&test, 0, 0), ZS_ZONE_READ_FAULT);
	assert_int_equal(zs_zone_test_read(&test, 0, 0), ZS_ZONE_DONE);
	zs_zone_file_inject(test.device, 0, ZS_ZONE_FAULT_READ_ONLY);
	zs_zone_file_inject(test.device, 1, ZS_ZONE_FAULT_OFFLINE);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(zs_zone_test_append(&test, 0, 1, 4, &block), ZS_ZONE_IS_READ_ONLY);
		assert_int_equal(zs_zone_test_change(&test, ZS_ZONE_RESET, 0), ZS_ZONE_IS_READ_ONLY);
		assert_int_equal(zs_zone_test_read(&test, 0, 3), ZS_ZONE_DONE);
		assert_true(zs_zone_test_is(test.data, 3, 0));
		assert_int_equal(zs_zone_test_append(&test, 1, 1, 4, &block), ZS_ZONE_IS_OFFLINE);
		assert_int_equal(zs_zone_test_read(&test, 1, 0), ZS_ZONE_IS_OFFLINE);
		zs_zone_test_reopen(&test);
	}
	zs_zone_test_close(&test);
}

/* ---- power cuts ---- */

/* What was appended to each block, and whether it has to be there after a cut. */
static struct history {
	uint64_t tags[ZONES_MAX][CAPACITY_MAX];
	uint32_t numbers[ZONES_MAX][CAPACITY_MAX];
	uint32_t written[ZONES_MAX];
	uint32_t flushed[ZONES_MAX];
} history;

static void append_some(struct zs_zone_test *test, uint32_t zone, uint32_t blocks, uint64_t tag)
{
	uint32_t block;

	if (zs_zone_test_append(test, zone, blocks, tag, &block))
		return;
	for (uint32_t i = 0; i < blocks; i++) {
		history.tags[zone][block + i] = tag;
		history.numbers[zone][block + i] = i;
	}
	history.written[zone] = block + blocks;
}

static void reset_zone(struct zs_zone_test *test, uint32_t zone)
{
	assert_int_equal(zs_zone_test_change(test, ZS_ZONE_RESET, zone), ZS_ZONE_DONE);
	history.written[zone] = 0;
	history.flushed[zone] = 0;
	memset(history.tags[zone], 0, sizeof(history.tags[zone]));
}

/* Of what no flush covered each block is there, or it reads as zeros; no other bytes ever. Counts what was lost. */
static unsigned check_zone(struct zs_zone_test *test, uint32_t zone)
{
	uint32_t written = zs_zone_test_state(test, zone).written;
	unsigned lost = 0;

	assert_in_range(written, history.flushed[zone], history.written[zone]);
	for (uint32_t block = 0; block < CAPACITY; block++) {
		uint64_t tag = history.tags[zone][block];
		bool is_there;

		assert_int_equal(zs_zone_test_read(test, zone, block), ZS_ZONE_DONE);
		is_there = tag && zs_zone_test_is(test->data, tag, history.numbers[zone][block]);
		if (tag && block < history.flushed[zone])
			assert_true(is_there);
		else
			assert_true((is_there && block < written) || zs_zone_test_is_zero(test->data));
		lost += tag && !is_there;
		if (!is_there)
			history.tags[zone][block] = 0;
	}
	history.written[zone] = written;
	/* What is there after the host has started again stays there. */
	history.flushed[zone] = written;
	return lost;
}

static void test_power_cuts_lose_only_what_no_flush_covers(void **state)
{
	struct zs_zone_test test;
	unsigned lost = 0;
	uint64_t drawn;

	(void)state;
	memset(&history, 0, sizeof(history));
	zs_zone_test_open(&test);
	for (uint64_t cut = 1; cut <= CUTS; cut++) {
		unsigned steps = 5 + (unsigned)(zs_mix(cut) % 20);

		for (unsigned i = 0; i < steps; i++) {
			drawn = zs_mix(cut * 1000 + i);
			if (drawn % 10 < 7) {
				append_some(&test, (uint32_t)(drawn >> 8) % ZONES, 1 + (uint32_t)(drawn >> 32) % 20,
					    cut * 1000 + i);
			} else if (drawn % 10 < 8) {
				reset_zone(&test, (uint32_t)(drawn >> 8) % ZONES);
			} else {
				assert_int_equal(zs_zone_test_change(&test, ZS_ZONE_FLUSH, 0), ZS_ZONE_DONE);
				memcpy(history.flushed, history.written, sizeof(history.flushed));
			}
		}
		zs_zone_file_cut_power(test.device, cut);
		zs_zone_test_start(&test);
		for (uint32_t zone = 0; zone < ZONES; zone++)
			lost += check_zone(&test, zone);
	}
	/* Or it would be no test. */
	assert_in_range(lost, CUTS, CUTS * ZONES * CAPACITY);
	zs_zone_test_close(&test);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_process_at_a_time),
		cmocka_unit_test(test_another_size_is_refused_and_none_takes_what_is_there),
		cmocka_unit_test(test_a_folder_of_somebody_else_is_left_alone),
		cmocka_unit_test(test_bad_options_are_named),
		cmocka_unit_test(test_a_damaged_folder_is_refused),
		cmocka_unit_test(test_a_missing_zone_is_named),
		cmocka_unit_test(test_half_a_block_at_the_end_is_not_counted),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_power_cuts_lose_only_what_no_flush_covers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
