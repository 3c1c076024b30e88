#include "server/tier/zone_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/error.h"

#define TABLE_NAME "zones"
#define TABLE_NEW "zones.new" /* until it is whole */
#define VERSION 1u

static const char magic[8] = { 'Z', 'S', 'Z', 'O', 'N', 'E', 'S', '\n' };

/* The first block of the table. Records follow. */
struct header {
	char magic[8];
	uint32_t version;
	uint32_t zones;
	uint32_t capacity; /* blocks */
	uint32_t open_max;
	uint32_t active_max;
	uint32_t reserved;
	uint64_t check; /* of the bytes before it */
};

/* What is remembered of a zone. */
enum memory {
	MEMORY_NONE, /* its file tells all */
	MEMORY_FINISHED,
	MEMORY_READ_ONLY,
	MEMORY_OFFLINE,
	MEMORY_EMPTYING, /* its file is to be cut to nothing */
};

struct record {
	uint32_t memory;
	uint32_t written; /* blocks, when it was remembered */
	uint64_t check;	  /* of the zone's number and the words before; 0 in a record that was never written */
};

static uint64_t check_of_header(const struct header *header)
{
	return XXH3_64bits(header, offsetof(struct header, check));
}

static uint64_t check_of_record(const struct record *record, uint32_t zone)
{
	const uint32_t words[] = { zone, record->memory, record->written };

	return XXH3_64bits(words, sizeof(words)) | 1;
}

static bool is_sound(const struct record *record, uint32_t zone)
{
	if (!record->check)
		return !record->memory && !record->written;
	return record->check == check_of_record(record, zone);
}

static off_t place_of_record(uint32_t zone)
{
	return (off_t)ZS_ZONE_BLOCK_SIZE + (off_t)zone * (off_t)sizeof(struct record);
}

static void name_of_zone(uint32_t zone, char name[static 32])
{
	snprintf(name, 32, "zone.%05" PRIu32, zone);
}

/* ---- what is remembered ---- */

static int write_record(struct zs_zone_folder *folder, uint32_t zone, enum memory memory, uint32_t written)
{
	struct record record = { .memory = memory, .written = written };

	record.check = check_of_record(&record, zone);
	if (pwrite(folder->table, &record, sizeof(record), place_of_record(zone)) != (ssize_t)sizeof(record) ||
	    fdatasync(folder->table))
		return ZS_ESYS;
	return ZS_OK;
}

int zs_zone_folder_remember(struct zs_zone_folder *folder, uint32_t zone, struct zs_zone state)
{
	switch (state.state) {
	case ZS_ZONE_FULL:
		return write_record(folder, zone, MEMORY_FINISHED, state.written);
	case ZS_ZONE_READ_ONLY:
		return write_record(folder, zone, MEMORY_READ_ONLY, state.written);
	case ZS_ZONE_OFFLINE:
		return write_record(folder, zone, MEMORY_OFFLINE, 0);
	default:
		return write_record(folder, zone, MEMORY_NONE, 0);
	}
}

/* Takes the room of a whole zone, so that a disk that fills up later does no harm. Not all file systems can. */
static int reserve(const struct zs_zone_folder *folder, uint32_t zone)
{
	off_t size = (off_t)folder->geometry.capacity * ZS_ZONE_BLOCK_SIZE;

	if (fallocate(folder->files[zone], FALLOC_FL_KEEP_SIZE, 0, size) == 0 || errno == EOPNOTSUPP)
		return ZS_OK;
	return ZS_ESYS;
}

/* The record first: a process that ends between the two finishes this when it opens the folder again. */
int zs_zone_folder_empty(struct zs_zone_folder *folder, uint32_t zone)
{
	if (write_record(folder, zone, MEMORY_EMPTYING, 0) || ftruncate(folder->files[zone], 0) ||
	    reserve(folder, zone) || fdatasync(folder->files[zone]))
		return ZS_ESYS;
	return write_record(folder, zone, MEMORY_NONE, 0);
}

static struct zs_zone state_of_length(const struct zs_zone_folder *folder, off_t length)
{
	uint64_t blocks = (uint64_t)length / ZS_ZONE_BLOCK_SIZE; /* a torn one at the end was never acknowledged */

	if (blocks >= folder->geometry.capacity)
		return (struct zs_zone){ ZS_ZONE_FULL, folder->geometry.capacity };
	return (struct zs_zone){ blocks ? ZS_ZONE_CLOSED : ZS_ZONE_EMPTY, (uint32_t)blocks };
}

