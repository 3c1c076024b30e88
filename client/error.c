#include "client/zslab.h"

const char *zslab_error_text(int status)
{
	switch (status) {
	case ZSLAB_OK:
		return "success";
#define ZSLAB_ERROR_CASE(name, value, text) \
	case name:                          \
		return text;
		ZSLAB_ERRORS(ZSLAB_ERROR_CASE)
#undef ZSLAB_ERROR_CASE
	default:
		return "no status of libzslab";
	}
}

const char *zslab_error_name(int status)
{
	switch (status) {
	case ZSLAB_OK:
		return "ZSLAB_OK";
#define ZSLAB_ERROR_CASE(name, value, text) \
	case name:                          \
		return #name;
		ZSLAB_ERRORS(ZSLAB_ERROR_CASE)
#undef ZSLAB_ERROR_CASE
	default:
		return "unknown";
	}
}
