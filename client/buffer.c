#include "client/buffer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/zslab.h"

#define USUAL_SIZE 65536u

uint8_t *zs_buffer_reserve(struct zs_buffer *buffer, size_t size)
{
	size_t used = zs_buffer_size(buffer);
	size_t capacity = buffer->capacity ? buffer->capacity : 4096;
	uint8_t *data;

	if (buffer->capacity - buffer->end >= size)
		return buffer->data + buffer->end;
	if (buffer->start && buffer->capacity - used >= size) {
		memmove(buffer->data, buffer->data + buffer->start, used);
		buffer->start = 0;
		buffer->end = used;
		return buffer->data + used;
	}
	while (capacity - used < size)
		capacity *= 2;
	data = malloc(capacity);
	if (!data)
		return NULL;
	if (used)
		memcpy(data, buffer->data + buffer->start, used);
	free(buffer->data);
	*buffer = (struct zs_buffer){ .data = data, .end = used, .capacity = capacity };
	return data + used;
}

int zs_buffer_append(struct zs_buffer *buffer, const void *data, size_t size)
{
	uint8_t *to = zs_buffer_reserve(buffer, size);

	if (!to)
		return ZSLAB_ENOMEM;
	if (size)
		memcpy(to, data, size);
	buffer->end += size;
	return ZSLAB_OK;
}

void zs_buffer_consume(struct zs_buffer *buffer, size_t size)
{
	assert(size <= zs_buffer_size(buffer));
	buffer->start += size;
	if (buffer->start == buffer->end)
		zs_buffer_clear(buffer);
}

void zs_buffer_clear(struct zs_buffer *buffer)
{
	buffer->start = 0;
	buffer->end = 0;
	if (buffer->capacity > USUAL_SIZE)
		zs_buffer_free(buffer);
}

void zs_buffer_free(struct zs_buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct zs_buffer){ 0 };
}