int zs_zone_folder_state(struct zs_zone_folder *folder, uint32_t zone, struct zs_zone *state, char *why,
			 size_t why_size)
{
	struct record record;
	struct stat stat;

	if (pread(folder->table, &record, sizeof(record), place_of_record(zone)) != (ssize_t)sizeof(record) ||
	    fstat(folder->files[zone], &stat)) {
		snprintf(why, why_size, "zone %" PRIu32 " cannot be looked at: %s", zone, strerror(errno));
		return ZS_ESYS;
	}
	if (!is_sound(&record, zone)) {
		snprintf(why, why_size, "the record of zone %" PRIu32 " in '" TABLE_NAME "' is damaged", zone);
		return ZS_ECONFIG;
	}
	*state = state_of_length(folder, stat.st_size);
	switch (record.memory) {
	case MEMORY_FINISHED:
		*state = (struct zs_zone){ ZS_ZONE_FULL, state->written };
		return ZS_OK;
	case MEMORY_READ_ONLY:
		*state = (struct zs_zone){ ZS_ZONE_READ_ONLY, state->written };
		return ZS_OK;
	case MEMORY_OFFLINE:
		*state = (struct zs_zone){ ZS_ZONE_OFFLINE, 0 };
		return ZS_OK;
	case MEMORY_EMPTYING:
		*state = (struct zs_zone){ ZS_ZONE_EMPTY, 0 };
		return zs_zone_folder_empty(folder, zone);
	default:
		return ZS_OK;
	}
}

/* ---- the folder ---- */

static int complain(char *why, size_t why_size, const char *path, const char *what)
{
	snprintf(why, why_size, "%s: %s: %s", path, what, strerror(errno));
	return ZS_ESYS;
}

static int open_folder(struct zs_zone_folder *folder, const char *path, char *why, size_t why_size)
{
	if (mkdir(path, 0700) && errno != EEXIST)
		return complain(why, why_size, path, "the folder cannot be made");
	folder->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder->folder < 0)
		return complain(why, why_size, path, "the folder cannot be opened");
	if (flock(folder->folder, LOCK_EX | LOCK_NB)) {
		snprintf(why, why_size, "%s: another process uses this folder", path);
		return ZS_ECONFIG;
	}
	return ZS_OK;
}

/* Whether there is anything in it, but for a table that was not finished and zones that go with it. */
static bool has_strangers(const char *path, char name[static 256])
{
	DIR *listing = opendir(path);
	const struct dirent *entry;
	bool found = false;

	while (listing && !found && (entry = readdir(listing))) {
		found = entry->d_name[0] != '.' && strcmp(entry->d_name, TABLE_NEW) != 0 &&
			strncmp(entry->d_name, "zone.", 5) != 0;
		if (found)
			snprintf(name, 256, "%s", entry->d_name);
	}
	if (listing)
		closedir(listing);
	return found;
}

static int open_zones(struct zs_zone_folder *folder, int flags, const char *path, char *why, size_t why_size)
{
	char name[32];

	folder->files = malloc(folder->geometry.zones * sizeof(*folder->files));
	if (!folder->files) {
		snprintf(why, why_size, "not enough memory for %" PRIu32 " zones", folder->geometry.zones);
		return ZS_ENOMEM;
	}
	for (uint32_t i = 0; i < folder->geometry.zones; i++)
		folder->files[i] = -1;
	for (uint32_t i = 0; i < folder->geometry.zones; i++) {
		name_of_zone(i, name);
		/* Past the page cache, where the file system can: the warm tier's cache is the node's own memory. */
		folder->files[i] = openat(folder->folder, name, O_RDWR | O_CLOEXEC | O_DIRECT | flags, 0600);
		if (folder->files[i] < 0 && errno == EINVAL)
			folder->files[i] = openat(folder->folder, name, O_RDWR | O_CLOEXEC | flags, 0600);
		if (folder->files[i] < 0) {
			snprintf(why, why_size, "%s/%s cannot be opened: %s", path, name, strerror(errno));
			return errno == ENOENT ? ZS_ECONFIG : ZS_ESYS;
		}
	}
	return ZS_OK;
}

