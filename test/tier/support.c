#include "test/tier/support.h"

#include <dirent.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/tier/zone_disk.h"

struct zs_zone_geometry zs_zone_test_geometry;

static const struct zs_zone_geometry of_files = { .zones = 12, .capacity = 96, .open_max = 3, .active_max = 5 };

static const char *disk(void)
{
	return getenv("ZS_ZONE_DEVICE");
}

bool zs_zone_test_is_disk(void)
{
	return disk();
}

/* What another test has left. */
static void erase(struct zs_zone_test *test)
{
	for (uint32_t i = 0; i < ZONES; i++) {
		if (zs_zone_test_state(test, i).state != ZS_ZONE_EMPTY)
			assert_int_equal(zs_zone_test_change(test, ZS_ZONE_RESET, i), ZS_ZONE_DONE);
	}
}

void zs_zone_test_open(struct zs_zone_test *test)
{
	*test = (struct zs_zone_test){ .folder = "zones.XXXXXX" };
	assert_non_null(mkdtemp(test->folder));
	zs_zone_file_options_init(&test->options);
	test->options.zone_capacity = (uint64_t)of_files.capacity * ZS_ZONE_BLOCK_SIZE;
	test->options.size = of_files.zones * test->options.zone_capacity;
	test->options.open_max = of_files.open_max;
	test->options.active_max = of_files.active_max;
	test->data = aligned_alloc(ZS_ZONE_BLOCK_SIZE, (size_t)ZS_ZONE_APPEND_BLOCKS_MAX * ZS_ZONE_BLOCK_SIZE);
	assert_non_null(test->data);
	zs_zone_test_start(test);
	if (disk())
		erase(test);
}

/* By what it is called: block devices as such, though more may be known of them. */
static int open_disk(struct zs_zone_device **device, char *why, size_t why_size)
{
	struct stat status;

	if (stat(disk(), &status) == 0 && S_ISBLK(status.st_mode))
		return zs_zone_block_open(disk(), 0, device, why, why_size);
	return zs_zone_disk_open_path(disk(), 0, device, why, why_size);
}

void zs_zone_test_start(struct zs_zone_test *test)
{
	char why[512] = "";
	int error = disk() ? open_disk(&test->device, why, sizeof(why))
			   : zs_zone_file_open(test->folder, &test->options, &test->device, why, sizeof(why));

	if (error)
		fail_msg("%s", why);
	zs_zone_test_geometry = *zs_zone_geometry(test->device);
	assert_true(ZONES <= ZONES_MAX && CAPACITY <= CAPACITY_MAX);
}

void zs_zone_test_reopen(struct zs_zone_test *test)
{
	zs_zone_device_close(test->device);
	zs_zone_test_start(test);
}

static void remove_folder(const char *folder)
{
	DIR *listing = opendir(folder);
	const struct dirent *entry;
	char path[512];

	while (listing && (entry = readdir(listing))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		unlink(path);
	}
	if (listing)
		closedir(listing);
	rmdir(folder);
}

void zs_zone_test_close(struct zs_zone_test *test)
{
	zs_zone_device_close(test->device);
	remove_folder(test->folder);
	free(test->data);
}

struct zs_zone_request *zs_zone_test_wait(struct zs_zone_device *device)
{
	struct zs_zone_request *done = NULL;
	struct pollfd ready = { .fd = zs_zone_fd(device), .events = POLLIN };

	assert_int_equal(poll(&ready, 1, 10000), 1);
	assert_int_equal(zs_zone_reap(device, &done, 1), 1);
	return done;
}

enum zs_zone_status zs_zone_test_run(struct zs_zone_device *device, struct zs_zone_request *request)
{
	assert_int_equal(zs_zone_submit(device, request), ZS_OK);
	assert_ptr_equal(zs_zone_test_wait(device), request);
	return request->status;
}

enum zs_zone_status zs_zone_test_change(struct zs_zone_test *test, enum zs_zone_op op, uint32_t zone)
{
	struct zs_zone_request request = { .op = op, .zone = zone };

	return zs_zone_test_run(test->device, &request);
}

/* ---- faults ---- */

static const char *null_blk(void)
{
	return disk() && strncmp(disk(), "/dev/nullb", 10) == 0 ? disk() + strlen("/dev/") : NULL;
}

