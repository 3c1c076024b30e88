/* A journal as a file: opening and closing it, its header and its zones. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/atomic.h"
#include "common/error.h"
#include "server/tier/journal_internal.h"

#define VERSION 3u

/* Bytes of the tier for each byte of marks: enough for all objects of 100 bytes to die before their zones do. */
#define BYTES_PER_MARK_BYTE 16u

static const char magic[8] = "ZSWARMJ";

/* ---- sizes ---- */

static uint64_t round_up(uint64_t size)
{
	return (size + ZS_JOURNAL_PAGE - 1) / ZS_JOURNAL_PAGE * ZS_JOURNAL_PAGE;
}

static uint32_t words_of(uint32_t capacity)
{
	return (capacity + 63) / 64;
}

static uint64_t zones_at(void)
{
	return ZS_JOURNAL_PAGE;
}

static uint64_t committed_at(uint32_t zones)
{
	return zones_at() + round_up((zones + 1ull) * sizeof(struct zs_journal_zone));
}

static uint64_t chunks_at(uint32_t zones, uint32_t capacity)
{
	return committed_at(zones) + round_up((uint64_t)zones * words_of(capacity) * sizeof(uint64_t));
}

static uint32_t chunks_for(uint32_t zones, uint32_t capacity)
{
	uint64_t bytes = (uint64_t)zones * capacity * ZS_JOURNAL_PAGE / BYTES_PER_MARK_BYTE;

	/* A zone without any chunk would be given up at the first mark. */
	return (uint32_t)(bytes / ZS_JOURNAL_PAGE) + 2 * zones + 2;
}

static void read_boot_id(char id[ZS_BOOT_ID_SIZE])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	memset(id, 0, ZS_BOOT_ID_SIZE);
	if (fd < 0)
		return;
	if (read(fd, id, ZS_BOOT_ID_SIZE) != ZS_BOOT_ID_SIZE)
		memset(id, 0, ZS_BOOT_ID_SIZE);
	close(fd);
}

static uint64_t random_number(void)
{
	uint64_t number = 0;

	while (!number) {
		if (getrandom(&number, sizeof(number), 0) != sizeof(number))
			number = 0;
	}
	return number;
}

/* ---- opening ---- */

static void point(struct zs_journal *j, uint32_t zones, uint32_t capacity)
{
	j->header = (struct zs_journal_header *)(void *)j->map;
	j->zones = (struct zs_journal_zone *)(void *)(j->map + zones_at());
	j->committed = (uint64_t *)(void *)(j->map + committed_at(zones));
	j->words = words_of(capacity);
	j->chunks = (struct zs_journal_chunk *)(void *)(j->map + chunks_at(zones, capacity));
}

/* Epochs are random, so that those of a tier that begins anew are not those of before. */
static void begin_anew(struct zs_journal *j, uint32_t zones, uint32_t capacity)
{
	memset(j->map, 0, chunks_at(zones, capacity));
	memcpy(j->header->magic, magic, sizeof(magic));
	j->header->version = VERSION;
	j->header->zones = zones;
	j->header->capacity = capacity;
	j->header->chunks = chunks_for(zones, capacity);
	j->header->tier = random_number();
	j->header->seed = random_number();
	read_boot_id(j->header->boot_id);
	for (uint32_t i = 0; i <= zones; i++) {
		j->zones[i].epoch = random_number() >> 1;
		j->zones[i].first_chunk = ZS_JOURNAL_NO_CHUNK;
		j->zones[i].last_chunk = ZS_JOURNAL_NO_CHUNK;
	}
}

