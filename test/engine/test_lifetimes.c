/*
 * Hours of a virtual clock: what lifetimes cost in memory, that they give it back, that no step of upkeep is
 * long, and what the eviction policies keep.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test/engine/support.h"

#define MINUTE UINT64_C(60000)
#define HOUR (60 * MINUTE)

/*
 * Steps that may be slow in a whole test. A step that is long by its own making comes back with the load, some hundred
 * times; a virtual machine that is stopped for a moment within one does not.
 */
enum { SLOW_STEPS = 3 };

struct load {
	struct zs_fixture *f;
	uint64_t random;
};

static void begin(struct load *load, uint64_t memory, enum zs_policy policy)
{
	load->f = zs_fixture_open(memory, policy);
	load->random = 11;
}

static void end(struct load *load, const char *what)
{
	struct zs_stats s;

	zs_engine_stats(load->f->engine, &s);
	print_message("  %s: longest step of upkeep %" PRIu64 " us, %" PRIu64 " slow\n", what, s.upkeep_longest_us,
		      s.upkeep_slow);
	if (s.upkeep_slow > SLOW_STEPS)
		fail_msg("%" PRIu64 " slow steps of upkeep, the longest of %" PRIu64 " us", s.upkeep_slow,
			 s.upkeep_longest_us);
	zs_fixture_close(load->f);
}

/* Objects of a 16 byte key and a value of 128, unless said otherwise. */
static void store(struct load *load, const char *prefix, unsigned n, size_t value_size, uint64_t ttl, const char *group)
{
	static const uint8_t value[512] = { 1, 2, 3 };
	char key[32];
	struct zs_set set = {
		.key = key,
		.key_size = (size_t)snprintf(key, sizeof(key), "%s%0*u", prefix, 16 - (int)strlen(prefix), n),
		.value = value,
		.value_size = value_size,
		.deadline = ttl ? zs_thread_now(load->f->thread) + ttl : 0,
		.flags = group ? ZS_SET_GROUP : 0,
		.group = group,
		.group_size = group ? strlen(group) : 0,
	};
	int result = zs_test_set(load->f->thread, &set, NULL);

	if (result)
		fail_msg("storing %s: %s", key, zs_error_name(result));
}

static bool is_there(struct load *load, const char *prefix, unsigned n, unsigned flags)
{
	char key[32];
	struct zs_view view;
	int size = snprintf(key, sizeof(key), "%s%0*u", prefix, 16 - (int)strlen(prefix), n);

	return zs_get(load->f->thread, key, (size_t)size, flags, &view) == ZS_OK;
}

/* What the arena spends on each live object beyond its own bytes, the room of dead ones included. */
static double overhead(struct load *load, struct zs_stats *s)
{
	zs_engine_stats(load->f->engine, s);
	zs_test_expect_sums(s);
	return s->objects
		   ? ((double)(s->slab_bytes + s->quarantine_bytes) - (double)s->payload_bytes) / (double)s->objects
		   : 0;
}

static void tick(struct load *load, uint64_t ms)
{
	zs_fixture_advance(load->f, ms);
	zs_fixture_settle(load->f);
}

/* Filled once, with one lifetime: slab headers and open slabs only. */
static void a_plain_fill_wastes_little(void **state)
{
	struct load load;
	struct zs_stats s;
	double bytes;

	(void)state;
	begin(&load, 64u << 20, ZS_POLICY_S3FIFO);
	for (unsigned i = 0; i < 300000; i++) {
		store(&load, "plain", i, 128, HOUR, NULL);
		if (i % 32 == 0)
			zs_thread_quiesce(load.f->thread);
	}
	tick(&load, 1000);
	bytes = overhead(&load, &s);
	print_message("  plain fill: %.2f bytes of slab per object beyond 144\n", bytes);
	assert_int_equal(s.objects, 300000);
	if (bytes > 3.5)
		fail_msg("%.2f bytes of slab per object beyond key and value, at most 3.5 are expected", bytes);
	end(&load, "plain fill");
}

