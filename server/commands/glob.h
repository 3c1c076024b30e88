/*
 * The patterns of KEYS and SCAN MATCH: * ? [a-z] [^a] and \ before a character that is meant as itself.
 */
#ifndef ZS_SERVER_COMMANDS_GLOB_H
#define ZS_SERVER_COMMANDS_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Does the text match the whole pattern? Any bytes in both. Malformed patterns mean what they mean to Redis:
 * a set that is not closed ends with the pattern. Takes at most pattern_size * text_size steps, and no
 * recursion.
 */
bool zs_glob_match(const void *pattern, size_t pattern_size, const void *text, size_t text_size);

/* Does it match everything without looking? True for "*" alone. */
bool zs_glob_is_all(const void *pattern, size_t pattern_size);

#endif
