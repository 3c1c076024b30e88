/*
 * The two devices that Linux makes of one NVMe namespace: a generic one (/dev/ngXnY), to which commands are sent, and a
 * block device (/dev/nvmeXnY). Only the latter can be had by one user alone, and says what the namespace is called in
 * the whole world.
 *
 * THREADS. Any.
 */
#ifndef ZS_SERVER_TIER_ZONE_NAMESPACE_H
#define ZS_SERVER_TIER_ZONE_NAMESPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZS_ZONE_NAMESPACE_PATH 80u

/* The generic device beside the block device `path`. False: there is none, or it is no namespace's. */
bool zs_zone_namespace_generic(const char *path, char generic[ZS_ZONE_NAMESPACE_PATH]);

/*
 * Takes the block device beside the open generic device `fd`, so that nobody mounts it or takes it as a block device
 * until *claim is closed. *claim is -1 where there is none, or it may not be opened. ZS_OK, or ZS_ECONFIG and a
 * sentence if somebody else has it.
 */
int zs_zone_namespace_claim(const char *path, int fd, int *claim, char *why, size_t why_size);

/* As in zs_zone_geometry, and the same as the block device's. */
uint64_t zs_zone_namespace_identity(int fd);

#endif
