#include "client/topology.h"

#include <string.h>

/* CRC-16/XMODEM, polynomial 0x1021, four bits at a time. */
static uint16_t crc16(const uint8_t *data, size_t size)
{
	static const uint16_t table[16] = {
		0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
		0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef,
	};
	uint16_t crc = 0;

	for (size_t i = 0; i < size; i++) {
		crc = (uint16_t)(crc << 4) ^ table[(crc >> 12) ^ (data[i] >> 4)];
		crc = (uint16_t)(crc << 4) ^ table[(crc >> 12) ^ (data[i] & 15)];
	}
	return crc;
}

uint32_t zs_slot_of(const void *key, size_t size)
{
	const uint8_t *text = key;
	const uint8_t *open = size ? memchr(text, '{', size) : NULL;
	const uint8_t *close;

	if (open) {
		close = memchr(open + 1, '}', size - (size_t)(open + 1 - text));
		if (close && close > open + 1)
			return crc16(open + 1, (size_t)(close - open - 1)) % ZS_SLOTS;
	}
	return crc16(text, size) % ZS_SLOTS;
}

void zs_topology_init(struct zs_topology *topology, uint32_t nodes)
{
	topology->nodes = nodes;
	for (uint32_t slot = 0; slot < ZS_SLOTS; slot++)
		topology->owner[slot] = (uint16_t)((uint64_t)slot * nodes / ZS_SLOTS);
}
