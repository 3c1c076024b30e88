#include "server/node/warm.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/error.h"
#include "common/log.h"
#include "server/net/worker.h"
#include "server/node/node.h"
#include "server/tier/zone_disk.h"
#include "server/tier/zone_file.h"

/* Values of the setting crash-domain. */
enum { DOMAIN_PROCESS, DOMAIN_HOST };

#define MB (1024ull * 1024)

/* Zones of a tier made of files: so many, of a size that is a multiple of an append. */
#define FILE_ZONES 64u
#define FILE_ZONE_MIN (1 * MB)
#define FILE_ZONE_MAX (1024 * MB)
#define APPEND_BYTES ((uint64_t)ZS_ZONE_APPEND_BLOCKS_MAX * ZS_ZONE_BLOCK_SIZE)

/* Files have no limit of their own to how many zones are active: enough for the streams of all partitions. */
#define FILE_ZONES_ACTIVE 256u

static const struct zs_option size_option = {
	.name = "size", .type = ZS_OPTION_BYTES, .min = 16 * MB, .max = 65536 * 1024 * (int64_t)MB
};

/* Whether `path` has the name of a device, but is none: a folder there would be made in memory. */
static bool is_missing_device(const char *path)
{
	struct stat status;

	return strncmp(path, "/dev/", 5) == 0 && strncmp(path, "/dev/shm/", 9) != 0 && stat(path, &status) != 0;
}

/* Splits PATH:SIZE; of a device SIZE may be missing, and is 0 then. False: that is not what it is. */
static bool split(char *text, uint64_t *size, char *why, size_t why_size)
{
	char *colon = strrchr(text, ':');
	char reason[ZS_OPTION_WHY_MAX / 2];
	int64_t bytes;

	*size = 0;
	if (zs_zone_disk_is(text))
		return true;
	if (is_missing_device(text) && (!colon || colon == text)) {
		snprintf(why, why_size, "'warm' is \"%.200s\": there is no such device", text);
		return false;
	}
	if (!colon || colon == text) {
		snprintf(why, why_size, "'warm' is \"%.200s\"; it has to be PATH:SIZE, like /var/lib/zslab/warm:20gb",
			 text);
		return false;
	}
	if (zs_option_check(&size_option, colon + 1, &bytes, reason, sizeof(reason))) {
		snprintf(why, why_size, "'warm' is \"%.100s\": %s", text, reason);
		return false;
	}
	*size = (uint64_t)bytes;
	*colon = 0;
	return true;
}

static uint64_t file_zone(uint64_t size)
{
	uint64_t zone = size / FILE_ZONES / APPEND_BYTES * APPEND_BYTES;

	if (zone < FILE_ZONE_MIN)
		return FILE_ZONE_MIN;
	return zone < FILE_ZONE_MAX ? zone : FILE_ZONE_MAX;
}

static int open_device(struct zs_warm_tier *tier, const char *path, uint64_t size, char *why, size_t why_size)
{
	struct zs_zone_file_options options;

	if (zs_zone_disk_is(path)) {
		int error = zs_zone_disk_open_path(path, size, &tier->device, why, why_size);

		if (!error)
			zs_log(ZS_LOG_INFO, "disk of the warm tier", zs_log_text("path", path),
			       zs_log_text("by", zs_zone_disk_way(tier->device)));
		return error;
	}
	if (is_missing_device(path)) {
		snprintf(why, why_size, "'warm' is \"%.200s\": there is no such device", path);
		return ZS_ECONFIG;
	}
	zs_zone_file_options_init(&options);
	options.size = size;
	options.zone_capacity = file_zone(size);
	options.open_max = FILE_ZONES_ACTIVE;
	options.active_max = FILE_ZONES_ACTIVE;
	return zs_zone_file_open(path, &options, &tier->device, why, why_size);
}

