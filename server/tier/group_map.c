#include "server/tier/group_map.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/atomic.h"
#include "common/error.h"
#include "server/engine/warm.h"

#define PAGE 4096u
#define RECORD_SIZE 512u
#define RECORDS 65535u /* number 0 is no group */
#define FILE_SIZE (PAGE + (size_t)RECORDS * RECORD_SIZE)

/* What a block of a group that was dropped is said to belong to. */
#define GRAVE 0xffffu

static const char magic[8] = "ZSGROUPS";

struct header {
	char magic[8];
	uint64_t tier;
};

struct record {
	uint64_t lives; /* how often it was used */
	uint32_t alive;
	uint32_t size;
	char name[RECORD_SIZE - 16];
};

_Static_assert(sizeof(struct record) == RECORD_SIZE && sizeof(((struct record *)0)->name) >= ZS_GROUP_NAME_MAX,
	       "a name fits its record");

enum slot_state { FREE, ALIVE, DEAD };

struct slot {
	uint16_t group;	 /* the engine's; 0 unless ALIVE; atomic */
	uint8_t state;	 /* under the lock */
	uint8_t buried;	 /* its blocks are marked */
	uint32_t blocks; /* of the store's thread */
	uint32_t images; /* not yet written; the same */
};

struct zs_group_map {
	int file;
	uint8_t *map;
	struct zs_engine *engine;
	uint32_t capacity;
	uint32_t blocks;
	uint32_t room; /* records for which the file has room */
	uint32_t used; /* records from here on were never used */
	uint32_t dead; /* records in state DEAD; atomic, a hint */
	bool durable;
	uint32_t unsynced; /* something was dropped since it was last written to the disk; atomic */
	pthread_mutex_t lock;
	struct slot *slots;
	uint16_t *of_group; /* the engine's groups' records; atomic */
	uint16_t *of_block; /* atomic */
};

static struct record *record_at(const struct zs_group_map *m, uint32_t i)
{
	return (struct record *)(void *)(m->map + PAGE + (size_t)i * RECORD_SIZE);
}

static uint32_t record_of(uint64_t number)
{
	return (uint32_t)(number & 0xffff);
}

static uint64_t number_of(const struct zs_group_map *m, uint32_t i)
{
	return (record_at(m, i)->lives << 16 | i) & ZS_GROUP_NUMBER_MAX;
}

static uint32_t block_index(const struct zs_group_map *m, uint32_t zone, uint32_t block)
{
	return zone * m->capacity + block;
}

/* ---- records; the lock is held, or nobody else is there yet ---- */

/* Has the file grow, so that a full disk is an error here, and not a signal when the mapping is written to. */
static bool make_room(struct zs_group_map *m, uint32_t records)
{
	if (records <= m->room)
		return true;
	records = (records + 63) / 64 * 64;
	if (records > RECORDS)
		records = RECORDS;
	if (posix_fallocate(m->file, 0, (off_t)(PAGE + (size_t)records * RECORD_SIZE)))
		return false;
	m->room = records;
	return true;
}

/* A record that nobody uses; 0: there is none. */
static uint32_t free_record(struct zs_group_map *m)
{
	for (uint32_t i = 1; i < m->used; i++) {
		if (m->slots[i].state == FREE)
			return i;
	}
	if (m->used == GRAVE || !make_room(m, m->used + 1))
		return 0;
	return m->used++;
}

static void live(struct zs_group_map *m, uint32_t i, uint32_t group)
{
	m->slots[i] = (struct slot){ .state = ALIVE };
	zs_store_release(&m->slots[i].group, (uint16_t)group);
	zs_store_release(&m->of_group[group], (uint16_t)i);
}

/* Ends a group's life on flash. */
static void kill_record(struct zs_group_map *m, uint32_t i)
{
	uint32_t group = m->slots[i].group;

	zs_store_release(&record_at(m, i)->alive, 0u);
	zs_store_release(&m->unsynced, 1u);
	zs_store_release(&m->slots[i].group, (uint16_t)0);
	zs_store_release(&m->of_group[group], (uint16_t)0);
	m->slots[i].state = DEAD;
	zs_store_release(&m->dead, m->dead + 1);
	zs_warm_release_group(m->engine, group);
}

/* Nothing of it is on flash or on its way. */
static void let_go(struct zs_group_map *m, uint32_t i)
{
	if (m->slots[i].state != ALIVE || m->slots[i].blocks || m->slots[i].images)
		return;
	kill_record(m, i);
	m->slots[i].state = FREE;
	zs_store(&m->dead, m->dead - 1);
}

/* ---- opening ---- */

