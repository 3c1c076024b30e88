/*
 * A look through everything for what must always hold, for tests: no other thread may use the engine meanwhile.
 */
#ifndef ZS_SERVER_ENGINE_VERIFY_H
#define ZS_SERVER_ENGINE_VERIFY_H

#include <stddef.h>

#include "server/engine/engine.h"

/*
 * Counts what is wrong; `what` (of size bytes) gets the first of it in words. Checked are: every live slot is found by
 * its key; every entry leads to a slab in use; no key has two live slots; figures agree with what is there; every frame
 * is exactly in one place.
 */
size_t zs_engine_verify(struct zs_engine *engine, char *what, size_t size);

#endif
