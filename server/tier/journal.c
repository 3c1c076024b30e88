#include "server/tier/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
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

#define PAGE 4096u
#define VERSION 3u
#define BOOT_ID_SIZE 36

/* Bytes of the tier for each byte of marks: enough for all objects of 100 bytes to die before their zones do. */
#define BYTES_PER_MARK_BYTE 16u

#define NO_CHUNK UINT32_MAX
#define MARKS_PER_CHUNK ((PAGE - sizeof(struct chunk_head)) / sizeof(uint64_t))

static const char magic[8] = "ZSWARMJ";

struct header {
	char magic[8];
	uint32_t version;
	uint32_t zones;
	uint32_t capacity;
	uint32_t chunks;
	uint64_t tier;
	uint64_t seed;
	uint64_t device; /* its identity, 0: not known */
	uint64_t time_ms;
	uint32_t buckets;
	uint32_t clean;
	uint32_t durable; /* it has been, ever since it was opened */
	uint32_t unused;
	char boot_id[BOOT_ID_SIZE];
};

struct zone_record {
	uint64_t epoch;
	uint64_t deadline_ms;
	uint32_t first_chunk;
	uint32_t last_chunk;
	uint32_t lost;
	uint32_t stream;
	uint32_t unused[8];
};

_Static_assert(sizeof(struct zone_record) == 64, "records of zones do not straddle pages");

struct chunk_head {
	uint64_t epoch; /* of its zone, when it was taken */
	uint32_t zone;
	uint32_t count;
	uint32_t next;
	uint32_t unused;
};

struct chunk {
	struct chunk_head head;
	uint64_t marks[MARKS_PER_CHUNK];
};

_Static_assert(sizeof(struct chunk) == PAGE, "a chunk is a page");

struct zs_journal {
	int file;
	uint8_t *map;
	size_t size;
	struct header *header;
	struct zone_record *zones; /* one more than there are: of what was written since a crash */
	uint64_t *committed;
	uint32_t words; /* of `committed`, for a zone */
	struct chunk *chunks;
	enum zs_journal_state state;
	pthread_mutex_t lock; /* of the chunks */
	uint32_t *free;	      /* a stack */
	uint32_t free_count;
	bool durable;
	uint64_t changes;	   /* marks made; atomic */
	uint64_t synced;	   /* of these, on the disk; atomic */
	pthread_mutex_t sync_lock; /* of who writes to the disk */
};

/* ---- sizes ---- */

static uint64_t round_up(uint64_t size)
{
	return (size + PAGE - 1) / PAGE * PAGE;
}

static uint32_t words_of(uint32_t capacity)
{
	return (capacity + 63) / 64;
}

static uint64_t zones_at(void)
{
	return PAGE;
}

static uint64_t committed_at(uint32_t zones)
{
	return zones_at() + round_up((zones + 1ull) * sizeof(struct zone_record));
}

static uint64_t chunks_at(uint32_t zones, uint32_t capacity)
{
	return committed_at(zones) + round_up((uint64_t)zones * words_of(capacity) * sizeof(uint64_t));
}

static uint32_t chunks_for(uint32_t zones, uint32_t capacity)
{
	uint64_t bytes = (uint64_t)zones * capacity * PAGE / BYTES_PER_MARK_BYTE;

	/* A zone without any chunk would be given up at the first mark. */
	return (uint32_t)(bytes / PAGE) + 2 * zones + 2;
}

static void read_boot_id(char id[BOOT_ID_SIZE])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	memset(id, 0, BOOT_ID_SIZE);
	if (fd < 0)
		return;
	if (read(fd, id, BOOT_ID_SIZE) != BOOT_ID_SIZE)
		memset(id, 0, BOOT_ID_SIZE);
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

/* ---- chunks; the lock is held, or nobody else is there yet ---- */

static uint32_t take_chunk(struct zs_journal *j, uint32_t zone)
{
	struct chunk_head head = { .epoch = j->zones[zone].epoch, .zone = zone, .next = NO_CHUNK };
	uint32_t number;

	if (!j->free_count)
		return NO_CHUNK;
	number = j->free[--j->free_count];
	j->chunks[number].head = head;
	return number;
}