static int map_file(struct zs_group_map *m, const char *path, char *why, size_t why_size)
{
	struct stat status = { .st_size = 0 };

	m->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (m->file < 0 || fstat(m->file, &status)) {
		snprintf(why, why_size, "%s cannot be opened: %s", path, strerror(errno));
		return ZS_ESYS;
	}
	if (status.st_size > (off_t)PAGE)
		m->room = (uint32_t)((size_t)(status.st_size - PAGE) / RECORD_SIZE);
	if (m->room > RECORDS)
		m->room = RECORDS;
	if (!make_room(m, 1)) {
		snprintf(why, why_size, "%s has no room for %u bytes", path, PAGE + 64 * RECORD_SIZE);
		return ZS_ECONFIG;
	}
	/* More than there is of the file; what lies beyond its end is not touched. */
	m->map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, m->file, 0);
	if (m->map == MAP_FAILED) {
		m->map = NULL;
		snprintf(why, why_size, "%s cannot be mapped: %s", path, strerror(errno));
		return ZS_ESYS;
	}
	return ZS_OK;
}

/* What the file says, if it is of this tier. False: it is something else. */
static bool read_records(struct zs_group_map *m, uint64_t tier)
{
	static const char nothing[8];
	struct header *header = (struct header *)(void *)m->map;
	bool ours = memcmp(header->magic, magic, sizeof(magic)) == 0;

	if (!ours && memcmp(header->magic, nothing, sizeof(nothing)) != 0)
		return false;
	ours = ours && header->tier == tier;
	m->used = 1;
	for (uint32_t i = 1; i < m->room; i++) {
		struct record *record = record_at(m, i);

		if (!ours)
			record->alive = 0;
		if (record->size > ZS_GROUP_NAME_MAX || !record->size)
			record->alive = 0;
		if (record->lives)
			m->used = i + 1;
	}
	memcpy(header->magic, magic, sizeof(magic));
	header->tier = tier;
	return true;
}

int zs_group_map_open(const char *path, uint64_t tier, uint32_t zones, uint32_t capacity, struct zs_group_map **result,
		      bool durable, char *why, size_t why_size)
{
	struct zs_group_map *m = calloc(1, sizeof(*m));
	int error = ZS_ENOMEM;

	*result = NULL;
	snprintf(why, why_size, "not enough memory for the groups of the warm tier");
	if (!m)
		return error;
	m->file = -1;
	m->durable = durable;
	m->capacity = capacity;
	m->blocks = zones * capacity;
	pthread_mutex_init(&m->lock, NULL);
	/* Of these the system gives only the pages that are used. */
	m->slots = calloc(RECORDS + 1, sizeof(*m->slots));
	m->of_group = calloc(RECORDS + 1, sizeof(*m->of_group));
	m->of_block = calloc(m->blocks, sizeof(*m->of_block));
	if (m->slots && m->of_group && m->of_block)
		error = map_file(m, path, why, why_size);
	if (!error && !read_records(m, tier)) {
		snprintf(why, why_size, "%s is not the groups of a warm tier", path);
		error = ZS_ECONFIG;
	}
	if (error) {
		zs_group_map_close(m);
		return error;
	}
	*result = m;
	return ZS_OK;
}

void zs_group_map_close(struct zs_group_map *m)
{
	if (!m)
		return;
	if (m->map)
		munmap(m->map, FILE_SIZE);
	if (m->file >= 0)
		close(m->file);
	pthread_mutex_destroy(&m->lock);
	free(m->slots);
	free(m->of_group);
	free(m->of_block);
	free(m);
}

int zs_group_map_start(struct zs_group_map *m, struct zs_engine *engine, struct zs_thread *thread)
{
	m->engine = engine;
	for (uint32_t i = 1; i < m->used; i++) {
		const struct record *record = record_at(m, i);
		uint32_t group;

		if (!record->alive)
			continue;
		group = zs_warm_hold_group(thread, record->name, record->size);
		if (!group)
			return ZS_EGROUPS;
		live(m, i, group);
	}
	return ZS_OK;
}

/* ---- images and blocks; of the store's thread ---- */

/* Gives the engine's group a record. 0: there is no room, or it has ended. */
static uint32_t make_record(struct zs_group_map *m, struct zs_thread *thread, uint32_t group)
{
	uint32_t i = free_record(m);
	struct record *record;
	const char *name;
	size_t size;
	uint32_t held;

	if (!i || !zs_warm_group_name(m->engine, group, &name, &size))
		return 0;
	held = zs_warm_hold_group(thread, name, size);
	if (held != group) {
		if (held)
			zs_warm_release_group(m->engine, held);
		return 0;
	}
	record = record_at(m, i);
	record->size = (uint32_t)size;
	memcpy(record->name, name, size);
	zs_store_release(&record->lives, record->lives + 1);
	zs_store_release(&record->alive, 1u);
	/* After a power cut its number must not be given again. */
	zs_store_release(&m->unsynced, 1u);
	live(m, i, group);
	return i;
}

uint64_t zs_group_map_begin(struct zs_group_map *m, struct zs_thread *thread, uint32_t group)
{
	uint64_t number = 0;
	uint32_t i;

	pthread_mutex_lock(&m->lock);
	i = m->of_group[group];
	if (!i)
		i = make_record(m, thread, group);
	if (i) {
		m->slots[i].images++;
		number = number_of(m, i);
	}
	pthread_mutex_unlock(&m->lock);
	return number;
}

void zs_group_map_end(struct zs_group_map *m, uint64_t number)
{
	pthread_mutex_lock(&m->lock);
	m->slots[record_of(number)].images--;
	let_go(m, record_of(number));
	pthread_mutex_unlock(&m->lock);
}

