/*
 * The warm store with an engine: nothing that was overwritten, deleted, dropped or flushed is ever found again, however
 * the process or the host ends, and whatever the device does.
 *
 *   tier_store [ROUNDS [SEED]]   rounds of being killed, and as many power cuts
 *
 * A power cut is a kill after which each page of the journal and of the groups' file is, at random, what it was or what
 * was last written to the disk; and zones have lost random suffixes and blocks. What was written to the disk is known
 * because calls of msync and fdatasync go through wrappers here.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/random.h"
#include "test/tier/cache.h"

#define PAGE 4096u
#define FOLDER_FILES 24u

static uint64_t rounds = 4;
static uint64_t seed = 1;

/* ---- what is on the disk ---- */

#define MAPPINGS 4u
#define SHADOW_SIZE (32u << 20)

/* A file that is mapped, and what of it was written to the disk. Shared with children. */
struct shadow {
	char path[128];
	uint8_t *map; /* in the child */
	size_t size;
	int file;
	uint8_t *on_disk; /* SHADOW_SIZE bytes, shared */
};

static struct shadow shadows[MAPPINGS];

int __real_msync(void *address, size_t size, int flags);
int __real_fdatasync(int file);
void *__real_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset);
int __wrap_msync(void *address, size_t size, int flags);
int __wrap_fdatasync(int file);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset);

static size_t size_of_file(int file)
{
	struct stat status;

	return fstat(file, &status) == 0 ? (size_t)status.st_size : 0;
}

static void *map_shared(size_t size)
{
	void *map = __real_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(map != MAP_FAILED);
	return map;
}

/* The two files of a tier that are mapped, each with a shadow of its own. */
static struct shadow *shadow_of(int file)
{
	char link[64];
	char path[128] = "";
	ssize_t size;
	const char *name;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
	size = readlink(link, path, sizeof(path) - 1);
	path[size > 0 ? size : 0] = 0;
	name = strrchr(path, '/');
	if (!name)
		return NULL;
	return strcmp(name, "/journal") == 0 ? &shadows[0] : strcmp(name, "/groups") == 0 ? &shadows[1] : NULL;
}

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
	void *map = __real_mmap(address, size, protection, flags, file, offset);
	struct shadow *s = file >= 0 && flags & MAP_SHARED ? shadow_of(file) : NULL;

	if (s && s->on_disk && map != MAP_FAILED) {
		s->map = map;
		s->size = size;
		s->file = file;
	}
	return map;
}

/* As a disk does it: while others write to the same pages. */
__attribute__((no_sanitize("thread"))) static void keep(struct shadow *s, size_t from, size_t size)
{
	volatile uint64_t *to = (volatile uint64_t *)(void *)s->on_disk;
	const volatile uint64_t *map = (const volatile uint64_t *)(void *)s->map;
	size_t end = size_of_file(s->file);

	if (end > SHADOW_SIZE)
		end = SHADOW_SIZE;
	if (from < end && size < end - from)
		end = from + size;
	for (size_t i = from / 8; i < end / 8; i++)
		to[i] = map[i];
}

/* What is copied may be a little newer than what the call wrote; not older, which is what matters. */
int __wrap_msync(void *address, size_t size, int flags)
{
	int result = __real_msync(address, size, flags);

	for (unsigned i = 0; i < MAPPINGS; i++) {
		size_t at = (size_t)((uint8_t *)address - shadows[i].map);

		if (shadows[i].map && at < shadows[i].size)
			keep(&shadows[i], at, size);
	}
	return result;
}

int __wrap_fdatasync(int file)
{
	int result = __real_fdatasync(file);

	for (unsigned i = 0; i < MAPPINGS; i++) {
		if (shadows[i].map && shadows[i].file == file)
			keep(&shadows[i], 0, SHADOW_SIZE);
	}
	return result;
}

/* ---- power cuts ---- */

static void open_path(const char *folder, const char *name, int *file)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	*file = open(path, O_RDWR);
	assert_true(*file >= 0);
}

/* Pages are what they were, or what is on the disk. */
static void cut_mapped(const char *folder, const char *name, const struct shadow *shadow, uint64_t draw)
{
	int file;
	size_t size;

	open_path(folder, name, &file);
	size = size_of_file(file);
	for (size_t at = 0; at + PAGE <= size && at + PAGE <= SHADOW_SIZE; at += PAGE) {
		if (zs_mix(draw + at) % 2)
			assert_int_equal(pwrite(file, shadow->on_disk + at, PAGE, (off_t)at), PAGE);
	}
	close(file);
}

/* Some zones lose what was written last, or some of it. */
static void cut_zones(const char *folder, uint64_t draw)
{
	static const uint8_t zeros[PAGE];

	for (unsigned i = 0; i < FOLDER_FILES; i++) {
		char name[32];
		int file;
		size_t blocks;
		uint64_t one = zs_mix(draw + i);

		snprintf(name, sizeof(name), "zone.%05u", i);
		open_path(folder, name, &file);
		blocks = size_of_file(file) / PAGE;
		if (blocks && one % 4 == 0)
			assert_int_equal(ftruncate(file, (off_t)(one / 4 % (blocks + 1) * PAGE)), 0);
		else if (blocks && one % 4 == 1)
			assert_int_equal(pwrite(file, zeros, PAGE, (off_t)(one / 4 % blocks * PAGE)), PAGE);
		close(file);
	}
}

/* ---- rounds ---- */

