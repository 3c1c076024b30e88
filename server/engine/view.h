/* From what the index found to what the caller of the engine sees. */
#ifndef ZS_SERVER_ENGINE_VIEW_H
#define ZS_SERVER_ENGINE_VIEW_H

#include "server/engine/index.h"

void zs_view_fill(const struct zs_found *found, struct zs_view *view);

/* Whether the object's deadline has passed by the thread's time. */
bool zs_is_expired(const struct zs_thread *thread, const struct zs_found *found);

#endif