/* Adds a mark to the zone's last chunk. The mark is there before the count says so. */
static void add_mark(struct zs_journal *j, uint32_t zone, uint64_t mark)
{
	struct zone_record *record = &j->zones[zone];
	struct chunk *chunk;

	if (record->last_chunk == NO_CHUNK || j->chunks[record->last_chunk].head.count == MARKS_PER_CHUNK) {
		uint32_t number = take_chunk(j, zone);

		if (number == NO_CHUNK) {
			zs_store_release(&record->lost, 1u);
			return;
		}
		if (record->last_chunk == NO_CHUNK)
			zs_store_release(&record->first_chunk, number);
		else
			zs_store_release(&j->chunks[record->last_chunk].head.next, number);
		zs_store_release(&record->last_chunk, number);
	}
	chunk = &j->chunks[record->last_chunk];
	zs_store(&chunk->marks[chunk->head.count], mark);
	zs_store_release(&chunk->head.count, chunk->head.count + 1);
}

/* The next chunk of a zone; what a crash left half done ends the chain. */
static uint32_t follow(const struct zs_journal *j, uint32_t zone, uint32_t chunk)
{
	const struct chunk_head *head;

	if (chunk >= j->header->chunks)
		return NO_CHUNK;
	head = &j->chunks[chunk].head;
	return head->zone == zone && head->epoch == j->zones[zone].epoch ? chunk : NO_CHUNK;
}

static void drop_chunks(struct zs_journal *j, uint32_t zone, uint64_t epoch)
{
	struct zone_record *record = &j->zones[zone];
	uint32_t number = record->first_chunk;

	zs_store_release(&record->first_chunk, NO_CHUNK);
	record->last_chunk = NO_CHUNK;
	record->lost = 0;
	while (number < j->header->chunks && j->chunks[number].head.epoch == epoch &&
	       j->chunks[number].head.zone == zone) {
		uint32_t next = j->chunks[number].head.next;

		j->chunks[number].head.zone = UINT32_MAX;
		j->free[j->free_count++] = number;
		number = next;
	}
}

/* Finds the chunks that no zone has, and where each zone's last one is. */
static void sort_chunks(struct zs_journal *j)
{
	uint8_t *used = calloc(j->header->chunks, 1);

	if (!used)
		return; /* nothing is free then, and zones are given up as they need chunks */
	for (uint32_t zone = 0; zone <= j->header->zones; zone++) {
		struct zone_record *record = &j->zones[zone];
		uint32_t number = follow(j, zone, record->first_chunk);
		uint32_t last = NO_CHUNK;

		while (number != NO_CHUNK && !used[number]) {
			used[number] = 1;
			if (j->chunks[number].head.count > MARKS_PER_CHUNK)
				j->chunks[number].head.count = MARKS_PER_CHUNK;
			last = number;
			number = follow(j, zone, j->chunks[number].head.next);
		}
		record->last_chunk = last;
		if (last == NO_CHUNK)
			record->first_chunk = NO_CHUNK;
		else
			j->chunks[last].head.next = NO_CHUNK;
	}
	for (uint32_t i = j->header->chunks; i > 0; i--) {
		if (!used[i - 1])
			j->free[j->free_count++] = i - 1;
	}
	free(used);
}

/* ---- opening ---- */

static void point(struct zs_journal *j, uint32_t zones, uint32_t capacity)
{
	j->header = (struct header *)(void *)j->map;
	j->zones = (struct zone_record *)(void *)(j->map + zones_at());
	j->committed = (uint64_t *)(void *)(j->map + committed_at(zones));
	j->words = words_of(capacity);
	j->chunks = (struct chunk *)(void *)(j->map + chunks_at(zones, capacity));
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
		j->zones[i].first_chunk = NO_CHUNK;
		j->zones[i].last_chunk = NO_CHUNK;
	}
}

