#include "common/error.h"

struct error_entry {
	int value;
	const char *name;
	const char *text;
};

static const struct error_entry errors[] = { { ZS_OK, "ZS_OK", "success" },
#define ZS_ERROR_ENTRY(name, value, text) { value, #name, text },
					     ZS_ERRORS(ZS_ERROR_ENTRY)
#undef ZS_ERROR_ENTRY
};

static const struct error_entry *find(int error)
{
	for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		if (errors[i].value == error)
			return &errors[i];
	}
	return 0;
}

const char *zs_error_text(int error)
{
	const struct error_entry *e = find(error);

	return e ? e->text : "unknown error";
}

const char *zs_error_name(int error)
{
	const struct error_entry *e = find(error);

	return e ? e->name : "ZS_E?";
}
