/*
 * Walks over all keys: SCAN, KEYS, RANDOMKEY.
 *
 * zs_scan may show a key twice when it moves meanwhile. SCAN passes that on, as Redis does; KEYS remembers
 * which keys it named (see key_set.h) and costs memory for that.
 *
 * Keys are copied into the reply as they are seen and no view is kept, so long walks quiesce between their
 * steps: they hold up no other thread's reuse of memory.
 */
#include <inttypes.h>
#include <stdio.h>

#include "server/commands/arguments.h"
#include "server/commands/glob.h"
#include "server/commands/handlers.h"
#include "server/commands/key_set.h"
#include "server/commands/numbers.h"
#include "server/engine/warm.h"

/* Objects of one step of a walk. */
#define STEP 128

struct scan {
	struct zs_reply *reply;
	const struct zs_argument *pattern; /* NULL: all keys */
	bool nothing;			   /* TYPE names a type that no object has */
	int64_t count;			   /* of objects to look at, whether they match or not */
	size_t matched;
};

static bool matches(const struct zs_argument *pattern, const void *key, size_t key_size)
{
	return !pattern || zs_glob_match(pattern->data, pattern->size, key, key_size);
}

static const struct zs_argument *pattern_or_all(const struct zs_argument *pattern)
{
	return zs_glob_is_all(pattern->data, pattern->size) ? NULL : pattern;
}

static void visit(void *context, const void *key, size_t key_size, const struct zs_view *view)
{
	struct scan *scan = context;

	(void)view;
	if (scan->nothing || !matches(scan->pattern, key, key_size))
		return;
	zs_reply_bulk(scan->reply, key, key_size);
	scan->matched++;
}

/* MATCH, COUNT and TYPE from argv[2]. False if the call was answered with an error. */
static bool parse_scan_options(struct zs_call *call, struct scan *scan)
{
	for (size_t i = 2; i < call->argc; i += 2) {
		const struct zs_argument *word = &call->argv[i];
		const struct zs_argument *operand = word + 1;

		if (i + 1 == call->argc) {
			zs_argument_syntax_error(call);
			return false;
		}
		if (zs_argument_is(word, "COUNT")) {
			if (!zs_argument_integer(call, operand, &scan->count))
				return false;
			if (scan->count < 1) {
				zs_argument_syntax_error(call);
				return false;
			}
		} else if (zs_argument_is(word, "MATCH")) {
			scan->pattern = pattern_or_all(operand);
		} else if (zs_argument_is(word, "TYPE")) {
			scan->nothing = !zs_argument_is(operand, "string");
		} else {
			zs_argument_syntax_error(call);
			return false;
		}
	}
	return true;
}

/*
 * Looks at about `count` objects. Returns the next cursor. If a step but the first needs something that is on flash,
 * the walk ends before it: a scan may show fewer objects than it was asked for.
 */
static uint64_t walk(struct zs_call *call, struct scan *scan, uint64_t cursor)
{
	uint64_t left = (uint64_t)scan->count;

	for (bool first = true;; first = false) {
		uint64_t step = left < STEP ? left : STEP;
		size_t used = scan->reply->used;
		size_t matched = scan->matched;
		uint64_t next = zs_scan(call->thread, cursor, step, visit, scan);

		if (!first && zs_thread_warm_wanted(call->thread)) {
			scan->reply->used = used;
			scan->matched = matched;
			return cursor;
		}
		cursor = next;
		left -= step;
		if (cursor == 0 || left == 0 || scan->reply->overflow)
			return cursor;
		zs_thread_quiesce(call->thread);
	}
}

int zs_handle_scan(struct zs_call *call)
{
	struct scan scan = { .reply = call->reply, .count = 10 };
	size_t start = call->reply->used;
	char header[40];
	uint64_t cursor;
	int size;

	if (!zs_unsigned_parse(call->argv[1].data, call->argv[1].size, &cursor)) {
		zs_reply_error(call->reply, "ERR invalid cursor");
		return ZS_OK;
	}
	if (!parse_scan_options(call, &scan))
		return ZS_OK;
	cursor = walk(call, &scan, cursor);

	/* What comes first in the reply is known last: the cursor and the number of keys. */
	zs_reply_array_at(call->reply, start, scan.matched);
	size = snprintf(header, sizeof(header), "*2\r\n$%u\r\n%" PRIu64 "\r\n", zs_digits(cursor), cursor);
	zs_reply_insert(call->reply, start, header, (size_t)size);
	return ZS_OK;
}

struct listing {
	struct zs_reply *reply;
	const struct zs_argument *pattern;
	struct zs_key_set named;
	bool failed;
};

static void list_key(void *context, const void *key, size_t key_size, const struct zs_view *view)
{
	struct listing *listing = context;
	bool added;

	(void)view;
	if (listing->failed || !matches(listing->pattern, key, key_size))
		return;
	if (zs_key_set_add(&listing->named, listing->reply, key, key_size, &added) != ZS_OK)
		listing->failed = true;
}

int zs_handle_keys(struct zs_call *call)
{
	struct listing listing = { .reply = call->reply, .pattern = pattern_or_all(&call->argv[1]) };
	size_t start = call->reply->used;
	uint64_t cursor = 0;

	zs_key_set_init(&listing.named, zs_clock_ns(zs_clock_system()));
	for (;;) {
		cursor = zs_scan(call->thread, cursor, STEP, list_key, &listing);
		if (cursor == 0 || listing.failed)
			break;
		zs_thread_quiesce(call->thread);
	}
	if (listing.failed && !call->reply->overflow) {
		call->reply->used = start;
		zs_reply_error(call->reply, "ERR not enough memory to list the keys; use SCAN");
	} else {
		zs_reply_array_at(call->reply, start, listing.named.used);
	}
	zs_key_set_free(&listing.named);
	return ZS_OK;
}

int zs_handle_randomkey(struct zs_call *call)
{
	uint8_t key[ZS_OBJECT_MAX];
	size_t size;

	if (zs_random_key(call->thread, key, &size) == ZS_OK)
		zs_reply_bulk(call->reply, key, size);
	else
		zs_reply_null(call->reply);
	return ZS_OK;
}
