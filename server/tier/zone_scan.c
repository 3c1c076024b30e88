#include "server/tier/zone_scan.h"

#include <stdlib.h>

#include "server/tier/store_internal.h"

bool zs_zone_scan_init(struct zs_zone_scan *scan, void *kind)
{
	*scan = (struct zs_zone_scan){ .kind = kind };
	for (unsigned i = 0; i < ZS_SCAN_READS; i++) {
		scan->chunks[i].data =
		    aligned_alloc(ZS_ZONE_BLOCK_SIZE, (size_t)ZS_ZONE_APPEND_BLOCKS_MAX * ZS_ZONE_BLOCK_SIZE);
		if (!scan->chunks[i].data)
			return false;
	}
	return true;
}

void zs_zone_scan_free(struct zs_zone_scan *scan)
{
	for (unsigned i = 0; i < ZS_SCAN_READS; i++)
		free(scan->chunks[i].data);
}

void zs_zone_scan_begin(struct zs_zone_scan *scan, uint32_t zone, uint32_t end)
{
	scan->zone = zone;
	scan->next = 0;
	scan->end = end;
}

bool zs_zone_scan_go_on(struct zs_zone_scan *scan, struct zs_store *store)
{
	bool some = false;

	for (unsigned i = 0; i < ZS_SCAN_READS; i++) {
		struct zs_scan_chunk *chunk = &scan->chunks[i];
		uint32_t left = scan->end - scan->next;

		if (!chunk->under_way && left) {
			chunk->request = (struct zs_zone_request){
				.op = ZS_ZONE_READ,
				.zone = scan->zone,
				.block = scan->next,
				.blocks = left < ZS_ZONE_APPEND_BLOCKS_MAX ? left : ZS_ZONE_APPEND_BLOCKS_MAX,
				.data = chunk->data,
				.context = scan->kind,
			};
			scan->next += chunk->request.blocks;
			chunk->under_way = true;
			zs_store_submit(store, &chunk->request);
		}
		some |= chunk->under_way;
	}
	return some;
}

const struct zs_scan_chunk *zs_zone_scan_took(struct zs_zone_request *request)
{
	struct zs_scan_chunk *chunk = (struct zs_scan_chunk *)request;

	chunk->under_way = false;
	return chunk;
}
