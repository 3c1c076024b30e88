/*
 * Execution of the commands that have arrived together on one connection.
 *
 * Several commands are parsed ahead and what they need from the engine is fetched meanwhile, so that the memory
 * accesses of a pipeline overlap; a run of GETs is one batch of the engine. Replies come in the order of the commands.
 */
#ifndef ZS_SERVER_NET_PIPELINE_H
#define ZS_SERVER_NET_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/engine/engine.h"

struct zs_client;
struct zs_worker;

/*
 * Runs commands from `data`, appending to client->reply, until only an incomplete one is left, more than `output_max`
 * bytes of replies wait, or client->stalled or client->close_asked is set. Returns how many bytes are done with.
 */
size_t zs_pipeline_run(struct zs_client *client, const uint8_t *data, size_t size, size_t output_max);

/* The first key of the first command in `data`, if it is there whole. Nothing is run. */
bool zs_pipeline_first_key(struct zs_worker *worker, const uint8_t *data, size_t size, struct zs_key *key);

#endif
