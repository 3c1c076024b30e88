#include "test/client/soft_faults.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "test/fake/soft/soft_control.h"

static __typeof__(soft_verbs_set) *set;
static __typeof__(soft_verbs_get) *get;

bool soft_load(void)
{
	void *library = dlopen("libibverbs.so.1", RTLD_NOW | RTLD_LOCAL);
	void *functions[2] = { NULL, NULL };

	if (library) {
		functions[0] = dlsym(library, "soft_verbs_set");
		functions[1] = dlsym(library, "soft_verbs_get");
	}
	if (!functions[0] || !functions[1]) {
		fprintf(stderr, "libibverbs.so.1 is not soft verbs: set LD_LIBRARY_PATH, as ctest does\n");
		return false;
	}
	memcpy(&set, &functions[0], sizeof(set));
	memcpy(&get, &functions[1], sizeof(get));
	return true;
}

void soft_fault(const char *name, uint64_t value)
{
	if (set(name, value))
		fail_msg("soft verbs know no %s", name);
}

uint64_t soft_value(const char *name)
{
	uint64_t value = 0;

	if (get(name, &value))
		fail_msg("soft verbs know no %s", name);
	return value;
}