/* Tokens of many lifetimes come and go for six hours: memory follows the live ones. */
static void ttl_churn_does_not_fragment(void **state)
{
	static const uint64_t ttls[] = { 2 * MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR };
	struct load load;
	struct zs_stats s;
	unsigned made = 0;
	double worst = 0;

	(void)state;
	begin(&load, 128u << 20, ZS_POLICY_S3FIFO);
	for (unsigned minute = 0; minute < 360; minute++) {
		for (unsigned i = 0; i < 2000; i++) {
			store(&load, "token", made++, 128, ttls[zs_test_below(&load.random, 5)], NULL);
			if (i % 32 == 0)
				zs_thread_quiesce(load.f->thread);
		}
		tick(&load, MINUTE);
		if (minute > 60) {
			double bytes = overhead(&load, &s);

			worst = bytes > worst ? bytes : worst;
		}
	}
	print_message("  ttl churn: at worst %.2f bytes of slab per counted object beyond 144, %" PRIu64
		      " objects, %" PRIu64 " slabs reset whole\n",
		      worst, s.objects, s.expired_slabs);
	assert_int_equal(s.evicted_objects, 0);
	assert_true(s.expired_slabs > 0);
	/* 42,800 tokens live at the end of a minute; windows keep some dead ones a little longer. */
	assert_in_range(s.objects, 42000, 56000);
	if (worst > 25)
		fail_msg("%.2f bytes of slab per object beyond key and value, at most 25 are expected", worst);
	/* An hour after the last one all is free again, and nobody had to look for it. */
	tick(&load, HOUR + 10 * MINUTE);
	overhead(&load, &s);
	assert_int_equal(s.objects, 0);
	assert_int_equal(s.objects_with_deadline, 0);
	if (s.slabs > 256)
		fail_msg("no object is left, but %" PRIu64 " slabs are held", s.slabs);
	end(&load, "ttl churn");
}

/*
 * Sessions of an hour, touched at random about every ten minutes, with some logging out and new ones coming.
 */
static void sliding_sessions_stay_compact(void **state)
{
	enum { SESSIONS = 40000 };
	struct load load;
	struct zs_stats s;
	char key[32];
	uint64_t moved;
	double bytes;

	(void)state;
	begin(&load, 64u << 20, ZS_POLICY_S3FIFO);
	for (unsigned i = 0; i < SESSIONS; i++) {
		store(&load, "session", i, 128, HOUR, NULL);
		if (i % 32 == 0)
			zs_thread_quiesce(load.f->thread);
	}
	for (unsigned minute = 0; minute < 300; minute++) {
		uint64_t deadline = zs_thread_now(load.f->thread) + HOUR;

		for (unsigned i = minute % 10; i < SESSIONS; i += 10) {
			unsigned tries = 0;
			int result, size = snprintf(key, sizeof(key), "session%09u", i);

			do {
				result = zs_expire(load.f->thread, key, (size_t)size, deadline, 0, NULL);
			} while (zs_test_again(load.f->thread, result, &tries));
			if (result)
				fail_msg("minute %u: %s touched every ten minutes: %s", minute, key,
					 zs_error_name(result));
			if (i % 32 == 0)
				zs_thread_quiesce(load.f->thread);
			if (zs_test_below(&load.random, 100) == 0)
				store(&load, "session", i, 128, HOUR, NULL); /* logged out and in again */
		}
		tick(&load, MINUTE);
	}
	bytes = overhead(&load, &s);
	moved = s.moved_lifetime + s.moved_merge;
	print_message("  sliding sessions: %.2f bytes of slab per object beyond 144, %.3f moves per refresh\n", bytes,
		      (double)moved / (300.0 * SESSIONS / 10));
	assert_int_equal(s.objects, SESSIONS);
	assert_int_equal(s.evicted_objects, 0);
	if (bytes > 12)
		fail_msg("%.2f bytes of slab per session beyond key and value, at most 12 are expected", bytes);
	if (moved > 300ull * SESSIONS / 10 / 2)
		fail_msg("%" PRIu64 " moves for %d refreshes: a refresh must not move the object", moved,
			 300 * SESSIONS / 10);
	tick(&load, HOUR + MINUTE);
	tick(&load, HOUR);
	overhead(&load, &s);
	assert_int_equal(s.objects, 0);
	end(&load, "sliding sessions");
}

