#include "test/unit/bench/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "bench/random.h"
#include "bench/yardstick.h"

/* Looks up each letter, storing what is missed, and returns a string of 'h' and 'm'. */
static const char *replay(struct zs_yardstick *cache, const char *letters)
{
	static char answer[256];
	size_t i;

	for (i = 0; letters[i]; i++) {
		bool hit = zs_yardstick_get(cache, (uint64_t)letters[i], 0);

		if (!hit)
			zs_yardstick_set(cache, (uint64_t)letters[i], 0);
		answer[i] = hit ? 'h' : 'm';
	}
	answer[i] = '\0';
	return answer;
}

static struct zs_yardstick *make(enum zs_yardstick_policy policy, uint64_t capacity)
{
	struct zs_yardstick *cache = zs_yardstick_open(policy, capacity);

	assert_non_null(cache);
	return cache;
}

static void test_lru(void **state)
{
	struct zs_yardstick *cache = make(ZS_YARDSTICK_LRU, 3);

	(void)state;
	/* A is used again before D comes, so B leaves; then C. */
	assert_string_equal(replay(cache, "ABCADBC"), "mmmhmmm");
	assert_string_equal(replay(cache, "DBCAB"), "hhhmh");
	zs_yardstick_close(cache);
}

/*
 * The example of the paper's figure 2: A, B, G are visited; the hand stops at nothing but unvisited objects.
 */
static void test_sieve(void **state)
{
	struct zs_yardstick *cache = make(ZS_YARDSTICK_SIEVE, 4);

	(void)state;
	assert_string_equal(replay(cache, "ABCDAC"), "mmmmhh");
	/* E: the hand passes A (visited) and takes B; F: goes on from there, passes C and takes D. */
	assert_string_equal(replay(cache, "EF"), "mm");
	assert_string_equal(replay(cache, "ACEF"), "hhhh");
	/* All are visited, the hand is at E: it clears E and F, wraps, clears A and C, and takes E. */
	assert_string_equal(replay(cache, "GACFE"), "mhhhm");
	zs_yardstick_close(cache);
}

/* Unlike LRU, a hit moves nothing: the order of eviction among the unvisited is that of insertion. */
static void test_sieve_delete_at_hand(void **state)
{
	struct zs_yardstick *cache = make(ZS_YARDSTICK_SIEVE, 3);

	(void)state;
	replay(cache, "ABCA");
	replay(cache, "D"); /* takes B, the hand is at C */
	zs_yardstick_delete(cache, 'C');
	assert_int_equal(zs_yardstick_count(cache), 2);
	assert_string_equal(replay(cache, "EFAE"), "mmhh"); /* F takes D, where the hand went on to */
	assert_false(zs_yardstick_get(cache, 'D', 0));
	zs_yardstick_close(cache);
}

/* Capacity 10: small has a target of 1, main 9, ghost 9. */
static void test_s3fifo_quick_demotion(void **state)
{
	struct zs_yardstick *cache = make(ZS_YARDSTICK_S3FIFO, 10);

	(void)state;
	assert_string_equal(replay(cache, "ABCDEFGHIJ"), "mmmmmmmmmm");
	assert_string_equal(replay(cache, "AABBC"), "hhhhh");
	/* K: A and B were used twice and go to main; C was used once only and leaves. */
	assert_string_equal(replay(cache, "K"), "m");
	assert_true(zs_yardstick_get(cache, 'A', 0));
	assert_true(zs_yardstick_get(cache, 'B', 0));
	assert_false(zs_yardstick_get(cache, 'C', 0));
	/* C is in the ghost: it comes back into main, at the cost of D, and survives a scan. */
	assert_string_equal(replay(cache, "C"), "m");
	assert_false(zs_yardstick_get(cache, 'D', 0));
	assert_string_equal(replay(cache, "0123456789"), "mmmmmmmmmm");
	assert_string_equal(replay(cache, "ABC"), "hhh");
	assert_int_equal(zs_yardstick_count(cache), 10);
	zs_yardstick_close(cache);
}

