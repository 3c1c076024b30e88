#include "bench/requests.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"

#define VALUE_MAX ((size_t)1 << 20)
#define VALUE_POOL (2 * VALUE_MAX)
/* What a request takes besides keys, value and group name, generously. */
#define REQUEST_ROOM 256
#define KEY_ROOM 32

static const char *const kind_texts[] = {
#define ZS_REQUEST_TEXT(name, text, reads) text,
	ZS_REQUESTS(ZS_REQUEST_TEXT)
#undef ZS_REQUEST_TEXT
};

static const bool kind_reads[] = {
#define ZS_REQUEST_READS(name, text, reads) reads,
	ZS_REQUESTS(ZS_REQUEST_READS)
#undef ZS_REQUEST_READS
};

const char *zs_requests_names(void)
{
#define ZS_REQUEST_LIST(name, text, reads) text " "
	return ZS_REQUESTS(ZS_REQUEST_LIST);
#undef ZS_REQUEST_LIST
}

static bool parse_share(const char *text, size_t size, double weights[ZS_REQUEST_KINDS])
{
	const char *equals = memchr(text, '=', size);
	size_t name_size = equals ? (size_t)(equals - text) : size;
	char *end = NULL;

	for (unsigned i = 0; i < ZS_REQUEST_KINDS; i++) {
		if (strlen(kind_texts[i]) != name_size || memcmp(kind_texts[i], text, name_size) != 0)
			continue;
		weights[i] = equals ? strtod(equals + 1, &end) : 1;
		return weights[i] > 0 && (!equals || end == text + size);
	}
	return false;
}

bool zs_requests_parse_mix(const char *text, double weights[ZS_REQUEST_KINDS])
{
	for (unsigned i = 0; i < ZS_REQUEST_KINDS; i++)
		weights[i] = 0;
	for (;;) {
		size_t size = strcspn(text, ",");

		if (!parse_share(text, size, weights))
			return false;
		if (!text[size])
			return true;
		text += size + 1;
	}
}

static unsigned decimal_digits(uint64_t number)
{
	unsigned digits = 1;

	while (number >= 10) {
		number /= 10;
		digits++;
	}
	return digits;
}