static void live(struct zs_cache *cache, uint64_t draw)
{
	static _Atomic bool never;

	zs_cache_open(cache);
	/* While the tier is being read, too. */
	zs_cache_work(cache, draw, 500, &never);
	zs_cache_wait_until_rebuilt(cache);
	zs_cache_check(cache);
	atomic_store(&cache->model->operations, 1);
	zs_cache_work(cache, draw + 77, UINT64_MAX, &never);
	abort(); /* it is killed before */
}

/* A life in a process of its own, killed after some operations. */
static void live_and_die(struct zs_cache *cache, uint64_t draw)
{
	uint64_t last = 2000 + zs_mix(draw) % 60000;
	int status = 0;
	pid_t child;

	atomic_store(&cache->model->operations, 0);
	fflush(stdout);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		/* A failed assertion must not go on with the parent's tests. */
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		live(cache, draw);
		_exit(1);
	}
	for (unsigned i = 0; atomic_load(&cache->model->operations) < last; i++) {
		if (waitpid(child, &status, WNOHANG) == child)
			fail_msg("the process ended by itself, with status %d", status);
		if (i == 120000) {
			kill(child, SIGKILL);
			fail_msg("it makes no progress");
		}
		usleep(1000);
	}
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
}

static void remove_folder(const char *folder)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r '%s'", folder);
	assert_int_equal(system(command), 0);
}

static void be_cut(bool power, bool durable)
{
	char folder[] = "store.XXXXXX";
	struct zs_cache cache = { .model = zs_cache_model_new(), .durable = durable };

	assert_non_null(mkdtemp(folder));
	cache.folder = folder;
	for (unsigned i = 0; i < 2; i++)
		shadows[i].on_disk = map_shared(SHADOW_SIZE);
	for (uint64_t i = 0; i < rounds; i++) {
		uint64_t draw = zs_mix(seed + i * 31 + power);

		live_and_die(&cache, draw);
		if (!power)
			continue;
		cut_mapped(folder, "journal", &shadows[0], draw);
		cut_mapped(folder, "groups", &shadows[1], draw + 1);
		cut_zones(folder, draw + 2);
	}
	remove_folder(folder);
}

static void test_nothing_stale_is_found_after_being_killed(void **state)
{
	(void)state;
	be_cut(false, false);
}

static void test_nothing_stale_is_found_after_a_power_cut(void **state)
{
	(void)state;
	be_cut(true, true);
}

/* ---- in one process ---- */

static void test_what_is_written_over_and_over_is_right_and_zones_are_given_up(void **state)
{
	static _Atomic bool never;
	char folder[] = "store.XXXXXX";
	struct zs_cache cache = { .model = zs_cache_model_new() };
	struct zs_store_figures figures;

	(void)state;
	assert_non_null(mkdtemp(folder));
	cache.folder = folder;
	zs_cache_open(&cache);
	for (unsigned i = 0; i < 100; i++) {
		zs_cache_work(&cache, i * 1000000007ull, 20000, &never);
		zs_store_figures(cache.store, &figures);
		if (figures.resets > 4)
			break;
	}
	assert_true(figures.resets > 4);
	assert_int_equal(figures.reads_bad, 0);
	zs_cache_check(&cache);
	zs_cache_close(&cache, true);
	/* And is there after a clean restart. */
	zs_cache_open(&cache);
	zs_cache_wait_until_rebuilt(&cache);
	zs_store_figures(cache.store, &figures);
	assert_string_equal(figures.start, "clean");
	assert_true(figures.rebuilt_objects > 5000);
	zs_cache_check(&cache);
	zs_cache_close(&cache, true);
	remove_folder(folder);
}

static void test_errors_of_the_device_are_counted_and_lose_no_more_than_their_blocks(void **state)
{
	static _Atomic bool never;
	char folder[] = "store.XXXXXX";
	struct zs_cache cache = { .model = zs_cache_model_new() };
	struct zs_store_figures figures;

	(void)state;
	assert_non_null(mkdtemp(folder));
	cache.folder = folder;
	zs_cache_open_device(&cache);
	for (uint32_t zone = 0; zone < zs_zone_geometry(cache.device)->zones; zone++) {
		zs_zone_file_inject(cache.device, zone, ZS_ZONE_FAULT_APPEND);
		zs_zone_file_inject(cache.device, zone, ZS_ZONE_FAULT_READ);
	}
	zs_zone_file_inject(cache.device, 3, ZS_ZONE_FAULT_READ_ONLY);
	zs_zone_file_inject(cache.device, 5, ZS_ZONE_FAULT_OFFLINE);
	zs_cache_open(&cache);
	for (unsigned i = 0; i < 60; i++) {
		zs_cache_work(&cache, i * 1000000007ull, 20000, &never);
		zs_store_figures(cache.store, &figures);
		if (figures.append_errors > 8 && figures.read_errors > 5 && figures.resets > 1)
			break;
	}
	zs_cache_check(&cache);
	zs_store_figures(cache.store, &figures);
	assert_true(figures.append_errors > 8);
	assert_true(figures.read_errors > 5);
	assert_true(figures.resets > 1);
	assert_int_equal(figures.zones_by_state[ZS_STORE_READ_ONLY], 1);
	assert_int_equal(figures.zones_by_state[ZS_STORE_OFFLINE], 1);
	assert_true(strlen(figures.last_error) > 0);
	zs_cache_close(&cache, true);
	remove_folder(folder);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_written_over_and_over_is_right_and_zones_are_given_up),
		cmocka_unit_test(test_errors_of_the_device_are_counted_and_lose_no_more_than_their_blocks),
		cmocka_unit_test(test_nothing_stale_is_found_after_being_killed),
		cmocka_unit_test(test_nothing_stale_is_found_after_a_power_cut),
	};

	if (argc > 1)
		rounds = strtoull(argv[1], NULL, 10);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