/* The folder of the journal. */
static int find_folder(struct zs_node *node, const char *path, char folder[ZS_OPTION_TEXT_MAX], char *why,
		       size_t why_size)
{
	zs_options_text(&node->options, ZS_SET_WARM_JOURNAL, folder);
	if (folder[0])
		return ZS_OK;
	if (zs_zone_disk_is(path)) {
		snprintf(why, why_size,
			 "'warm' is the device %.200s: 'warm-journal' has to name a folder for what is not on it",
			 path);
		return ZS_ECONFIG;
	}
	snprintf(folder, ZS_OPTION_TEXT_MAX, "%s", path);
	return ZS_OK;
}

static bool has_data(struct zs_zone_device *device)
{
	for (uint32_t i = 0; i < zs_zone_geometry(device)->zones; i++) {
		struct zs_zone zone;

		if (zs_zone_report(device, i, 1, &zone) || zone.state != ZS_ZONE_EMPTY)
			return true;
	}
	return false;
}

static int open_journal(struct zs_node *node, const char *path, char *why, size_t why_size)
{
	struct zs_warm_tier *tier = &node->warm;
	const struct zs_zone_geometry *geometry = zs_zone_geometry(tier->device);
	struct zs_journal_options options = {
		.zones = geometry->zones,
		.capacity = geometry->capacity,
		.identity = geometry->identity,
		.format = zs_node_setting(node, ZS_SET_WARM_FORMAT) != 0,
		.durable = zs_node_setting(node, ZS_SET_CRASH_DOMAIN) == DOMAIN_HOST,
	};
	char folder[ZS_OPTION_TEXT_MAX];
	char file[ZS_OPTION_TEXT_MAX + 16];
	int error = find_folder(node, path, folder, why, why_size);

	if (error)
		return error;
	snprintf(file, sizeof(file), "%s/journal", folder);
	if (!options.format && access(file, F_OK) != 0 && has_data(tier->device)) {
		snprintf(why, why_size,
			 "%s holds data, and %s does not know of it: to erase the data, start with warm-format = yes",
			 path, file);
		return ZS_ECONFIG;
	}
	error = zs_journal_open(file, &options, &tier->journal, why, why_size);
	if (error)
		return error;
	snprintf(file, sizeof(file), "%s/groups", folder);
	return zs_group_map_open(file, zs_journal_tier(tier->journal), geometry->zones, geometry->capacity,
				 &tier->groups, options.durable, why, why_size);
}

/* Resets a zone and waits for it. */
static bool reset(struct zs_zone_device *device, uint32_t zone)
{
	struct zs_zone_request request = { .op = ZS_ZONE_RESET, .zone = zone };
	struct pollfd ready = { .fd = zs_zone_fd(device), .events = POLLIN };
	struct zs_zone_request *done;

	if (zs_zone_submit(device, &request))
		return false;
	while (zs_zone_reap(device, &done, 1) == 0)
		(void)poll(&ready, 1, 1000);
	return request.status == ZS_ZONE_DONE;
}

/* Nothing that is there counts. Zones that are lost stay so. */
static int erase(struct zs_zone_device *device, char *why, size_t why_size)
{
	for (uint32_t i = 0; i < zs_zone_geometry(device)->zones; i++) {
		struct zs_zone zone;
		bool good = zs_zone_report(device, i, 1, &zone) == ZS_OK;

		if (good && zone.state != ZS_ZONE_READ_ONLY && zone.state != ZS_ZONE_OFFLINE &&
		    zone.state != ZS_ZONE_EMPTY)
			good = reset(device, i);
		if (!good) {
			snprintf(why, why_size, "zone %" PRIu32 " of the warm tier cannot be reset", i);
			return ZS_ESYS;
		}
	}
	return ZS_OK;
}

static bool begins_anew(const struct zs_journal *journal)
{
	return zs_journal_state(journal) == ZS_JOURNAL_NEW || zs_journal_state(journal) == ZS_JOURNAL_COLD;
}