static void tell_null_blk(const char *attribute, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/kernel/config/nullb/%s/%s", null_blk(), attribute);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static uint64_t first_sector(uint32_t zone)
{
	uint64_t sectors = 0;
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/block/%s/queue/chunk_sectors", null_blk());
	file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%" SCNu64, &sectors), 1);
	fclose(file);
	return zone * sectors;
}

/* Which block fails: the next one to be written, or the first one. Saying the same again of a zone ends it. */
static void change_null_blk(struct zs_zone_test *test, uint32_t zone, enum zs_zone_fault fault, char sign)
{
	uint64_t sectors = ZS_ZONE_BLOCK_SIZE / 512;
	uint64_t sector = first_sector(zone);
	char text[64];

	if (fault == ZS_ZONE_FAULT_APPEND)
		sector += zs_zone_test_state(test, zone).written * sectors;
	if (fault == ZS_ZONE_FAULT_APPEND || fault == ZS_ZONE_FAULT_READ)
		snprintf(text, sizeof(text), "%c%" PRIu64 "-%" PRIu64, sign, sector, sector + sectors - 1);
	else
		snprintf(text, sizeof(text), "%" PRIu64, sector);
	tell_null_blk(fault == ZS_ZONE_FAULT_READ_ONLY ? "zone_readonly"
		      : fault == ZS_ZONE_FAULT_OFFLINE ? "zone_offline"
						       : "badblocks",
		      text);
}

bool zs_zone_test_break(struct zs_zone_test *test, uint32_t zone, enum zs_zone_fault fault)
{
	if (disk() && !null_blk())
		return false;
	if (null_blk())
		change_null_blk(test, zone, fault, '+');
	else
		zs_zone_file_inject(test->device, zone, fault);
	return true;
}

void zs_zone_test_mend(struct zs_zone_test *test, uint32_t zone, enum zs_zone_fault fault)
{
	if (null_blk())
		change_null_blk(test, zone, fault, '-');
}

/* ---- patterns ---- */

struct stamp {
	uint64_t tag;
	uint64_t number;
};

void zs_zone_test_fill(uint8_t *data, uint32_t blocks, uint64_t tag)
{
	for (uint32_t i = 0; i < blocks; i++) {
		struct stamp stamp = { tag, i + 1 };

		for (size_t at = 0; at < ZS_ZONE_BLOCK_SIZE; at += sizeof(stamp))
			memcpy(data + (size_t)i * ZS_ZONE_BLOCK_SIZE + at, &stamp, sizeof(stamp));
	}
}

bool zs_zone_test_is(const uint8_t *block, uint64_t tag, uint32_t number)
{
	struct stamp stamp = { tag, number + 1 };

	for (size_t at = 0; at < ZS_ZONE_BLOCK_SIZE; at += sizeof(stamp)) {
		if (memcmp(block + at, &stamp, sizeof(stamp)) != 0)
			return false;
	}
	return true;
}

bool zs_zone_test_is_zero(const uint8_t *block)
{
	static const uint8_t zeros[ZS_ZONE_BLOCK_SIZE];

	return memcmp(block, zeros, sizeof(zeros)) == 0;
}

enum zs_zone_status zs_zone_test_append(struct zs_zone_test *test, uint32_t zone, uint32_t blocks, uint64_t tag,
					uint32_t *block)
{
	struct zs_zone_request request = { .op = ZS_ZONE_APPEND, .zone = zone, .blocks = blocks, .data = test->data };
	enum zs_zone_status status;

	zs_zone_test_fill(test->data, blocks, tag);
	status = zs_zone_test_run(test->device, &request);
	*block = request.block;
	return status;
}

void zs_zone_test_leave(struct zs_zone_test *test, uint32_t zone, uint32_t left)
{
	struct zs_zone now = zs_zone_test_state(test, zone);
	uint32_t block;

	for (uint32_t some; now.written + left < CAPACITY; now.written += some) {
		some = CAPACITY - left - now.written;
		if (some > ZS_ZONE_APPEND_BLOCKS_MAX)
			some = ZS_ZONE_APPEND_BLOCKS_MAX;
		assert_int_equal(zs_zone_test_append(test, zone, some, 1, &block), ZS_ZONE_DONE);
	}
}

enum zs_zone_status zs_zone_test_read(struct zs_zone_test *test, uint32_t zone, uint32_t block)
{
	struct zs_zone_request request = {
		.op = ZS_ZONE_READ, .zone = zone, .block = block, .blocks = 1, .data = test->data
	};

	memset(test->data, 0xee, ZS_ZONE_BLOCK_SIZE);
	return zs_zone_test_run(test->device, &request);
}

struct zs_zone zs_zone_test_state(struct zs_zone_test *test, uint32_t zone)
{
	struct zs_zone state;

	assert_int_equal(zs_zone_report(test->device, zone, 1, &state), ZS_OK);
	return state;
}
