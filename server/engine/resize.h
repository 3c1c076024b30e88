/*
 * Index tables of another size, without a pause.
 *
 *   one table --start--> two tables --every bucket moved--> one table, the old one rests --quiesced--> its frames are
 * slabs
 *
 * start makes the present table the previous one and publishes both. Buckets are then moved one by one (migrate.h), a
 * step of it with each new entry, every eighth overwrite and each call of upkeep. A moved bucket is empty and marked,
 * so that a reader with an old view notices.
 *
 * How large: small at first, doubled while there is much room left; when 60 % of the memory is in use, once an exact
 * fit for the objects that will be there when it is full, because the sizes of objects are known by then. After that by
 * need.
 */
#ifndef ZS_SERVER_ENGINE_RESIZE_H
#define ZS_SERVER_ENGINE_RESIZE_H

#include "server/engine/internal.h"

/* Makes the first table. ZS_OK or ZS_ENOMEM. */
int zs_resize_init(struct zs_part *part);

/* Looks whether the table should have another size, and starts the change. Cheap when nothing is to do. */
void zs_resize_check(struct zs_thread *thread, struct zs_part *part);

/*
 * A step of moving buckets, under a microsecond; after the last one ends the change. True if there is more to do.
 * Writes do steps as well, so that resizing keeps up where upkeep does not.
 */
bool zs_resize_step(struct zs_thread *thread, struct zs_part *part);

/* zs_resize_check by a writer that takes a slab, once in a while. */
void zs_resize_assist(struct zs_thread *thread, struct zs_part *part);

/* Turns tables that have rested into free frames, a few at a time. */
void zs_resize_reclaim(struct zs_part *part);

/* Whether a frame belongs to an index table, in use or resting. */
bool zs_resize_is_table(struct zs_part *part, uint32_t id);

void zs_resize_free(struct zs_part *part);

#endif