/* Main is a FIFO in which each use buys one more round. */
static void test_s3fifo_main(void **state)
{
	struct zs_yardstick *cache = make(ZS_YARDSTICK_S3FIFO, 2);

	(void)state;
	/* Small has a target of 1, so the ghost remembers one key. */
	replay(cache, "ABC"); /* A leaves into the ghost */
	replay(cache, "A");   /* B leaves; A comes to main; C is in small */
	assert_true(zs_yardstick_get(cache, 'C', 0));
	assert_true(zs_yardstick_get(cache, 'A', 0));
	zs_yardstick_delete(cache, 'C');
	/* Nothing in small: D fits. Then E pushes D, unused, out; A stays. */
	assert_string_equal(replay(cache, "DEA"), "mmh");
	assert_false(zs_yardstick_get(cache, 'D', 0));
	zs_yardstick_close(cache);
}

static void test_deadlines(void **state)
{
	(void)state;
	for (int policy = 0; policy < ZS_YARDSTICK_POLICIES; policy++) {
		struct zs_yardstick *cache = make((enum zs_yardstick_policy)policy, 4);

		zs_yardstick_set(cache, 1, 100);
		zs_yardstick_set(cache, 2, 0);
		assert_true(zs_yardstick_get(cache, 1, 99));
		assert_false(zs_yardstick_get(cache, 1, 100));
		assert_int_equal(zs_yardstick_count(cache), 1);
		assert_true(zs_yardstick_get(cache, 2, UINT64_MAX));
		zs_yardstick_set(cache, 2, 50);
		assert_false(zs_yardstick_get(cache, 2, 50));
		zs_yardstick_close(cache);
	}
}

/* A slow LRU of a few lines, to compare with over many random operations. */
struct slow_lru {
	uint64_t keys[16]; /* the latest first */
	unsigned count;
};

static bool slow_use(struct slow_lru *lru, uint64_t key, bool insert)
{
	unsigned i = 0;
	bool found;

	while (i < lru->count && lru->keys[i] != key)
		i++;
	found = i < lru->count;
	if (!found && !insert)
		return false;
	if (!found && lru->count < 16)
		lru->count++;
	if (!found)
		i = lru->count - 1;
	memmove(&lru->keys[1], &lru->keys[0], i * sizeof(lru->keys[0]));
	lru->keys[0] = key;
	return found;
}

static void slow_delete(struct slow_lru *lru, uint64_t key)
{
	for (unsigned i = 0; i < lru->count; i++) {
		if (lru->keys[i] == key) {
			memmove(&lru->keys[i], &lru->keys[i + 1], (lru->count - i - 1) * sizeof(lru->keys[0]));
			lru->count--;
			return;
		}
	}
}

static void test_lru_against_model(void **state)
{
	struct zs_yardstick *cache = make(ZS_YARDSTICK_LRU, 16);
	struct zs_random random = { 11 };
	struct slow_lru lru = { 0 };

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t key = zs_random_below(&random, 30);

		switch (zs_random_below(&random, 8)) {
		case 0:
			zs_yardstick_delete(cache, key);
			slow_delete(&lru, key);
			break;
		case 1:
		case 2:
		case 3:
			zs_yardstick_set(cache, key, 0);
			slow_use(&lru, key, true);
			break;
		default:
			assert_int_equal(zs_yardstick_get(cache, key, 0), slow_use(&lru, key, false));
		}
		assert_int_equal(zs_yardstick_count(cache), lru.count);
	}
	zs_yardstick_close(cache);
}

/* Any policy, any mixture: the capacity holds, and what was just stored is found. */
static void test_capacity_holds(void **state)
{
	(void)state;
	for (int policy = 0; policy < ZS_YARDSTICK_POLICIES; policy++) {
		for (uint64_t capacity = 1; capacity <= 40; capacity += 3) {
			struct zs_yardstick *cache = make((enum zs_yardstick_policy)policy, capacity);
			struct zs_random random = { capacity };

			for (unsigned i = 0; i < 20000; i++) {
				uint64_t key = zs_random_below(&random, 60);

				if (zs_random_below(&random, 10) == 0) {
					zs_yardstick_delete(cache, key);
					assert_false(zs_yardstick_get(cache, key, 0));
				} else {
					zs_yardstick_set(cache, key, 0);
					assert_true(zs_yardstick_get(cache, key, 0));
				}
				assert_true(zs_yardstick_count(cache) <= capacity);
			}
			zs_yardstick_close(cache);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lru),
		cmocka_unit_test(test_sieve),
		cmocka_unit_test(test_sieve_delete_at_hand),
		cmocka_unit_test(test_s3fifo_quick_demotion),
		cmocka_unit_test(test_s3fifo_main),
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_lru_against_model),
		cmocka_unit_test(test_capacity_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