static int map_file(struct zs_journal *j, const char *path, uint32_t zones, uint32_t capacity, bool is_new, char *why,
		    size_t why_size)
{
	int error;

	j->size = chunks_at(zones, capacity) + (uint64_t)chunks_for(zones, capacity) * ZS_JOURNAL_PAGE;
	/* A full disk is to be an error here, and not a signal when the mapping is written to. */
	error = is_new ? posix_fallocate(j->file, 0, (off_t)j->size) : 0;
	if (error) {
		snprintf(why, why_size, "%s has no room for %zu bytes: %s", path, j->size, strerror(error));
		return error == ENOSPC ? ZS_ECONFIG : ZS_ESYS;
	}
	j->map = mmap(NULL, j->size, PROT_READ | PROT_WRITE, MAP_SHARED, j->file, 0);
	if (j->map == MAP_FAILED) {
		j->map = NULL;
		snprintf(why, why_size, "%s cannot be mapped: %s", path, strerror(errno));
		return ZS_ESYS;
	}
	point(j, zones, capacity);
	return ZS_OK;
}

/* What an existing file says of itself. */
static int check_header(const struct zs_journal_header *h, off_t size, const char *path,
			const struct zs_journal_options *o, char *why, size_t why_size)
{
	if (memcmp(h->magic, magic, sizeof(magic)) != 0)
		snprintf(why, why_size, "%s is no journal of a warm tier", path);
	else if (h->version != VERSION)
		snprintf(why, why_size, "%s is of version %" PRIu32 ", this program knows %u", path, h->version,
			 VERSION);
	else if (h->zones != o->zones || h->capacity != o->capacity || h->chunks != chunks_for(o->zones, o->capacity) ||
		 (uint64_t)size != chunks_at(o->zones, o->capacity) + (uint64_t)h->chunks * ZS_JOURNAL_PAGE)
		snprintf(why, why_size,
			 "%s is of %" PRIu32 " zones of %" PRIu32 " blocks, the device has %" PRIu32 " of %" PRIu32
			 ": it belongs to another device; to begin anew, start with warm-format = yes",
			 path, h->zones, h->capacity, o->zones, o->capacity);
	else if (h->device && o->identity && h->device != o->identity)
		snprintf(why, why_size,
			 "%s belongs to another device of the same size; to begin anew, start with warm-format = yes",
			 path);
	else
		return ZS_OK;
	return ZS_ECONFIG;
}

static bool is_of_this_boot(const struct zs_journal_header *header)
{
	char boot_id[ZS_BOOT_ID_SIZE];

	read_boot_id(boot_id);
	return boot_id[0] && memcmp(boot_id, header->boot_id, ZS_BOOT_ID_SIZE) == 0;
}

static int open_existing(struct zs_journal *j, const char *path, const struct zs_journal_options *o, char *why,
			 size_t why_size)
{
	struct zs_journal_header header = { .version = 0 };
	struct stat status;
	int error;

	if (fstat(j->file, &status) || pread(j->file, &header, sizeof(header), 0) < 0) {
		snprintf(why, why_size, "%s cannot be read: %s", path, strerror(errno));
		return ZS_ESYS;
	}
	error = check_header(&header, status.st_size, path, o, why, why_size);
	if (error)
		return error;
	error = map_file(j, path, o->zones, o->capacity, false, why, why_size);
	if (error)
		return error;
	if (header.clean)
		j->state = ZS_JOURNAL_CLEAN;
	else if (header.durable || is_of_this_boot(&header))
		j->state = ZS_JOURNAL_CRASHED;
	else
		j->state = ZS_JOURNAL_COLD;
	if (j->state == ZS_JOURNAL_COLD) {
		uint64_t time_ms = j->header->time_ms;

		begin_anew(j, o->zones, o->capacity);
		j->header->time_ms = time_ms;
	}
	return ZS_OK;
}

static int open_file(struct zs_journal *j, const char *path, const struct zs_journal_options *o, char *why,
		     size_t why_size)
{
	struct stat status;
	int error;

	j->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (j->file < 0 || fstat(j->file, &status)) {
		snprintf(why, why_size, "%s cannot be opened: %s", path, strerror(errno));
		return errno == EACCES || errno == ENOENT ? ZS_ECONFIG : ZS_ESYS;
	}
	if (flock(j->file, LOCK_EX | LOCK_NB)) {
		snprintf(why, why_size, "%s is in use by another process", path);
		return ZS_ECONFIG;
	}
	if (status.st_size && !o->format)
		return open_existing(j, path, o, why, why_size);
	if (ftruncate(j->file, 0)) {
		snprintf(why, why_size, "%s cannot be emptied: %s", path, strerror(errno));
		return ZS_ESYS;
	}
	error = map_file(j, path, o->zones, o->capacity, true, why, why_size);
	if (error) {
		(void)unlink(path); /* it was empty, or to be overwritten */
		return error;
	}
	begin_anew(j, o->zones, o->capacity);
	return ZS_OK;
}

