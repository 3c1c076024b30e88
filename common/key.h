/* Comparing keys. They are short: a call of memcmp would cost more than the comparison. */
#ifndef ZS_COMMON_KEY_H
#define ZS_COMMON_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the bytes of two keys are the same. Without a branch on what they are. */
static inline bool zs_key_equal(const void *a, const void *b, size_t size)
{
	const uint8_t *x = a;
	const uint8_t *y = b;
	uint64_t v[2], w[2];
	uint64_t differ = 0;

	if (size < 8) {
		for (size_t i = 0; i < size; i++)
			differ |= x[i] ^ y[i];
		return !differ;
	}
	for (; size > 16; size -= 16, x += 16, y += 16) {
		__builtin_memcpy(v, x, 16);
		__builtin_memcpy(w, y, 16);
		differ |= (v[0] ^ w[0]) | (v[1] ^ w[1]);
	}
	/* The rest, 1 to 16 bytes of at least 8: two words that may overlap. */
	if (size < 8) {
		x -= 8 - size;
		y -= 8 - size;
		size = 8;
	}
	__builtin_memcpy(&v[0], x, 8);
	__builtin_memcpy(&v[1], x + size - 8, 8);
	__builtin_memcpy(&w[0], y, 8);
	__builtin_memcpy(&w[1], y + size - 8, 8);
	return !(differ | (v[0] ^ w[0]) | (v[1] ^ w[1]));
}

#endif
