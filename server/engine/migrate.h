/*
 * Moving entries from the previous table of a partition to its main one, a bucket at a time, while the index is being
 * resized (resize.h). A moved bucket is empty and marked ZS_BUCKET_MOVED.
 */
#ifndef ZS_SERVER_ENGINE_MIGRATE_H
#define ZS_SERVER_ENGINE_MIGRATE_H

#include "server/engine/internal.h"

/* Sees to it that one of the hash's two previous buckets has been moved, so that new entries go to the main table. */
void zs_migrate_pair(struct zs_thread *thread, struct zs_part *part, const struct zs_index_view *view, uint64_t hash);

/* A third of moving the next bucket that nobody has moved: under a microsecond. */
void zs_migrate_step(struct zs_thread *thread, struct zs_part *part, const struct zs_index_view *view);

#endif
