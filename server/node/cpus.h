/*
 * Which CPUs there are, and lists of them.
 */
#ifndef ZS_SERVER_NODE_CPUS_H
#define ZS_SERVER_NODE_CPUS_H

#include <stdbool.h>
#include <stddef.h>

#define ZS_CPUS_MAX 1024

struct zs_cpus {
	int list[ZS_CPUS_MAX];
	unsigned count;
};

/* Reads "0,2-5". An empty text is an empty list. False if it is something else; `why` says what. */
bool zs_cpus_parse(const char *text, struct zs_cpus *cpus, char *why, size_t why_size);

/* How many CPUs this process may run on; at least 1. */
unsigned zs_cpus_available(void);

#endif
