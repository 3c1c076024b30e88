#include "common/rdma_verbs.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"

struct zs_verbs zs_verbs;

struct symbol {
	const char *name;
	size_t offset;
};

#define ZS_VERBS_SYMBOL(name) { #name, offsetof(struct zs_verbs, name) },

static const struct symbol ibv_symbols[] = { ZS_VERBS_IBV(ZS_VERBS_SYMBOL) };
static const struct symbol cm_symbols[] = { ZS_VERBS_CM(ZS_VERBS_SYMBOL) };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool loaded;

static int load_library(const char *file, const struct symbol *symbols, size_t count, char *why, size_t why_size)
{
	/* Stays loaded: the devices' drivers, which it loads in turn, do not like to go. */
	void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);

	if (!library) {
		snprintf(why, why_size, "RDMA needs %s, which cannot be loaded: %s", file, dlerror());
		return ZS_ESYS;
	}
	for (size_t i = 0; i < count; i++) {
		void *function = dlsym(library, symbols[i].name);

		if (!function) {
			snprintf(why, why_size, "%s of this machine is too old: it has no %s", file, symbols[i].name);
			return ZS_ESYS;
		}
		memcpy((char *)&zs_verbs + symbols[i].offset, &function, sizeof(function));
	}
	return ZS_OK;
}

int zs_verbs_load(char *why, size_t why_size)
{
	int error = ZS_OK;

	pthread_mutex_lock(&lock);
	if (!loaded) {
		error = load_library("libibverbs.so.1", ibv_symbols, sizeof(ibv_symbols) / sizeof(ibv_symbols[0]), why,
				     why_size);
		if (!error)
			error = load_library("librdmacm.so.1", cm_symbols, sizeof(cm_symbols) / sizeof(cm_symbols[0]),
					     why, why_size);
		loaded = !error;
	}
	pthread_mutex_unlock(&lock);
	return error;
}