/* The table gets its name when all zones are there. */
static int make(struct zs_zone_folder *folder, const char *path, const struct zs_zone_file_options *options, char *why,
		size_t why_size)
{
	struct header header = { .version = VERSION };
	char stranger[256];
	int error;

	if (has_strangers(path, stranger)) {
		snprintf(why, why_size, "%s is no folder of a warm tier: it has a file '%s'; give an empty folder",
			 path, stranger);
		return ZS_ECONFIG;
	}
	folder->geometry = (struct zs_zone_geometry){
		.zones = (uint32_t)(options->size / options->zone_capacity),
		.capacity = (uint32_t)(options->zone_capacity / ZS_ZONE_BLOCK_SIZE),
		.open_max = options->open_max,
		.active_max = options->active_max,
	};
	memcpy(header.magic, magic, sizeof(magic));
	header.zones = folder->geometry.zones;
	header.capacity = folder->geometry.capacity;
	header.open_max = folder->geometry.open_max;
	header.active_max = folder->geometry.active_max;
	header.check = check_of_header(&header);
	error = open_zones(folder, O_CREAT, path, why, why_size);
	for (uint32_t i = 0; !error && i < header.zones; i++) {
		if (ftruncate(folder->files[i], 0) || reserve(folder, i)) {
			snprintf(why, why_size, "%s has no room for %" PRIu64 " bytes: %s", path, options->size,
				 strerror(errno));
			return errno == ENOSPC ? ZS_ECONFIG : ZS_ESYS;
		}
	}
	if (error)
		return error;
	folder->table = openat(folder->folder, TABLE_NEW, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (folder->table < 0 || ftruncate(folder->table, place_of_record(header.zones)) ||
	    pwrite(folder->table, &header, sizeof(header), 0) != (ssize_t)sizeof(header) || fsync(folder->table) ||
	    renameat(folder->folder, TABLE_NEW, folder->folder, TABLE_NAME) || fsync(folder->folder))
		return complain(why, why_size, path, "the table of zones cannot be written");
	return ZS_OK;
}

/* Reads the table's header. It is one, whole, and of this version, or that is complained of. */
static int read_header(const struct zs_zone_folder *folder, const char *path, struct header *header, char *why,
		       size_t why_size)
{
	memset(header, 0, sizeof(*header));
	if (pread(folder->table, header, sizeof(*header), 0) != (ssize_t)sizeof(*header) ||
	    memcmp(header->magic, magic, sizeof(magic)) != 0)
		snprintf(why, why_size, "%s/" TABLE_NAME " is no table of zones", path);
	else if (header->check != check_of_header(header) || !header->zones || !header->capacity)
		snprintf(why, why_size, "%s/" TABLE_NAME " is damaged (its checksum is wrong)", path);
	else if (header->version != VERSION)
		snprintf(why, why_size, "%s is of version %" PRIu32 ", this program knows %u", path, header->version,
			 VERSION);
	else
		return ZS_OK;
	return ZS_ECONFIG;
}

static int open_existing(struct zs_zone_folder *folder, const char *path, const struct zs_zone_file_options *options,
			 char *why, size_t why_size)
{
	struct header header;
	uint64_t capacity;
	int error = read_header(folder, path, &header, why, why_size);

	if (error)
		return error;
	capacity = (uint64_t)header.capacity * ZS_ZONE_BLOCK_SIZE;
	if (options->size && options->size / capacity != header.zones) {
		snprintf(why, why_size,
			 "%s has %" PRIu64 " bytes in %" PRIu32 " zones, and %" PRIu64
			 " were asked for; ask for as many, or empty the folder",
			 path, header.zones * capacity, header.zones, options->size);
		return ZS_ECONFIG;
	}
	folder->geometry = (struct zs_zone_geometry){
		.zones = header.zones,
		.capacity = header.capacity,
		.open_max = header.open_max,
		.active_max = header.active_max,
	};
	return open_zones(folder, 0, path, why, why_size);
}

static int check_options(const struct zs_zone_file_options *options, char *why, size_t why_size)
{
	if (!options->zone_capacity || options->zone_capacity % ZS_ZONE_BLOCK_SIZE ||
	    options->zone_capacity > UINT64_C(1) << 40) {
		snprintf(why, why_size, "a zone of %" PRIu64 " bytes is not possible: it has whole blocks of %u bytes",
			 options->zone_capacity, ZS_ZONE_BLOCK_SIZE);
		return ZS_EINVAL;
	}
	if (!options->open_max || options->active_max < options->open_max) {
		snprintf(why, why_size,
			 "%" PRIu32 " open and %" PRIu32 " active zones: the first is at least 1, the second no less",
			 options->open_max, options->active_max);
		return ZS_EINVAL;
	}
	return ZS_OK;
}

static int find_or_make(struct zs_zone_folder *folder, const char *path, const struct zs_zone_file_options *options,
			char *why, size_t why_size)
{
	folder->table = openat(folder->folder, TABLE_NAME, O_RDWR | O_CLOEXEC);
	if (folder->table >= 0)
		return open_existing(folder, path, options, why, why_size);
	if (errno != ENOENT)
		return complain(why, why_size, path, "the table of zones cannot be opened");
	if (options->size < options->zone_capacity) {
		snprintf(why, why_size, "%" PRIu64 " bytes are less than one zone, which has %" PRIu64, options->size,
			 options->zone_capacity);
		return ZS_EINVAL;
	}
	return make(folder, path, options, why, why_size);
}

int zs_zone_folder_open(struct zs_zone_folder *folder, const char *path, const struct zs_zone_file_options *options,
			char *why, size_t why_size)
{
	int error = check_options(options, why, why_size);

	*folder = (struct zs_zone_folder){ .folder = -1, .table = -1 };
	if (!error)
		error = open_folder(folder, path, why, why_size);
	if (!error)
		error = find_or_make(folder, path, options, why, why_size);
	if (error)
		zs_zone_folder_close(folder);
	return error;
}

void zs_zone_folder_close(struct zs_zone_folder *folder)
{
	for (uint32_t i = 0; folder->files && i < folder->geometry.zones; i++) {
		if (folder->files[i] >= 0)
			close(folder->files[i]);
	}
	free(folder->files);
	if (folder->table >= 0)
		close(folder->table);
	if (folder->folder >= 0)
		close(folder->folder);
	*folder = (struct zs_zone_folder){ .folder = -1, .table = -1 };
}