static int check(const struct zs_requests_options *o, char *why, size_t why_size)
{
	size_t prefix = strlen(o->prefix);
	unsigned digits = decimal_digits(o->first + o->keys - 1);

	if (o->key_size < prefix + digits)
		snprintf(why, why_size, "a key of %" PRIu64 " bytes has no room for '%s' and %u digits", o->key_size,
			 o->prefix, digits);
	else if (o->value_size.high > VALUE_MAX)
		snprintf(why, why_size, "values of more than %zu bytes are not supported", VALUE_MAX);
	else if (o->weights[ZS_REQUEST_GETEX] + o->weights[ZS_REQUEST_EXPIRE] > 0 && !o->ttl)
		snprintf(why, why_size, "getex and expire need a TTL");
	else if (o->weights[ZS_REQUEST_COUNT] > 0 && !o->ttl && !o->expire_at && !o->group)
		snprintf(why, why_size, "count needs a TTL, a time of expiry or a group");
	else if (o->expire_at && o->protocol == ZS_MEMCACHED)
		snprintf(why, why_size, "a time of expiry is for RESP only");
	else if (o->group && o->protocol == ZS_MEMCACHED)
		snprintf(why, why_size, "memcached has no groups");
	else
		return ZS_OK;
	return ZS_EINVAL;
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* A step that visits all of count numbers, far apart. */
static uint64_t choose_multiplier(uint64_t count)
{
	uint64_t multiplier = (uint64_t)((double)count * 0.6180339887) | 1;

	while (gcd(multiplier, count) != 1)
		multiplier++;
	return multiplier;
}

static void set_limits(struct zs_requests *requests)
{
	double sum = 0;
	double total = 0;

	for (unsigned i = 0; i < ZS_REQUEST_KINDS; i++)
		total += requests->options.weights[i];
	for (unsigned i = 0; i < ZS_REQUEST_KINDS; i++) {
		sum += requests->options.weights[i];
		/* The last kind that has a share must be found by every u < 1, whatever the rounding. */
		requests->limits[i] = sum / total > 1 - 1e-9 ? 1 : sum / total;
	}
}

int zs_requests_open(struct zs_requests *requests, const struct zs_requests_options *options, char *why,
		     size_t why_size)
{
	int error = check(options, why, why_size);

	if (error)
		return error;
	*requests = (struct zs_requests){ .options = *options, .random = { options->seed } };
	requests->multiplier = choose_multiplier(options->keys);
	set_limits(requests);
	requests->values = malloc(VALUE_POOL);
	if (!requests->values)
		return ZS_ENOMEM;
	for (size_t i = 0; i < VALUE_POOL; i++)
		requests->values[i] = (char)('A' + zs_random_below(&requests->random, 26));
	if (options->order == ZS_KEYS_ZIPF) {
		error = zs_zipf_open(&requests->zipf, options->keys, options->alpha);
		if (error)
			zs_requests_close(requests);
	}
	return error;
}

void zs_requests_close(struct zs_requests *requests)
{
	zs_zipf_close(&requests->zipf);
	free(requests->values);
	requests->values = NULL;
}

static int make_room(struct zs_text *text, size_t more)
{
	size_t room = text->room ? text->room : 4096;
	char *data;

	if (text->room - text->size >= more)
		return ZS_OK;
	while (room - text->size < more)
		room *= 2;
	data = realloc(text->data, room);
	if (!data)
		return ZS_ENOMEM;
	text->data = data;
	text->room = room;
	return ZS_OK;
}

/* The put_ functions trust that make_room was called. */
static void put(struct zs_text *text, const char *data, size_t size)
{
	memcpy(text->data + text->size, data, size);
	text->size += size;
}

static void put_literal(struct zs_text *text, const char *literal)
{
	put(text, literal, strlen(literal));
}

static void put_number(struct zs_text *text, uint64_t number, unsigned width)
{
	unsigned digits = decimal_digits(number);

	if (digits < width)
		digits = width;
	for (unsigned i = digits; i-- > 0; number /= 10)
		text->data[text->size + i] = (char)('0' + number % 10);
	text->size += digits;
}

static void put_key(const struct zs_requests *requests, struct zs_text *text, uint64_t key)
{
	size_t prefix = strlen(requests->options.prefix);

	put(text, requests->options.prefix, prefix);
	put_number(text, key, (unsigned)(requests->options.key_size - prefix));
}

static void put_bulk_header(struct zs_text *text, size_t size)
{
	put_literal(text, "$");
	put_number(text, size, 1);
	put_literal(text, "\r\n");
}

static void put_bulk_key(const struct zs_requests *requests, struct zs_text *text, uint64_t key)
{
	put_bulk_header(text, requests->options.key_size);
	put_key(requests, text, key);
	put_literal(text, "\r\n");
}

static void put_bulk(struct zs_text *text, const char *data, size_t size)
{
	put_bulk_header(text, size);
	put(text, data, size);
	put_literal(text, "\r\n");
}

static void put_bulk_number(struct zs_text *text, uint64_t number)
{
	put_bulk_header(text, decimal_digits(number));
	put_number(text, number, 1);
	put_literal(text, "\r\n");
}

static void put_array(struct zs_text *text, size_t count)
{
	put_literal(text, "*");
	put_number(text, count, 1);
	put_literal(text, "\r\n");
}

static uint64_t draw_key(struct zs_requests *requests)
{
	const struct zs_requests_options *o = &requests->options;
	uint64_t number = 0;

	switch (o->order) {
	case ZS_KEYS_UNIFORM:
		number = zs_random_below(&requests->random, o->keys);
		break;
	case ZS_KEYS_ZIPF:
		number = zs_zipf_draw(&requests->zipf, &requests->random) * requests->multiplier % o->keys;
		break;
	case ZS_KEYS_SEQUENTIAL:
		number = requests->next++ % o->keys;
		break;
	}
	return o->first + number;
}

static size_t value_size(const struct zs_requests *requests, uint64_t key)
{
	const struct zs_range *range = &requests->options.value_size;

	return range->low + zs_mix(key + 1) % (range->high - range->low + 1);
}

static const char *value_data(const struct zs_requests *requests, uint64_t key)
{
	return requests->values + (key * 64) % (VALUE_POOL - VALUE_MAX);
}

static void put_resp_set(const struct zs_requests *requests, struct zs_text *text, uint64_t key, const char *value,
			 size_t size, bool absent)
{
	const struct zs_requests_options *o = &requests->options;

	put_array(text, 3 + (absent ? 1 : 0) + (o->ttl || o->expire_at ? 2 : 0) + (o->group ? 2 : 0));
	put_literal(text, "$3\r\nSET\r\n");
	put_bulk_key(requests, text, key);
	put_bulk(text, value, size);
	if (absent)
		put_literal(text, "$2\r\nNX\r\n");
	if (o->expire_at) {
		put_literal(text, "$4\r\nEXAT\r\n");
		put_bulk_number(text, o->expire_at);
	} else if (o->ttl) {
		put_literal(text, "$2\r\nEX\r\n");
		put_bulk_number(text, o->ttl);
	}
	if (o->group) {
		put_literal(text, "$5\r\nGROUP\r\n");
		put_bulk(text, o->group, strlen(o->group));
	}
}

/* Returns how many replies will come. */
static unsigned put_resp_count(const struct zs_requests *requests, struct zs_text *text, uint64_t key)
{
	const struct zs_requests_options *o = &requests->options;

	if (o->group)
		put_resp_set(requests, text, key, "0", 1, true);
	put_literal(text, "*2\r\n$4\r\nINCR\r\n");
	put_bulk_key(requests, text, key);
	if (!o->group) {
		put_literal(text, o->expire_at ? "*4\r\n$8\r\nEXPIREAT\r\n" : "*4\r\n$6\r\nEXPIRE\r\n");
		put_bulk_key(requests, text, key);
		put_bulk_number(text, o->expire_at ? o->expire_at : o->ttl);
		put_literal(text, "$2\r\nNX\r\n");
	}
	return 2;
}

static unsigned put_resp(struct zs_requests *requests, struct zs_text *text, enum zs_request kind, uint64_t key)
{
	switch (kind) {
	case ZS_REQUEST_GET:
		put_literal(text, "*2\r\n$3\r\nGET\r\n");
		put_bulk_key(requests, text, key);
		return 1;
	case ZS_REQUEST_SET:
		put_resp_set(requests, text, key, value_data(requests, key), value_size(requests, key), false);
		return 1;
	case ZS_REQUEST_MGET:
		put_array(text, 1 + requests->options.fanout);
		put_literal(text, "$4\r\nMGET\r\n");
		put_bulk_key(requests, text, key);
		for (uint64_t i = 1; i < requests->options.fanout; i++)
			put_bulk_key(requests, text, draw_key(requests));
		return 1;
	case ZS_REQUEST_GETEX:
		put_literal(text, "*4\r\n$5\r\nGETEX\r\n");
		put_bulk_key(requests, text, key);
		put_literal(text, "$2\r\nEX\r\n");
		put_bulk_number(text, requests->options.ttl);
		return 1;
	case ZS_REQUEST_EXPIRE:
		put_literal(text, "*3\r\n$6\r\nEXPIRE\r\n");
		put_bulk_key(requests, text, key);
		put_bulk_number(text, requests->options.ttl);
		return 1;
	case ZS_REQUEST_INCR:
		put_literal(text, "*2\r\n$4\r\nINCR\r\n");
		put_bulk_key(requests, text, key);
		return 1;
	case ZS_REQUEST_COUNT:
		return put_resp_count(requests, text, key);
	case ZS_REQUEST_DEL:
		put_literal(text, "*2\r\n$3\r\nDEL\r\n");
		put_bulk_key(requests, text, key);
		return 1;
	case ZS_REQUEST_KINDS:
		break;
	}
	abort();
}

/* "<command> <key> <flags> <ttl> <size>", then the value. */
static void put_memcached_store(const struct zs_requests *requests, struct zs_text *text, const char *command,
				uint64_t key, const char *value, size_t size)
{
	put_literal(text, command);
	put_key(requests, text, key);
	put_literal(text, " 0 ");
	put_number(text, requests->options.ttl, 1);
	put_literal(text, " ");
	put_number(text, size, 1);
	put_literal(text, "\r\n");
	put(text, value, size);
	put_literal(text, "\r\n");
}

static unsigned put_memcached(struct zs_requests *requests, struct zs_text *text, enum zs_request kind, uint64_t key)
{
	switch (kind) {
	case ZS_REQUEST_GET:
	case ZS_REQUEST_MGET:
		put_literal(text, "get ");
		put_key(requests, text, key);
		for (uint64_t i = 1; kind == ZS_REQUEST_MGET && i < requests->options.fanout; i++) {
			put_literal(text, " ");
			put_key(requests, text, draw_key(requests));
		}
		break;
	case ZS_REQUEST_SET:
		put_memcached_store(requests, text, "set ", key, value_data(requests, key), value_size(requests, key));
		return 1;
	case ZS_REQUEST_GETEX:
		put_literal(text, "gat ");
		put_number(text, requests->options.ttl, 1);
		put_literal(text, " ");
		put_key(requests, text, key);
		break;
	case ZS_REQUEST_EXPIRE:
		put_literal(text, "touch ");
		put_key(requests, text, key);
		put_literal(text, " ");
		put_number(text, requests->options.ttl, 1);
		break;
	case ZS_REQUEST_COUNT:
		put_memcached_store(requests, text, "add ", key, "0", 1);
		put_literal(text, "incr ");
		put_key(requests, text, key);
		put_literal(text, " 1\r\n");
		return 2;
	case ZS_REQUEST_INCR:
		put_literal(text, "incr ");
		put_key(requests, text, key);
		put_literal(text, " 1");
		break;
	case ZS_REQUEST_DEL:
		put_literal(text, "delete ");
		put_key(requests, text, key);
		break;
	case ZS_REQUEST_KINDS:
		abort();
	}
	put_literal(text, "\r\n");
	return 1;
}

static enum zs_request draw_kind(struct zs_requests *requests)
{
	double u = zs_random_unit(&requests->random);
	unsigned kind = 0;

	while (requests->limits[kind] <= u)
		kind++;
	return (enum zs_request)kind;
}

static size_t request_room(const struct zs_requests_options *o)
{
	return REQUEST_ROOM + (o->fanout + 2) * (o->key_size + KEY_ROOM) + o->value_size.high +
	       (o->group ? strlen(o->group) : 0);
}

int zs_requests_build(struct zs_requests *requests, unsigned depth, struct zs_text *text, struct zs_batch *batch)
{
	size_t room = request_room(&requests->options);

	*batch = (struct zs_batch){ .offset = text->size, .operations = depth };
	for (unsigned i = 0; i < depth; i++) {
		enum zs_request kind = draw_kind(requests);
		uint64_t key = draw_key(requests);

		if (make_room(text, room))
			return ZS_ENOMEM;
		batch->replies += requests->options.protocol == ZS_RESP ? put_resp(requests, text, kind, key)
									: put_memcached(requests, text, kind, key);
		if (kind == ZS_REQUEST_SET)
			requests->payload += requests->options.key_size + value_size(requests, key);
		if (kind_reads[kind])
			batch->reads += kind == ZS_REQUEST_MGET ? (uint32_t)requests->options.fanout : 1;
	}
	batch->size = text->size - batch->offset;
	return ZS_OK;
}
