/*
 * The files of a zoned device that is made of files: making, checking and opening them, and what has to be remembered
 * of a zone beside its length.
 *
 * THREADS. Opening and closing are for one thread. The others may be called by any, for different zones at a time.
 */
#ifndef ZS_SERVER_TIER_ZONE_FOLDER_H
#define ZS_SERVER_TIER_ZONE_FOLDER_H

#include "server/tier/zone_device.h"
#include "server/tier/zone_file.h"

struct zs_zone_folder {
	struct zs_zone_geometry geometry;
	int folder; /* locked as long as it is open */
	int table;  /* the file `zones` */
	int *files; /* of each zone */
};

/* As zs_zone_file_open. */
int zs_zone_folder_open(struct zs_zone_folder *folder, const char *path, const struct zs_zone_file_options *options,
			char *why, size_t why_size);
void zs_zone_folder_close(struct zs_zone_folder *folder);

/* What a zone is, by its file and what is remembered of it. ZS_OK, ZS_ECONFIG (the table is damaged) or ZS_ESYS. */
int zs_zone_folder_state(struct zs_zone_folder *folder, uint32_t zone, struct zs_zone *state, char *why,
			 size_t why_size);

/* Remembers, durably, that a zone is full, read-only or offline; any other state is told by its file. ZS_OK or ZS_ESYS.
 */
int zs_zone_folder_remember(struct zs_zone_folder *folder, uint32_t zone, struct zs_zone state);

/* Empties a zone, durably. ZS_OK or ZS_ESYS; then it is as it was, or empty the next time the folder is opened. */
int zs_zone_folder_empty(struct zs_zone_folder *folder, uint32_t zone);

#endif