int zs_journal_open(const char *path, const struct zs_journal_options *options, struct zs_journal **journal, char *why,
		    size_t why_size)
{
	struct zs_journal *j = calloc(1, sizeof(*j));
	int error;

	*journal = NULL;
	if (!j) {
		snprintf(why, why_size, "not enough memory");
		return ZS_ENOMEM;
	}
	j->file = -1;
	pthread_mutex_init(&j->lock, NULL);
	pthread_mutex_init(&j->sync_lock, NULL);
	error = open_file(j, path, options, why, why_size);
	if (!error) {
		j->free = malloc((size_t)j->header->chunks * sizeof(*j->free));
		if (!j->free) {
			snprintf(why, why_size, "not enough memory for %" PRIu32 " chunks", j->header->chunks);
			error = ZS_ENOMEM;
		}
	}
	if (error) {
		zs_journal_close(j, false);
		return error;
	}
	zs_journal_sort_chunks(j);
	/* From here on a crash is one; and of this boot. */
	j->header->clean = 0;
	j->header->device = options->identity;
	j->header->durable = 0;
	j->durable = options->durable;
	read_boot_id(j->header->boot_id);
	if (msync(j->map, options->durable ? j->size : chunks_at(options->zones, options->capacity), MS_SYNC) == 0) {
		j->header->durable = options->durable;
		error = msync(j->map, ZS_JOURNAL_PAGE, MS_SYNC);
	} else {
		error = ZS_ESYS;
	}
	if (error) {
		snprintf(why, why_size, "%s cannot be written: %s", path, strerror(errno));
		zs_journal_close(j, false);
		return ZS_ESYS;
	}
	*journal = j;
	return ZS_OK;
}

void zs_journal_close(struct zs_journal *j, bool clean)
{
	if (j->map) {
		if (clean && msync(j->map, j->size, MS_SYNC) == 0) {
			j->header->clean = 1;
			(void)msync(j->map, ZS_JOURNAL_PAGE, MS_SYNC);
		}
		munmap(j->map, j->size);
	}
	if (j->file >= 0)
		close(j->file);
	pthread_mutex_destroy(&j->lock);
	pthread_mutex_destroy(&j->sync_lock);
	free(j->free);
	free(j);
}

/* ---- the header ---- */

enum zs_journal_state zs_journal_state(const struct zs_journal *j)
{
	return j->state;
}

uint64_t zs_journal_tier(const struct zs_journal *j)
{
	return j->header->tier;
}

uint64_t zs_journal_seed(const struct zs_journal *j)
{
	return j->header->seed;
}

uint32_t zs_journal_buckets(const struct zs_journal *j)
{
	return j->header->buckets;
}

void zs_journal_set_buckets(struct zs_journal *j, uint32_t buckets)
{
	zs_store_release(&j->header->buckets, buckets);
}

uint64_t zs_journal_time(const struct zs_journal *j)
{
	return j->header->time_ms;
}

void zs_journal_set_time(struct zs_journal *j, uint64_t ms)
{
	if (ms > j->header->time_ms)
		zs_store_release(&j->header->time_ms, ms);
}

/* ---- zones ---- */

uint64_t zs_journal_epoch(const struct zs_journal *j, uint32_t zone)
{
	return zs_load_acquire(&j->zones[zone].epoch);
}

static uint64_t *committed_of(const struct zs_journal *j, uint32_t zone)
{
	return j->committed + (size_t)zone * j->words;
}

