/*
 * The keys that stand in a reply already, so that KEYS names none twice. Holds positions in the reply, not
 * copies.
 */
#ifndef ZS_SERVER_COMMANDS_KEY_SET_H
#define ZS_SERVER_COMMANDS_KEY_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/commands/reply.h"

struct zs_key_place;

struct zs_key_set {
	struct zs_key_place *places; /* open addressing with linear probing; at most three quarters are used */
	size_t capacity;	     /* a power of two, or 0 */
	size_t used;
	uint64_t seed; /* of the hash, so that nobody can choose keys that collide */
};

void zs_key_set_init(struct zs_key_set *set, uint64_t seed);
void zs_key_set_free(struct zs_key_set *set);

/*
 * Appends the key to the reply as a bulk string, unless the set has it: *added says which. ZS_OK, or
 * ZS_ENOMEM with nothing changed. All keys of one set have to be in one reply, of which nothing before them
 * moves meanwhile.
 */
int zs_key_set_add(struct zs_key_set *set, struct zs_reply *reply, const void *key, size_t size, bool *added);

#endif
