/* Marks of the dead in the journal: which copies on flash are not to be found again. */
#include <stdlib.h>
#include <string.h>

#include "common/atomic.h"
#include "common/error.h"
#include "server/tier/journal_internal.h"

#define MARKS_PER_CHUNK (sizeof(((struct zs_journal_chunk *)0)->marks) / sizeof(uint64_t))

/* ---- chunks; the lock is held, or nobody else is there yet ---- */

static uint32_t take_chunk(struct zs_journal *j, uint32_t zone)
{
	struct zs_journal_chunk_head head = { .epoch = j->zones[zone].epoch,
					      .zone = zone,
					      .next = ZS_JOURNAL_NO_CHUNK };
	uint32_t number;

	if (!j->free_count)
		return ZS_JOURNAL_NO_CHUNK;
	number = j->free[--j->free_count];
	j->chunks[number].head = head;
	return number;
}

/* Adds a mark to the zone's last chunk. The mark is there before the count says so. */
static void add_mark(struct zs_journal *j, uint32_t zone, uint64_t mark)
{
	struct zs_journal_zone *record = &j->zones[zone];
	struct zs_journal_chunk *chunk;

	if (record->last_chunk == ZS_JOURNAL_NO_CHUNK || j->chunks[record->last_chunk].head.count == MARKS_PER_CHUNK) {
		uint32_t number = take_chunk(j, zone);

		if (number == ZS_JOURNAL_NO_CHUNK) {
			zs_store_release(&record->lost, 1u);
			return;
		}
		if (record->last_chunk == ZS_JOURNAL_NO_CHUNK)
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
	const struct zs_journal_chunk_head *head;

	if (chunk >= j->header->chunks)
		return ZS_JOURNAL_NO_CHUNK;
	head = &j->chunks[chunk].head;
	return head->zone == zone && head->epoch == j->zones[zone].epoch ? chunk : ZS_JOURNAL_NO_CHUNK;
}

void zs_journal_drop_chunks(struct zs_journal *j, uint32_t zone, uint64_t epoch)
{
	struct zs_journal_zone *record = &j->zones[zone];
	uint32_t number = record->first_chunk;

	zs_store_release(&record->first_chunk, ZS_JOURNAL_NO_CHUNK);
	record->last_chunk = ZS_JOURNAL_NO_CHUNK;
	record->lost = 0;
	while (number < j->header->chunks && j->chunks[number].head.epoch == epoch &&
	       j->chunks[number].head.zone == zone) {
		uint32_t next = j->chunks[number].head.next;

		j->chunks[number].head.zone = UINT32_MAX;
		j->free[j->free_count++] = number;
		number = next;
	}
}

void zs_journal_sort_chunks(struct zs_journal *j)
{
	uint8_t *used = calloc(j->header->chunks, 1);

	if (!used)
		return; /* nothing is free then, and zones are given up as they need chunks */
	for (uint32_t zone = 0; zone <= j->header->zones; zone++) {
		struct zs_journal_zone *record = &j->zones[zone];
		uint32_t number = follow(j, zone, record->first_chunk);
		uint32_t last = ZS_JOURNAL_NO_CHUNK;

		while (number != ZS_JOURNAL_NO_CHUNK && !used[number]) {
			used[number] = 1;
			if (j->chunks[number].head.count > MARKS_PER_CHUNK)
				j->chunks[number].head.count = MARKS_PER_CHUNK;
			last = number;
			number = follow(j, zone, j->chunks[number].head.next);
		}
		record->last_chunk = last;
		if (last == ZS_JOURNAL_NO_CHUNK)
			record->first_chunk = ZS_JOURNAL_NO_CHUNK;
		else
			j->chunks[last].head.next = ZS_JOURNAL_NO_CHUNK;
	}
	for (uint32_t i = j->header->chunks; i > 0; i--) {
		if (!used[i - 1])
			j->free[j->free_count++] = i - 1;
	}
	free(used);
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
	for (uint32_t i = j->zones[zone].first_chunk; i != ZS_JOURNAL_NO_CHUNK; i = j->chunks[i].head.next)
		count += j->chunks[i].head.count;
	dead->marks = malloc((count ? count : 1) * sizeof(*dead->marks));
	for (uint32_t i = j->zones[zone].first_chunk; dead->marks && i != ZS_JOURNAL_NO_CHUNK;
	     i = j->chunks[i].head.next) {
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
	zs_journal_drop_chunks(j, zone, epoch);
	pthread_mutex_unlock(&j->lock);
}

void zs_journal_room(const struct zs_journal *j, uint64_t *used, uint64_t *all)
{
	*all = j->header->chunks;
	*used = j->header->chunks - zs_load(&j->free_count);
}
