/* Bytes that come in at the end and go out at the beginning. */
#ifndef ZS_CLIENT_BUFFER_H
#define ZS_CLIENT_BUFFER_H

#include <stddef.h>
#include <stdint.h>

/* All zero is an empty one. */
struct zs_buffer {
	uint8_t *data;
	size_t start; /* of what is in it */
	size_t end;
	size_t capacity;
};

static inline size_t zs_buffer_size(const struct zs_buffer *buffer)
{
	return buffer->end - buffer->start;
}

static inline const uint8_t *zs_buffer_bytes(const struct zs_buffer *buffer)
{
	return buffer->data + buffer->start;
}

/* Makes room for `size` more bytes at data + end. NULL: not enough memory. */
uint8_t *zs_buffer_reserve(struct zs_buffer *buffer, size_t size);

/* 0 or ZSLAB_ENOMEM. */
int zs_buffer_append(struct zs_buffer *buffer, const void *data, size_t size);

/* Takes bytes off the beginning. */
void zs_buffer_consume(struct zs_buffer *buffer, size_t size);

/* Empties it; memory beyond the usual size is given back. */
void zs_buffer_clear(struct zs_buffer *buffer);

void zs_buffer_free(struct zs_buffer *buffer);

#endif
