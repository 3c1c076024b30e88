#include "server/engine/ghost.h"

#include <sys/mman.h>

#include "common/atomic.h"
#include "common/hash.h"

#define PER_LINE 31

struct line {
	_Alignas(64) uint16_t cursor;
	uint16_t prints[PER_LINE]; /* 0: empty */
};

struct zs_ghost {
	_Alignas(64) uint64_t lines;
	size_t size;
	struct line line[];
};

struct zs_ghost *zs_ghost_new(uint64_t keys)
{
	uint64_t lines = keys / PER_LINE + 1;
	size_t size = sizeof(struct zs_ghost) + lines * sizeof(struct line);
	struct zs_ghost *ghost =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (ghost == MAP_FAILED)
		return NULL;
	ghost->lines = lines;
	ghost->size = size;
	return ghost;
}

void zs_ghost_free(struct zs_ghost *ghost)
{
	if (ghost)
		munmap(ghost, ghost->size);
}

static struct line *line_of(struct zs_ghost *ghost, uint64_t hash)
{
	return &ghost->line[(hash >> 24 & 0xffffffffu) * ghost->lines >> 32];
}

static uint16_t print_of(uint64_t hash)
{
	uint16_t print = zs_hash_fingerprint(hash);

	return print ? print : 1;
}

void zs_ghost_add(struct zs_ghost *ghost, uint64_t hash)
{
	struct line *line = line_of(ghost, hash);
	uint16_t cursor = zs_load(&line->cursor);

	zs_store(&line->prints[cursor % PER_LINE], print_of(hash));
	zs_store(&line->cursor, (uint16_t)((cursor + 1) % PER_LINE));
}

bool zs_ghost_take(struct zs_ghost *ghost, uint64_t hash)
{
	struct line *line = line_of(ghost, hash);
	uint16_t print = print_of(hash);

	for (unsigned i = 0; i < PER_LINE; i++) {
		if (zs_load(&line->prints[i]) == print) {
			zs_store(&line->prints[i], 0);
			return true;
		}
	}
	return false;
}

size_t zs_ghost_memory(const struct zs_ghost *ghost)
{
	return ghost ? ghost->size : 0;
}