int zs_warm_tier_open(struct zs_node *node, struct zs_engine_options *options, char *why, size_t why_size)
{
	struct zs_warm_tier *tier = &node->warm;
	const struct zs_zone_geometry *geometry;
	char path[ZS_OPTION_TEXT_MAX];
	uint64_t size;
	int error;

	zs_options_text(&node->options, ZS_SET_WARM, path);
	if (!path[0])
		return ZS_OK;
	if (!split(path, &size, why, why_size))
		return ZS_ECONFIG;
	error = open_device(tier, path, size, why, why_size);
	if (!error)
		error = open_journal(node, path, why, why_size);
	if (!error && begins_anew(tier->journal))
		error = erase(tier->device, why, why_size);
	if (error) {
		zs_warm_tier_close(node, false);
		return error;
	}
	geometry = zs_zone_geometry(tier->device);
	options->warm_zones = geometry->zones;
	options->warm_zone_blocks = geometry->capacity;
	options->warm_buckets = zs_journal_buckets(tier->journal);
	options->seed = zs_journal_seed(tier->journal);
	options->threads++;
	/* What had expired before the restart stays expired, whatever the wall clock says. */
	zs_clock_system_not_before(zs_journal_time(tier->journal));
	return ZS_OK;
}

static void wake(void *context, unsigned waiter)
{
	struct zs_node *node = context;

	pthread_mutex_lock(&node->warm.waking);
	if (node->warm.has_workers && waiter < node->workers_count)
		zs_loop_wake(node->workers[waiter].loop);
	pthread_mutex_unlock(&node->warm.waking);
}

void zs_warm_tier_has_workers(struct zs_node *node, bool has_workers)
{
	if (!node->warm.store)
		return;
	pthread_mutex_lock(&node->warm.waking);
	node->warm.has_workers = has_workers;
	pthread_mutex_unlock(&node->warm.waking);
}

static uint64_t daily_bytes(const struct zs_node *node, const struct zs_zone_geometry *geometry)
{
	uint64_t size = (uint64_t)geometry->zones * geometry->capacity * ZS_ZONE_BLOCK_SIZE;

	return (uint64_t)zs_node_setting(node, ZS_SET_WARM_WRITES_PER_DAY) * size;
}

int zs_warm_tier_start(struct zs_node *node, char *why, size_t why_size)
{
	struct zs_warm_tier *tier = &node->warm;
	struct zs_store_options options;
	struct zs_store_figures figures;
	int error;

	if (!tier->device)
		return ZS_OK;
	zs_store_options_init(&options);
	options.device = tier->device;
	options.journal = tier->journal;
	options.groups = tier->groups;
	options.engine = node->engine;
	options.daily_bytes = daily_bytes(node, zs_zone_geometry(tier->device));
	options.second_chance = zs_node_setting(node, ZS_SET_WARM_SECOND_CHANCE) != 0;
	options.wake = wake;
	options.context = node;
	tier->device = NULL;
	tier->journal = NULL;
	tier->groups = NULL;
	pthread_mutex_init(&tier->waking, NULL);
	error = zs_store_open(&options, &tier->store, why, why_size);
	if (error)
		return error;
	zs_store_figures(tier->store, &figures);
	zs_log(ZS_LOG_INFO, "warm tier", zs_log_number("zones", (int64_t)figures.zones),
	       zs_log_number("bytes", (int64_t)(figures.zones * figures.zone_bytes)),
	       zs_log_text("start", figures.start));
	return ZS_OK;
}

void zs_warm_tier_close(struct zs_node *node, bool clean)
{
	struct zs_warm_tier *tier = &node->warm;

	if (tier->store)
		zs_store_close(tier->store, clean);
	if (tier->device)
		zs_zone_device_close(tier->device);
	if (tier->journal)
		zs_journal_close(tier->journal, false);
	zs_group_map_close(tier->groups);
	*tier = (struct zs_warm_tier){ .store = NULL };
}
