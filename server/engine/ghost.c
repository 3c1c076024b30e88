#include "server/engine/ghost.h"

#include <sys/mman.h>

#include "common/atomic.h"
#include "common/hash.h"
#include "common/layout.h"

#define PER_LINE 31

/*
 * Keys remembered: at least this many for each frame, and a seventh of the objects where more of them fit a frame. Each
 * takes a little over two bytes, so 0.3 bytes for an object at most. A larger ghost comes nearer to object-level
 * S3-FIFO: twice as many keys make 0.4 points (bench-hitratio).
 */
#define PER_FRAME 4
#define SHARE 7

struct line {
	_Alignas(64) uint16_t cursor;
	uint16_t prints[PER_LINE]; /* 0: empty */
};

struct zs_ghost {
	_Alignas(64) uint64_t lines; /* in use */
	uint64_t most;
	size_t size;
	struct line line[];
};

struct zs_ghost *zs_ghost_new(uint32_t frames)
{
	/* Addresses for what the smallest objects would need; memory is taken when a line is first used. */
	uint64_t lines = (uint64_t)frames * (ZS_SLOTS_MAX / SHARE) / PER_LINE + 1;
	size_t size = sizeof(struct zs_ghost) + lines * sizeof(struct line);
	struct zs_ghost *ghost =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (ghost == MAP_FAILED)
		return NULL;
	ghost->lines = (uint64_t)frames * PER_FRAME / PER_LINE + 1;
	ghost->most = lines;
	ghost->size = size;
	return ghost;
}

void zs_ghost_fit(struct zs_ghost *ghost, uint64_t objects)
{
	uint64_t lines = objects / SHARE / PER_LINE + 1;

	/* What was remembered in other lines is forgotten; there is nothing yet when this is called as it should be. */
	if (lines > zs_load(&ghost->lines))
		zs_store(&ghost->lines, lines < ghost->most ? lines : ghost->most);
}

void zs_ghost_free(struct zs_ghost *ghost)
{
	if (ghost)
		munmap(ghost, ghost->size);
}

static size_t line_of(const struct zs_ghost *ghost, uint64_t hash)
{
	return (hash >> 24 & 0xffffffffu) * zs_load(&ghost->lines) >> 32;
}

static uint16_t print_of(uint64_t hash)
{
	uint16_t print = zs_hash_fingerprint(hash);

	return print ? print : 1;
}

void zs_ghost_add(struct zs_ghost *ghost, uint64_t hash)
{
	struct line *line = &ghost->line[line_of(ghost, hash)];
	uint16_t cursor = zs_load(&line->cursor);

	zs_store(&line->prints[cursor % PER_LINE], print_of(hash));
	zs_store(&line->cursor, (uint16_t)((cursor + 1) % PER_LINE));
}

/* Where in its line the key stands; PER_LINE: it does not. */
static unsigned find(const struct line *line, uint64_t hash)
{
	uint16_t print = print_of(hash);
	unsigned i = 0;

	while (i < PER_LINE && zs_load(&line->prints[i]) != print)
		i++;
	return i;
}

bool zs_ghost_has(const struct zs_ghost *ghost, uint64_t hash)
{
	return find(&ghost->line[line_of(ghost, hash)], hash) < PER_LINE;
}

bool zs_ghost_take(struct zs_ghost *ghost, uint64_t hash)
{
	struct line *line = &ghost->line[line_of(ghost, hash)];
	unsigned i = find(line, hash);

	if (i == PER_LINE)
		return false;
	zs_store(&line->prints[i], 0);
	return true;
}