/* Rate limits: every minute has its group of counters, which is dropped when the minute after it is over. */
static void windows_of_groups_are_reused(void **state)
{
	struct load load;
	struct zs_stats s;
	uint64_t slabs_early = 0;
	char group[24], key[32];

	(void)state;
	begin(&load, 32u << 20, ZS_POLICY_NOEVICTION);
	for (unsigned minute = 0; minute < 240; minute++) {
		snprintf(group, sizeof(group), "minute:%u", minute);
		for (unsigned i = 0; i < 4000; i++) {
			int64_t n;
			int size;

			store(&load, "m", minute % 2 * 100000 + i, 1 + i % 40, 0, group);
			size = snprintf(key, sizeof(key), "limit:%u:%u", minute, i % 500);
			if (i < 500) {
				struct zs_set set = { .key = key,
						      .key_size = (size_t)size,
						      .value = "0",
						      .value_size = 1,
						      .flags = ZS_SET_GROUP,
						      .group = group,
						      .group_size = strlen(group) };

				assert_int_equal(zs_test_set(load.f->thread, &set, NULL), ZS_OK);
			}
			assert_int_equal(zs_increment(load.f->thread, key, (size_t)size, 1, &n), ZS_OK);
			assert_int_equal(n, i / 500 + 1);
			if (i % 32 == 0)
				zs_thread_quiesce(load.f->thread);
		}
		if (minute) {
			uint64_t dropped;

			snprintf(group, sizeof(group), "minute:%u", minute - 1);
			assert_int_equal(zs_drop(load.f->thread, group, strlen(group), &dropped), ZS_OK);
			assert_int_equal(dropped, 4500);
		}
		tick(&load, MINUTE);
		overhead(&load, &s);
		assert_int_equal(s.objects, 4500);
		assert_int_equal(s.groups, 1);
		if (minute == 20)
			slabs_early = s.slabs;
	}
	print_message("  group windows: %" PRIu64 " slabs after 20 minutes, %" PRIu64 " after 240\n", slabs_early,
		      s.slabs);
	assert_true(s.slabs <= slabs_early + slabs_early / 4 + 16);
	end(&load, "group windows");
}

/*
 * Many lifetimes with few objects each must not hold a slab each for ever: when memory is short they are merged, and
 * 20,000 objects of 80 bytes find room in 4 MB although each has a lifetime of its own, from a minute to weeks.
 */
static void sparse_lifetimes_share(void **state)
{
	enum { OBJECTS = 20000 };
	struct load load;
	struct zs_stats s;
	double bytes;

	(void)state;
	begin(&load, ZS_MEMORY_MIN, ZS_POLICY_NOEVICTION);
	for (unsigned i = 0; i < OBJECTS; i++) {
		store(&load, "sparse", i, 64, HOUR + zs_test_below(&load.random, 1ull << (17 + i % 14)), NULL);
		if (i % 20 == 0)
			tick(&load, 7);
	}
	bytes = overhead(&load, &s);
	print_message("  sparse lifetimes: %.2f bytes of slab per object beyond 80, %" PRIu64 " of %" PRIu64
		      " slabs open\n",
		      bytes, s.open_slabs, s.slabs);
	assert_int_equal(s.objects, OBJECTS);
	end(&load, "sparse lifetimes");
}

/* Writes objects of this size until one is refused; upkeep as often as a busy node does it. Returns how many. */
static unsigned fill_up(struct load *load, const char *prefix, size_t value_size)
{
	char key[32];
	uint8_t value[512] = { 0 };
	struct zs_set set = { .key = key, .value = value, .value_size = value_size };

	for (unsigned i = 0;; i++) {
		int result;

		set.key_size = (size_t)snprintf(key, sizeof(key), "%s%0*u", prefix, 16 - (int)strlen(prefix), i);
		result = zs_test_set(load->f->thread, &set, NULL);
		if (result == ZS_EFULL)
			return i;
		if (result)
			fail_msg("storing %s: %s", key, zs_error_name(result));
		if (i % 32 == 0)
			zs_thread_upkeep(load->f->thread, 50);
	}
}

