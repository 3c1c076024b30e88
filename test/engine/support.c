#include "test/engine/support.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/atomic.h"

/* How much slower sanitizers make the engine, roughly: so that a budget of time is the same budget of work. */
#if defined(ZS_THREAD_SANITIZER)
#define SLOWDOWN 20
#elif defined(__SANITIZE_ADDRESS__)
#define SLOWDOWN 5
#else
#define SLOWDOWN 1
#endif

/*
 * Durations are those of the thread's own work: upkeep measures its steps with them, and a step is not long because
 * another process had the core.
 */
static uint64_t work_ns(void *context)
{
	struct timespec t;

	(void)context;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return ((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec) / SLOWDOWN;
}

/* Repetitions of a call that answers ZS_EAGAIN, and after how many of them each waits a millisecond. */
enum { MOST_TRIES = 10000, PATIENCE = 100 };

static uint64_t clock_ms(void *context)
{
	struct zs_test_clock *clock = context;

	return atomic_load(&clock->ms);
}

static uint64_t clock_ns(void *context)
{
	(void)context;
	return zs_clock_ns(zs_clock_system());
}

void zs_test_clock_init(struct zs_test_clock *clock)
{
	clock->clock = (struct zs_clock){ clock_ms, clock_ns, clock };
	atomic_init(&clock->ms, ZS_TEST_EPOCH_MS);
}

void zs_test_clock_advance(struct zs_test_clock *clock, uint64_t ms)
{
	atomic_fetch_add(&clock->ms, ms);
}

struct zs_fixture *zs_fixture_open(uint64_t memory, enum zs_policy policy)
{
	struct zs_fixture *fixture = calloc(1, sizeof(*fixture));
	struct zs_engine_options options;
	char why[256] = "";

	assert_non_null(fixture);
	zs_test_clock_init(&fixture->clock);
	fixture->clock.clock.now_ns = work_ns;
	zs_engine_options_init(&options);
	options.memory = memory;
	options.policy = policy;
	options.clock = &fixture->clock.clock;
	options.seed = 0x5eed;
	options.huge_pages = false;
	if (zs_engine_open(&options, &fixture->engine, why, sizeof(why)))
		fail_msg("cannot open an engine of %" PRIu64 " bytes: %s", memory, why);
	fixture->thread = zs_thread_attach(fixture->engine);
	assert_non_null(fixture->thread);
	return fixture;
}

void zs_fixture_close(struct zs_fixture *fixture)
{
	zs_thread_detach(fixture->thread);
	zs_engine_close(fixture->engine);
	free(fixture);
}

void zs_fixture_advance(struct zs_fixture *fixture, uint64_t ms)
{
	zs_test_clock_advance(&fixture->clock, ms);
	zs_thread_quiesce(fixture->thread);
}

void zs_fixture_settle(struct zs_fixture *fixture)
{
	for (unsigned i = 0; i < 1000000; i++) {
		if (!zs_thread_upkeep(fixture->thread, 1000))
			return;
	}
	fail_msg("upkeep says after 1000000 calls that there is still more to do");
}

bool zs_test_again(struct zs_thread *thread, int result, unsigned *tries)
{
	if (result != ZS_EAGAIN || ++*tries > MOST_TRIES)
		return false;
	zs_thread_upkeep(thread, 100);
	/* Another thread may have lost its core while it held views: give it time to come back. */
	if (*tries > PATIENCE)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	return true;
}

int zs_test_set(struct zs_thread *thread, const struct zs_set *set, struct zs_previous *previous)
{
	unsigned tries = 0;
	int result;

	do {
		result = zs_set(thread, set, previous);
	} while (zs_test_again(thread, result, &tries));
	return result;
}

int zs_test_put(struct zs_thread *thread, const char *key, const char *value, uint64_t deadline)
{
	struct zs_set set = {
		.key = key,
		.key_size = strlen(key),
		.value = value,
		.value_size = strlen(value),
		.deadline = deadline,
	};

	return zs_test_set(thread, &set, NULL);
}

const uint8_t *zs_test_bytes(const struct zs_view *view, char *buffer, size_t *size)
{
	if (view->type == ZS_NUMBER) {
		*size = (size_t)snprintf(buffer, 24, "%" PRId64, view->number);
		return (const uint8_t *)buffer;
	}
	*size = view->size;
	return view->data;
}

void zs_test_expect(struct zs_thread *thread, const char *key, const char *value)
{
	struct zs_view view;
	char buffer[24];
	size_t size;
	const uint8_t *bytes;
	int result = zs_get(thread, key, strlen(key), ZS_READ_PEEK, &view);

	if (result)
		fail_msg("key \"%s\": %s instead of \"%s\"", key, zs_error_name(result), value);
	bytes = zs_test_bytes(&view, buffer, &size);
	if (size != strlen(value) || (size && memcmp(bytes, value, size) != 0))
		fail_msg("key \"%s\": \"%.*s\" instead of \"%s\"", key, (int)size, (const char *)bytes, value);
}

void zs_test_expect_absent(struct zs_thread *thread, const char *key)
{
	struct zs_view view;
	int result = zs_get(thread, key, strlen(key), ZS_READ_PEEK, &view);

	if (result != ZS_ENOTFOUND)
		fail_msg("key \"%s\": %s, but it must not be there", key, zs_error_name(result));
}

void zs_test_expect_deadline(uint64_t now, uint64_t asked, uint64_t stored)
{
	if (stored > asked || (asked - stored) * 100 > asked - now)
		fail_msg("asked for %" PRIu64 " ms, stored is %" PRId64 " ms after that (1 %% early at most)",
			 asked - now, (int64_t)(stored - asked));
}

void zs_test_expect_sums(const struct zs_stats *stats)
{
	uint64_t sum = stats->superblock_bytes + stats->index_bytes + stats->slab_bytes + stats->quarantine_bytes +
		       stats->free_bytes;

	if (sum != stats->arena_bytes)
		fail_msg("superblock %" PRIu64 " + index %" PRIu64 " + slabs %" PRIu64 " + quarantine %" PRIu64
			 " + free %" PRIu64 " = %" PRIu64 ", but the arena has %" PRIu64,
			 stats->superblock_bytes, stats->index_bytes, stats->slab_bytes, stats->quarantine_bytes,
			 stats->free_bytes, sum, stats->arena_bytes);
}
