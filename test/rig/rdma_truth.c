#include "test/rig/rdma_truth.h"

#include <stdio.h>
#include <string.h>

struct header {
	uint64_t number;
	uint32_t key;
	uint32_t size;
};

unsigned draw_key(uint64_t *state)
{
	return (unsigned)draw(state, draw(state, 2) ? HOT_KEYS : RACE_KEYS);
}

size_t make_key(unsigned key, char *buffer)
{
	return (size_t)snprintf(buffer, KEY_MAX, key % 7 || key >= RACE_KEYS ? "object:%08u" : "a longer:%012u", key);
}

static uint32_t size_of(unsigned key, uint64_t number)
{
	char name[KEY_MAX];

	if (key >= RACE_KEYS)
		return (uint32_t)(OBJECT_SIZE - make_key(key, name));
	if (key % 2)
		return 100;
	return (uint32_t)(sizeof(struct header) + (key * 31 + number * 7919) % (VALUE_MAX - sizeof(struct header)));
}

size_t make_value(unsigned key, uint64_t number, uint8_t *bytes)
{
	struct header h = { number, key, size_of(key, number) };
	uint64_t state = (number << 20 | key) + 1;

	memcpy(bytes, &h, sizeof(h));
	for (uint32_t i = sizeof(h); i < h.size; i++)
		bytes[i] = (uint8_t)draw(&state, 256);
	return h.size;
}

uint64_t number_of(unsigned key, const struct zs_read_value *value, const uint8_t *data, const char **what)
{
	uint8_t expected[VALUE_MAX];
	struct header h;

	*what = "it has a type or size that nobody wrote";
	if (value->is_number || value->size < sizeof(h) || value->size > VALUE_MAX)
		return 0;
	memcpy(&h, data, sizeof(h));
	*what = "it is the value of another key";
	if (h.key != key)
		return 0;
	*what = "it is torn";
	if (make_value(key, h.number, expected) != value->size || memcmp(data, expected, value->size) != 0)
		return 0;
	*what = NULL;
	return h.number;
}