/* A full node is thinned out to a quarter, slab by slab; merging finds the room for objects of another size. */
static void merging_gives_room_back(void **state)
{
	struct load load;
	struct zs_stats s;
	char key[32];
	unsigned first, second;

	(void)state;
	begin(&load, 32u << 20, ZS_POLICY_NOEVICTION);
	first = fill_up(&load, "merge", 128);
	assert_in_range(first, 200000, 225000);
	for (unsigned i = 0; i < first; i++) {
		int size = snprintf(key, sizeof(key), "merge%011u", i);

		if (i % 4)
			assert_int_equal(zs_delete(load.f->thread, key, (size_t)size, NULL), ZS_OK);
		if (i % 32 == 0)
			zs_thread_upkeep(load.f->thread, 50);
	}
	second = fill_up(&load, "other", 400);
	overhead(&load, &s);
	print_message("  merging: %u objects of 144 bytes, a quarter kept, then %u of 416; %" PRIu64 " moved\n", first,
		      second, s.moved_merge);
	/* Three quarters of the room are 50,000 objects of 416 bytes and more; some of it stays between the others. */
	if (second < 38000)
		fail_msg("only %u objects of 416 bytes found the room of %u of 144", second, first / 4 * 3);
	assert_int_equal(s.objects, (first + 3) / 4 + second);
	for (unsigned i = 0; i < first; i++) {
		if (is_there(&load, "merge", i, ZS_READ_PEEK) != (i % 4 == 0))
			fail_msg("object %u is %s after merging", i, i % 4 ? "back" : "gone");
	}
	end(&load, "merging");
}

/*
 * Slabs of many shapes are thinned out to a quarter, and remembered for new objects of their shapes; then come objects
 * of another one. Their room is found by merging, not by evicting what lives.
 */
static void merging_comes_before_eviction(void **state)
{
	enum { SHAPES = 20, EACH = 5500, OTHERS = 50000 };
	struct load load;
	struct zs_stats s;
	char prefix[16];
	char key[32];

	(void)state;
	begin(&load, 32u << 20, ZS_POLICY_S3FIFO);
	for (unsigned i = 0; i < SHAPES * EACH; i++) {
		snprintf(prefix, sizeof(prefix), "shape%02u-", i / EACH);
		store(&load, prefix, i % EACH, 100 + i / EACH * 10, 0, NULL);
		if (i % 32 == 0)
			zs_thread_upkeep(load.f->thread, 50);
	}
	for (unsigned i = 0; i < SHAPES * EACH; i++) {
		int size = snprintf(key, sizeof(key), "shape%02u-%08u", i / EACH, i % EACH);

		if (i % 4)
			assert_int_equal(zs_delete(load.f->thread, key, (size_t)size, NULL), ZS_OK);
		if (i % 32 == 0)
			zs_thread_upkeep(load.f->thread, 50);
	}
	for (unsigned i = 0; i < OTHERS; i++) {
		store(&load, "other", i, 400, 0, NULL);
		if (i % 32 == 0)
			zs_thread_upkeep(load.f->thread, 50);
	}
	overhead(&load, &s);
	print_message("  merging: %" PRIu64 " objects live in %" PRIu64 " slabs, %" PRIu64 " moved\n", s.objects,
		      s.slabs, s.moved_merge);
	assert_int_equal(s.evicted_objects, 0);
	assert_int_equal(s.objects, SHAPES * EACH / 4 + OTHERS);
	end(&load, "merging before eviction");
}

/*
 * A tenth of the objects is read again and again, and stored again after a miss, while four times the memory streams
 * by once. Returns how many of the last reads were hits, in percent.
 */
static unsigned hot_hits(enum zs_policy policy)
{
	enum { HOT = 4000, STREAM = 200000 };
	struct load load;
	unsigned hits = 0;
	struct zs_stats s;

	begin(&load, 8u << 20, policy);
	for (unsigned i = 0; i < STREAM; i++) {
		unsigned hot = (unsigned)zs_test_below(&load.random, HOT);
		bool hit = is_there(&load, "hot", hot, 0);

		store(&load, "stream", i, 128, 0, NULL);
		if (!hit)
			store(&load, "hot", hot, 128, 0, NULL);
		hits += hit && i >= STREAM / 2;
		if (i % 32 == 0)
			zs_thread_upkeep(load.f->thread, 50);
	}
	overhead(&load, &s);
	assert_true(s.evicted_objects > STREAM / 2);
	assert_true(s.objects > 40000);
	end(&load, "hot objects beside a stream");
	return hits * 100 / (STREAM / 2);
}

