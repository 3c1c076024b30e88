/*
 * Zoned devices for tests: opened over a folder of their own, or over the device that ZS_ZONE_DEVICE names, which is
 * erased; and driven one request at a time.
 */
#ifndef ZS_TEST_TIER_SUPPORT_H
#define ZS_TEST_TIER_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/error.h"
#include "server/tier/zone_device.h"
#include "server/tier/zone_file.h"

/* Of the device under test; of files: 12, 96 (not a multiple of the largest append), 3 and 5. */
extern struct zs_zone_geometry zs_zone_test_geometry;

#define ZONES zs_zone_test_geometry.zones
#define CAPACITY zs_zone_test_geometry.capacity
#define OPEN_MAX zs_zone_test_geometry.open_max
#define ACTIVE_MAX zs_zone_test_geometry.active_max

/* No device under test has more. */
#define ZONES_MAX 32u
#define CAPACITY_MAX 4096u

struct zs_zone_test {
	char folder[64];
	struct zs_zone_file_options options;
	struct zs_zone_device *device;
	uint8_t *data; /* ZS_ZONE_APPEND_BLOCKS_MAX blocks, aligned */
};

/* Whether a device is tested that is not made of files. */
bool zs_zone_test_is_disk(void);

/* A fresh device: all zones are empty. */
void zs_zone_test_open(struct zs_zone_test *test);

/* Closes the device and opens it again. */
void zs_zone_test_reopen(struct zs_zone_test *test);

/* Opens it after it was closed. */
void zs_zone_test_start(struct zs_zone_test *test);

/* Closes it and removes the folder. */
void zs_zone_test_close(struct zs_zone_test *test);

/* Submits a request and waits for its end, not longer than ten seconds. */
enum zs_zone_status zs_zone_test_run(struct zs_zone_device *device, struct zs_zone_request *request);

/* Waits for one request to end, whichever it is. */
struct zs_zone_request *zs_zone_test_wait(struct zs_zone_device *device);

enum zs_zone_status zs_zone_test_change(struct zs_zone_test *test, enum zs_zone_op op, uint32_t zone);

/*
 * Has a zone fail from now on, or its next append or read, if the device under test can: files, and null_blk. The end
 * of it is for the next test. False: it cannot.
 */
bool zs_zone_test_break(struct zs_zone_test *test, uint32_t zone, enum zs_zone_fault fault);
void zs_zone_test_mend(struct zs_zone_test *test, uint32_t zone, enum zs_zone_fault fault);

/* Appends blocks of a pattern that tells `tag` and their number; *block is where they are. */
enum zs_zone_status zs_zone_test_append(struct zs_zone_test *test, uint32_t zone, uint32_t blocks, uint64_t tag,
					uint32_t *block);

/* Appends until so many blocks are left in the zone. */
void zs_zone_test_leave(struct zs_zone_test *test, uint32_t zone, uint32_t left);

void zs_zone_test_fill(uint8_t *data, uint32_t blocks, uint64_t tag);

/* Whether a block is block number `number` of what was filled with `tag`. */
bool zs_zone_test_is(const uint8_t *block, uint64_t tag, uint32_t number);
bool zs_zone_test_is_zero(const uint8_t *block);

/* Reads one block into test->data. */
enum zs_zone_status zs_zone_test_read(struct zs_zone_test *test, uint32_t zone, uint32_t block);

struct zs_zone zs_zone_test_state(struct zs_zone_test *test, uint32_t zone);

#endif
