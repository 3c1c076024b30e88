#include "server/tier/zone_namespace.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/error.h"
#include "server/tier/zone_disk.h"

#define NAME_SIZE 64u

/* What the kernel calls a device, whatever its node is called. */
static bool kernel_name(const struct stat *status, char name[NAME_SIZE])
{
	char path[64];
	char target[512];
	const char *base;
	ssize_t size;

	snprintf(path, sizeof(path), "/sys/dev/%s/%u:%u", S_ISBLK(status->st_mode) ? "block" : "char",
		 major(status->st_rdev), minor(status->st_rdev));
	size = readlink(path, target, sizeof(target) - 1);
	if (size <= 0)
		return false;
	target[size] = 0;
	base = strrchr(target, '/');
	return snprintf(name, NAME_SIZE, "%s", base ? base + 1 : target) < (int)NAME_SIZE;
}

/* The block device of a generic one: of ng0n1 it is nvme0n1. */
static bool find_name(int fd, char name[NAME_SIZE])
{
	char generic[NAME_SIZE];
	struct stat status;

	if (fstat(fd, &status) || !S_ISCHR(status.st_mode) || !kernel_name(&status, generic))
		return false;
	if (strncmp(generic, "ng", 2) != 0 || !isdigit((unsigned char)generic[2]))
		return false;
	return snprintf(name, NAME_SIZE, "nvme%s", generic + 2) < (int)NAME_SIZE;
}

bool zs_zone_namespace_generic(const char *path, char generic[ZS_ZONE_NAMESPACE_PATH])
{
	unsigned controller;
	unsigned number;
	char name[NAME_SIZE];
	char other[NAME_SIZE];
	char end;
	struct stat status;

	if (stat(path, &status) || !S_ISBLK(status.st_mode) || !kernel_name(&status, name))
		return false;
	/* Not a part of one (nvme0n1p1), nor one of several ways to one (nvme0c1n1). */
	if (sscanf(name, "nvme%un%u%c", &controller, &number, &end) != 2)
		return false;
	snprintf(generic, ZS_ZONE_NAMESPACE_PATH, "/dev/ng%un%u", controller, number);
	return stat(generic, &status) == 0 && S_ISCHR(status.st_mode) && kernel_name(&status, other) &&
	       strcmp(other, generic + strlen("/dev/")) == 0;
}

/* Whether `fd` is the block device that the kernel calls so. */
static bool is_called(int fd, const char *name)
{
	struct stat status;
	char path[128];
	unsigned first;
	unsigned second;
	bool same;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/block/%s/dev", name);
	file = fopen(path, "re");
	if (!file)
		return false;
	same = fscanf(file, "%u:%u", &first, &second) == 2 && fstat(fd, &status) == 0 && S_ISBLK(status.st_mode) &&
	       status.st_rdev == makedev(first, second);
	fclose(file);
	return same;
}

int zs_zone_namespace_claim(const char *path, int fd, int *claim, char *why, size_t why_size)
{
	char name[NAME_SIZE];
	char node[NAME_SIZE + 8];

	*claim = -1;
	if (!find_name(fd, name))
		return ZS_OK;
	snprintf(node, sizeof(node), "/dev/%s", name);
	*claim = open(node, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK);
	if (*claim < 0 && errno == EBUSY) {
		snprintf(why, why_size, "%s is in use: somebody has its block device, %s", path, node);
		return ZS_ECONFIG;
	}
	if (*claim >= 0 && !is_called(*claim, name)) {
		close(*claim);
		*claim = -1;
	}
	return ZS_OK;
}

uint64_t zs_zone_namespace_identity(int fd)
{
	char name[NAME_SIZE];
	char folder[128];

	if (!find_name(fd, name))
		return 0;
	snprintf(folder, sizeof(folder), "/sys/class/block/%s", name);
	return zs_zone_disk_identity(folder);
}
