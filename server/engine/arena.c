#define _GNU_SOURCE /* memfd_create */
#include "server/engine/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/error.h"

#define HUGE_PAGE (2u << 20)

/* A number from a file of one line such as "MemTotal:  123 kB" or "123"; UINT64_MAX if it has none. */
static uint64_t read_limit(const char *path, const char *format, uint64_t unit)
{
	FILE *file = fopen(path, "re");
	unsigned long long value = 0;
	bool found = false;
	char line[256];

	if (!file)
		return UINT64_MAX;
	while (!found && fgets(line, sizeof(line), file))
		found = sscanf(line, format, &value) == 1;
	fclose(file);
	return found ? value * unit : UINT64_MAX;
}

/* Bytes that this process could have at most: the machine's memory, or its control group's. */
static uint64_t memory_limit(void)
{
	uint64_t machine = read_limit("/proc/meminfo", "MemTotal: %llu kB", 1024);
	uint64_t group = read_limit("/sys/fs/cgroup/memory.max", "%llu", 1);

	return machine < group ? machine : group;
}

static bool transparent_allowed(void)
{
	FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "re");
	char line[128] = "";
	bool never;

	if (!file)
		return false;
	if (!fgets(line, sizeof(line), file))
		line[0] = '\0';
	fclose(file);
	never = strstr(line, "[never]") || strstr(line, "[deny]") || line[0] == '\0';
	return !never;
}

static void *map_fd(int fd, uint64_t size)
{
	void *base;

	if (ftruncate(fd, (off_t)size))
		return MAP_FAILED;
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return base;
}

/* Reserved huge pages are all taken at once, so this fails early and cleanly where there are too few. */
static bool map_reserved(struct zs_arena *arena, uint64_t size)
{
	uint64_t rounded = (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
	int fd = memfd_create("zns-slab", MFD_CLOEXEC | MFD_HUGETLB | MFD_ALLOW_SEALING);
	void *base;

	if (fd < 0)
		return false;
	base = map_fd(fd, rounded);
	if (base == MAP_FAILED) {
		close(fd);
		return false;
	}
	*arena = (struct zs_arena){ .base = base, .size = rounded, .memfd = fd, .page_kind = "hugetlb" };
	return true;
}

static bool map_ordinary(struct zs_arena *arena, uint64_t size, bool huge_pages)
{
	int fd = memfd_create("zns-slab", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *base;

	if (fd < 0)
		return false;
	base = map_fd(fd, size);
	if (base == MAP_FAILED) {
		int saved = errno;

		close(fd);
		errno = saved;
		return false;
	}
	*arena = (struct zs_arena){ .base = base, .size = size, .memfd = fd, .page_kind = "4 KB pages" };
	if (huge_pages && transparent_allowed() && madvise(base, size, MADV_HUGEPAGE) == 0)
		arena->page_kind = "transparent huge pages";
	return true;
}

/*
 * After this nobody who is handed the descriptor can write the arena, by no mapping and by opening it again through
 * /proc either, or change its size. Our own mapping stays writable.
 */
static bool seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0;
}

int zs_arena_map(struct zs_arena *arena, uint64_t size, bool huge_pages, bool prefault, char *why, size_t why_size)
{
	uint64_t limit = memory_limit();

	if (size > limit) {
		snprintf(why, why_size,
			 "%llu MB of memory were asked for, but this machine or control group has %llu MB",
			 (unsigned long long)(size >> 20), (unsigned long long)(limit >> 20));
		return ZS_ENOMEM;
	}
	if (!(huge_pages && map_reserved(arena, size)) && !map_ordinary(arena, size, huge_pages)) {
		snprintf(why, why_size, "cannot map %llu MB of memory: %s", (unsigned long long)(size >> 20),
			 strerror(errno));
		return errno == ENOMEM ? ZS_ENOMEM : ZS_ESYS;
	}
	if (prefault && madvise(arena->base, arena->size, MADV_POPULATE_WRITE)) {
		snprintf(why, why_size, "cannot touch all of the %llu MB of memory: %s",
			 (unsigned long long)(size >> 20), strerror(errno));
		zs_arena_unmap(arena);
		return ZS_ENOMEM;
	}
	arena->sealed = seal(arena->memfd);
	return ZS_OK;
}

void zs_arena_unmap(struct zs_arena *arena)
{
	munmap(arena->base, arena->size);
	close(arena->memfd);
}