static int map_file(struct zs_journal *j, const char *path, uint32_t zones, uint32_t capacity, bool is_new, char *why,
		    size_t why_size)
{
	int error;

	j->size = chunks_at(zones, capacity) + (uint64_t)chunks_for(zones, capacity) * PAGE;
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
static int check_header(const struct header *h, off_t size, const char *path, const struct zs_journal_options *o,
			char *why, size_t why_size)
{
	if (memcmp(h->magic, magic, sizeof(magic)) != 0)
		snprintf(why, why_size, "%s is no journal of a warm tier", path);
	else if (h->version != VERSION)
		snprintf(why, why_size, "%s is of version %" PRIu32 ", this program knows %u", path, h->version,
			 VERSION);
	else if (h->zones != o->zones || h->capacity != o->capacity || h->chunks != chunks_for(o->zones, o->capacity) ||
		 (uint64_t)size != chunks_at(o->zones, o->capacity) + (uint64_t)h->chunks * PAGE)
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

static bool is_of_this_boot(const struct header *header)
{
	char boot_id[BOOT_ID_SIZE];

	read_boot_id(boot_id);
	return boot_id[0] && memcmp(boot_id, header->boot_id, BOOT_ID_SIZE) == 0;
}

static int open_existing(struct zs_journal *j, const char *path, const struct zs_journal_options *o, char *why,
			 size_t why_size)
{
	struct header header = { .version = 0 };
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
	sort_chunks(j);
	/* From here on a crash is one; and of this boot. */
	j->header->clean = 0;
	j->header->device = options->identity;
	j->header->durable = 0;
	j->durable = options->durable;
	read_boot_id(j->header->boot_id);
	if (msync(j->map, options->durable ? j->size : chunks_at(options->zones, options->capacity), MS_SYNC) == 0) {
		j->header->durable = options->durable;
		error = msync(j->map, PAGE, MS_SYNC);
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
			(void)msync(j->map, PAGE, MS_SYNC);
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
	drop_chunks(j, zone, epoch);
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
		drop_chunks(j, zone, j->zones[zone].epoch - 1);
	pthread_mutex_unlock(&j->lock);
	return error ? ZS_ESYS : ZS_OK;
}

/* ---- the dead ---- */

/* The block, and the bits of the hash that no entry of the index has. */
static uint64_t mark_of(uint32_t block, uint64_t hash)
{
	return (uint64_t)block << 40 | hash >> 24;
}

void zs_journal_mark(struct zs_journal *j, uint32_t zone, uint32_t block, uint64_t hash)
{
	pthread_mutex_lock(&j->lock);
	add_mark(j, zone, mark_of(block, hash));
	zs_store_release(&j->changes, j->changes + 1);
	pthread_mutex_unlock(&j->lock);
}

void zs_journal_written(struct zs_journal *j, uint64_t hash)
{
	pthread_mutex_lock(&j->lock);
	add_mark(j, j->header->zones, hash);
	zs_store_release(&j->changes, j->changes + 1);
	pthread_mutex_unlock(&j->lock);
}

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

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int zs_journal_load(struct zs_journal *j, uint32_t zone, struct zs_journal_dead *dead)
{
	size_t count = 0;
	size_t copied = 0;

	*dead = (struct zs_journal_dead){ .marks = NULL };
	pthread_mutex_lock(&j->lock);
	dead->lost = j->zones[zone].lost;
	for (uint32_t i = j->zones[zone].first_chunk; i != NO_CHUNK; i = j->chunks[i].head.next)
		count += j->chunks[i].head.count;
	dead->marks = malloc((count ? count : 1) * sizeof(*dead->marks));
	for (uint32_t i = j->zones[zone].first_chunk; dead->marks && i != NO_CHUNK; i = j->chunks[i].head.next) {
		memcpy(dead->marks + copied, j->chunks[i].marks, j->chunks[i].head.count * sizeof(uint64_t));
		copied += j->chunks[i].head.count;
	}
	pthread_mutex_unlock(&j->lock);
	if (!dead->marks)
		return ZS_ENOMEM;
	dead->count = count;
	qsort(dead->marks, count, sizeof(*dead->marks), compare);
	return ZS_OK;
}

static bool contains(const struct zs_journal_dead *dead, uint64_t mark)
{
	return dead->count && bsearch(&mark, dead->marks, dead->count, sizeof(mark), compare);
}

bool zs_journal_is_dead(const struct zs_journal_dead *dead, uint32_t block, uint64_t hash)
{
	return contains(dead, mark_of(block, hash));
}

bool zs_journal_was_written(const struct zs_journal_dead *dead, uint64_t hash)
{
	return contains(dead, hash);
}

void zs_journal_free_dead(struct zs_journal_dead *dead)
{
	free(dead->marks);
	*dead = (struct zs_journal_dead){ .marks = NULL };
}

void zs_journal_end_rebuild(struct zs_journal *j)
{
	uint32_t zone = j->header->zones;
	uint64_t epoch = j->zones[zone].epoch;

	/* The marks that stand for what was written are to be there before that is forgotten. */
	(void)zs_journal_sync(j);
	pthread_mutex_lock(&j->lock);
	zs_store_release(&j->zones[zone].epoch, epoch + 1);
	drop_chunks(j, zone, epoch);
	pthread_mutex_unlock(&j->lock);
}

void zs_journal_room(const struct zs_journal *j, uint64_t *used, uint64_t *all)
{
	*all = j->header->chunks;
	*used = j->header->chunks - zs_load(&j->free_count);
}
