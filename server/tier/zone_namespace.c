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

/* What the kernel calls the block device: ng0n1 is nvme0n1, whatever the node is called that was opened. */
static bool find_name(int fd, char name[NAME_SIZE])
{
	char path[64];
	char target[512];
	struct stat status;
	const char *base;
	ssize_t size;

	if (fstat(fd, &status) || !S_ISCHR(status.st_mode))
		return false;
	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u", major(status.st_rdev), minor(status.st_rdev));
	size = readlink(path, target, sizeof(target) - 1);
	if (size <= 0)
		return false;
	target[size] = 0;
	base = strrchr(target, '/');
	base = base ? base + 1 : target;
	if (strncmp(base, "ng", 2) != 0 || !isdigit((unsigned char)base[2]))
		return false;
	return snprintf(name, NAME_SIZE, "nvme%s", base + 2) < (int)NAME_SIZE;
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