/* What nobody reads makes way, in the order of its age as far as slabs allow. */
static void the_oldest_unused_go(void **state)
{
	enum { OBJECTS = 200000 };

	(void)state;
	for (int policy = ZS_POLICY_S3FIFO; policy <= ZS_POLICY_LFU; policy++) {
		struct load load;
		unsigned old = 0, young = 0;

		begin(&load, 8u << 20, (enum zs_policy)policy);
		for (unsigned i = 0; i < OBJECTS; i++) {
			store(&load, "stream", i, 128, 0, NULL);
			if (i % 32 == 0)
				zs_thread_upkeep(load.f->thread, 50);
		}
		for (unsigned i = 0; i < 10000; i++) {
			old += is_there(&load, "stream", i, ZS_READ_PEEK);
			young += is_there(&load, "stream", OBJECTS - 1 - i, ZS_READ_PEEK);
		}
		if (old > 1000)
			fail_msg("policy %d: %u of the 10000 oldest objects are left, and 200000 came", policy, old);
		if (young < 9900)
			fail_msg("policy %d: only %u of the 10000 youngest objects are left", policy, young);
		end(&load, "a stream");
	}
}

static void eviction_keeps_what_is_used(void **state)
{
	static const char *const names[] = { "s3fifo", "lru", "lfu" };

	(void)state;
	for (int policy = ZS_POLICY_S3FIFO; policy <= ZS_POLICY_LFU; policy++) {
		unsigned hits = hot_hits((enum zs_policy)policy);

		print_message("  %s: %u %% of the reads of hot objects are hits\n", names[policy], hits);
		if (hits < 98)
			fail_msg("%s: %u %% of the reads of hot objects are hits, 98 are expected", names[policy],
				 hits);
	}
}

/* Under pressure the expired go first: nothing that lives is evicted while dead room can be had. */
static void expired_memory_goes_first(void **state)
{
	struct load load;
	struct zs_stats s;

	(void)state;
	begin(&load, 16u << 20, ZS_POLICY_S3FIFO);
	for (unsigned i = 0; i < 30000; i++) {
		store(&load, "keep", i, 128, 0, NULL);
		if (i % 32 == 0)
			zs_thread_upkeep(load.f->thread, 50);
	}
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 30000; i++) {
			store(&load, "brief", round * 30000 + i, 128, MINUTE, NULL);
			if (i % 32 == 0)
				zs_thread_upkeep(load.f->thread, 50);
		}
		zs_fixture_advance(load.f, 2 * MINUTE);
	}
	overhead(&load, &s);
	assert_int_equal(s.evicted_objects, 0);
	assert_true(s.expired_objects >= UINT64_C(19) * 30000);
	for (unsigned i = 0; i < 30000; i++) {
		if (!is_there(&load, "keep", i, ZS_READ_PEEK))
			fail_msg("object %u is gone", i);
	}
	end(&load, "expired first");
}

/* A node without a lull: writes, expiry, eviction and growth at once, upkeep with small budgets. No step is
 * long. */
static void no_step_is_long_under_load(void **state)
{
	struct load load;
	struct zs_stats s;

	(void)state;
	begin(&load, 32u << 20, ZS_POLICY_S3FIFO);
	for (unsigned i = 0; i < 600000; i++) {
		store(&load, "load", i, 32 + zs_test_below(&load.random, 300),
		      i % 3 ? 1000 + zs_test_below(&load.random, 10 * MINUTE) : 0, NULL);
		is_there(&load, "load", i - (unsigned)zs_test_below(&load.random, i % 50000 + 1), 0);
		if (i % 64 == 0) {
			zs_test_clock_advance(&load.f->clock, 10);
			zs_thread_upkeep(load.f->thread, 50);
		}
	}
	overhead(&load, &s);
	assert_true(s.evicted_objects > 0);
	assert_true(s.expired_objects > 0);
	assert_true(s.index_resizes > 0);
	print_message("  load: %" PRIu64 " evicted, %" PRIu64 " expired, %" PRIu64 " resizes, %" PRIu64 " displaced\n",
		      s.evicted_objects, s.expired_objects, s.index_resizes, s.displaced);
	end(&load, "load");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_fill_wastes_little),	 cmocka_unit_test(ttl_churn_does_not_fragment),
		cmocka_unit_test(sliding_sessions_stay_compact), cmocka_unit_test(windows_of_groups_are_reused),
		cmocka_unit_test(sparse_lifetimes_share),	 cmocka_unit_test(merging_gives_room_back),
		cmocka_unit_test(merging_comes_before_eviction), cmocka_unit_test(the_oldest_unused_go),
		cmocka_unit_test(eviction_keeps_what_is_used),	 cmocka_unit_test(expired_memory_goes_first),
		cmocka_unit_test(no_step_is_long_under_load),
	};

	return cmocka_run_group_tests_name("lifetimes", tests, NULL, NULL);
}
