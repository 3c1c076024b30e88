/* The one mapping that holds superblock, index and slabs. */
#ifndef ZS_SERVER_ENGINE_ARENA_H
#define ZS_SERVER_ENGINE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zs_arena {
	uint8_t *base;
	uint64_t size;
	int memfd;
	const char *page_kind;
	bool sealed; /* the descriptor can be handed to readers */
};

/*
 * Maps `size` bytes, a multiple of the frame size, of zeroed shared memory. With huge_pages it asks for reserved huge
 * pages, then for transparent ones, then takes what there is. ZS_OK, ZS_ENOMEM or ZS_ESYS, and a sentence in `why`.
 */
int zs_arena_map(struct zs_arena *arena, uint64_t size, bool huge_pages, bool prefault, char *why, size_t why_size);
void zs_arena_unmap(struct zs_arena *arena);

#endif