bool zs_group_map_is(const struct zs_group_map *m, uint64_t number, uint32_t group)
{
	/* While an image is under way its record is not used again. A group may have no record yet. */
	return group ? number && record_of(number) == zs_load_acquire(&m->of_group[group]) : !number;
}

bool zs_group_map_place(struct zs_group_map *m, uint32_t zone, uint32_t block, uint64_t number)
{
	uint32_t i = record_of(number);
	bool alive;

	pthread_mutex_lock(&m->lock);
	alive = i && i < m->used && m->slots[i].state == ALIVE && number_of(m, i) == number;
	if (alive)
		m->slots[i].blocks++;
	zs_store_release(&m->of_block[block_index(m, zone, block)], (uint16_t)(alive ? i : GRAVE));
	pthread_mutex_unlock(&m->lock);
	return alive;
}

void zs_group_map_clear(struct zs_group_map *m, uint32_t zone)
{
	pthread_mutex_lock(&m->lock);
	for (uint32_t b = 0; b < m->capacity; b++) {
		uint16_t *of_block = &m->of_block[block_index(m, zone, b)];
		uint32_t i = *of_block;

		if (!i)
			continue;
		zs_store_release(of_block, (uint16_t)0);
		if (i == GRAVE)
			continue;
		m->slots[i].blocks--;
		let_go(m, i);
	}
	pthread_mutex_unlock(&m->lock);
}

void zs_group_map_tidy(struct zs_group_map *m)
{
	pthread_mutex_lock(&m->lock);
	for (uint32_t i = 1; i < m->used; i++)
		let_go(m, i);
	pthread_mutex_unlock(&m->lock);
}

/* ---- of any thread ---- */

uint32_t zs_group_map_of(const struct zs_group_map *m, uint32_t zone, uint32_t block)
{
	uint32_t i = zs_load_acquire(&m->of_block[block_index(m, zone, block)]);

	return i == GRAVE ? 0 : zs_load_acquire(&m->slots[i].group);
}

bool zs_group_map_is_dead(const struct zs_group_map *m, uint32_t zone, uint32_t block)
{
	uint32_t i = zs_load_acquire(&m->of_block[block_index(m, zone, block)]);

	return i == GRAVE || (i && !zs_load_acquire(&m->slots[i].group));
}

void zs_group_map_count(struct zs_group_map *m, uint32_t zone, uint32_t block, int32_t objects)
{
	uint32_t group = zs_group_map_of(m, zone, block);

	if (group)
		zs_warm_count_group(m->engine, group, objects);
}

void zs_group_map_drop(struct zs_group_map *m, uint32_t group)
{
	pthread_mutex_lock(&m->lock);
	if (m->of_group[group])
		kill_record(m, m->of_group[group]);
	pthread_mutex_unlock(&m->lock);
}

void zs_group_map_drop_all(struct zs_group_map *m)
{
	pthread_mutex_lock(&m->lock);
	for (uint32_t i = 1; i < m->used; i++) {
		if (m->slots[i].state == ALIVE)
			kill_record(m, i);
	}
	pthread_mutex_unlock(&m->lock);
}

int zs_group_map_sync(struct zs_group_map *m)
{
	int error = 0;

	if (!m->durable || !zs_load_acquire(&m->unsynced))
		return ZS_OK;
	/* Who comes meanwhile waits for the same write. */
	pthread_mutex_lock(&m->lock);
	if (m->unsynced) {
		error = fdatasync(m->file);
		if (!error)
			zs_store_release(&m->unsynced, 0u);
	}
	pthread_mutex_unlock(&m->lock);
	return error ? ZS_ESYS : ZS_OK;
}

/* ---- after drops ---- */

/* Marks the dead records that no image under way says any more; the others are looked at again. */
static bool choose_graves(struct zs_group_map *m)
{
	bool some = false;

	for (uint32_t i = 1; i < m->used; i++) {
		m->slots[i].buried = m->slots[i].state == DEAD && !m->slots[i].images;
		some |= m->slots[i].buried;
	}
	return some;
}

bool zs_group_map_bury(struct zs_group_map *m)
{
	bool some;

	if (!zs_load(&m->dead))
		return false;
	pthread_mutex_lock(&m->lock);
	some = choose_graves(m);
	for (uint32_t b = 0; some && b < m->blocks; b++) {
		uint32_t i = m->of_block[b];

		if (i != 0 && i != GRAVE && m->slots[i].buried)
			zs_store_release(&m->of_block[b], (uint16_t)GRAVE);
	}
	pthread_mutex_unlock(&m->lock);
	return some;
}

void zs_group_map_buried(struct zs_group_map *m)
{
	pthread_mutex_lock(&m->lock);
	for (uint32_t i = 1; i < m->used; i++) {
		if (!m->slots[i].buried)
			continue;
		m->slots[i] = (struct slot){ .state = FREE };
		zs_store(&m->dead, m->dead - 1);
	}
	pthread_mutex_unlock(&m->lock);
}
