/*
 * Background work in small steps: visiting slabs whose time has come, merging, freeing, resizing the index.
 *
 * Visits: every slab with deadlines has a time in `due`. The sweep goes round that array (two bytes for each slab) and
 * visits what is due: a slab in which everything has expired is reset whole; one whose first window
 * is over and whose survivors have long to live has them copied forward; any other loses what has expired and gets
 * another time.
 */
#ifndef ZS_SERVER_ENGINE_UPKEEP_H
#define ZS_SERVER_ENGINE_UPKEEP_H

#include "server/engine/internal.h"

/*
 * A writer's share: an object of the slab in hand, if there is one. What makes work pays for it, a little each time,
 * and upkeep is left with finding the slabs.
 */
void zs_upkeep_assist(struct zs_thread *thread, struct zs_part *part);

/* Visits one slab that is due, looking through all of them once if need be; for when slabs were just dropped. */
bool zs_upkeep_clean_one(struct zs_thread *thread, struct zs_part *part);

/*
 * Goes on with the sweep for a step, if its round is not over. True if it found a slab that was due and emptied it. For
 * writers in need of room.
 */
bool zs_upkeep_expire_one(struct zs_thread *thread, struct zs_part *part);

#endif