/* The lock is held. Blocks cease to count before the epoch changes; marks are to go after that. */
static void begin_epoch(struct zs_journal *j, uint32_t zone)
{
	uint64_t *committed = committed_of(j, zone);
	uint64_t epoch = j->zones[zone].epoch;

	for (uint32_t i = 0; i < j->words; i++)
		zs_store(&committed[i], (uint64_t)0);
	zs_store_release(&j->zones[zone].epoch, epoch + 1);
	j->zones[zone].deadline_ms = 0;
}

int zs_journal_begin_zone(struct zs_journal *j, uint32_t zone)
{
	uint64_t epoch = j->zones[zone].epoch;
	int error;

	pthread_mutex_lock(&j->lock);
	begin_epoch(j, zone);
	/* Before the zone is reset and chunks of it are used again, so before the lock is gone. */
	error = j->durable && msync(j->map, chunks_at(j->header->zones, j->header->capacity), MS_SYNC);
	zs_journal_drop_chunks(j, zone, epoch);
	pthread_mutex_unlock(&j->lock);
	return error ? ZS_ESYS : ZS_OK;
}

void zs_journal_commit(struct zs_journal *j, uint32_t zone, uint32_t block, uint32_t blocks)
{
	uint64_t *committed = committed_of(j, zone);

	for (uint32_t i = block; i < block + blocks; i++)
		zs_store_release(&committed[i / 64], committed[i / 64] | 1ull << (i % 64));
}

bool zs_journal_is_committed(const struct zs_journal *j, uint32_t zone, uint32_t block)
{
	return committed_of(j, zone)[block / 64] >> (block % 64) & 1;
}

void zs_journal_forget_block(struct zs_journal *j, uint32_t zone, uint32_t block)
{
	uint64_t *word = &committed_of(j, zone)[block / 64];

	zs_store_release(word, *word & ~(1ull << (block % 64)));
}

void zs_journal_cut(struct zs_journal *j, uint32_t zone, uint32_t block)
{
	uint64_t *committed = committed_of(j, zone);

	for (uint32_t i = block; i < j->header->capacity; i++)
		zs_store(&committed[i / 64], committed[i / 64] & ~(1ull << (i % 64)));
}

void zs_journal_set_deadline(struct zs_journal *j, uint32_t zone, uint64_t ms)
{
	zs_store(&j->zones[zone].deadline_ms, ms);
}

uint64_t zs_journal_deadline(const struct zs_journal *j, uint32_t zone)
{
	return zs_load(&j->zones[zone].deadline_ms);
}

void zs_journal_set_stream(struct zs_journal *j, uint32_t zone, uint32_t stream)
{
	zs_store(&j->zones[zone].stream, stream);
}

uint32_t zs_journal_stream(const struct zs_journal *j, uint32_t zone)
{
	return zs_load(&j->zones[zone].stream);
}

int zs_journal_forget_all(struct zs_journal *j)
{
	int error;

	pthread_mutex_lock(&j->lock);
	for (uint32_t zone = 0; zone < j->header->zones; zone++)
		begin_epoch(j, zone);
	error = msync(j->map, chunks_at(j->header->zones, j->header->capacity), MS_SYNC);
	for (uint32_t zone = 0; zone < j->header->zones; zone++)
		zs_journal_drop_chunks(j, zone, j->zones[zone].epoch - 1);
	pthread_mutex_unlock(&j->lock);
	return error ? ZS_ESYS : ZS_OK;
}

/* ---- to the disk ---- */

int zs_journal_sync(struct zs_journal *j)
{
	uint64_t wanted = zs_load_acquire(&j->changes);
	int error = 0;

	if (!j->durable || zs_load_acquire(&j->synced) >= wanted)
		return ZS_OK;
	pthread_mutex_lock(&j->sync_lock);
	if (zs_load_acquire(&j->synced) < wanted) {
		wanted = zs_load_acquire(&j->changes);
		error = fdatasync(j->file);
		if (!error)
			zs_store_release(&j->synced, wanted);
	}
	pthread_mutex_unlock(&j->sync_lock);
	return error ? ZS_ESYS : ZS_OK;
}
