/*
 * The errors of ZNS-Slab: 0 is success, everything else is one of these, negative.
 *
 * One table gives the numbers, the names and the texts; zs_error_text() and zs_error_name() read it.
 */
#ifndef ZS_COMMON_ERROR_H
#define ZS_COMMON_ERROR_H

/* X(name, value, text) */
#define ZS_ERRORS(X)                                                       \
	X(ZS_ENOMEM, -1, "not enough memory")                              \
	X(ZS_EINVAL, -2, "an argument is out of its range")                \
	X(ZS_ETOOBIG, -3, "the object does not fit one slab")              \
	X(ZS_EFULL, -4, "the node is full and its policy is noeviction")   \
	X(ZS_EAGAIN, -5, "memory is in quarantine; quiesce and try again") \
	X(ZS_ENOTFOUND, -6, "no such key")                                 \
	X(ZS_EEXIST, -7, "the condition of the write did not hold")        \
	X(ZS_ENOTINT, -8, "value is not an integer or out of range")       \
	X(ZS_EOVERFLOW, -9, "increment or decrement would overflow")       \
	X(ZS_ENOTFLOAT, -10, "value is not a valid float")                 \
	X(ZS_EGROUPS, -11, "too many groups")                              \
	X(ZS_EABORT, -12, "the caller's function refused the update")      \
	X(ZS_ESYS, -13, "a system call failed")                            \
	X(ZS_ECONFIG, -14, "the configuration is wrong")                   \
	X(ZS_EPROTO, -15, "the peer broke the protocol")                   \
	X(ZS_EWAIT, -16, "something else has to end first; try again")     \
	X(ZS_EWARM, -17, "the object is on flash and has been asked for")

enum zs_error {
	ZS_OK = 0,
#define ZS_ERROR_ENUM(name, value, text) name = (value),
	ZS_ERRORS(ZS_ERROR_ENUM)
#undef ZS_ERROR_ENUM
};

/* The text of an error, for people; a fixed text for a number that is none. Never NULL. Thread-safe. */
const char *zs_error_text(int error);

/* The name of an error, as it stands in the source ("ZS_EFULL"). Never NULL. Thread-safe. */
const char *zs_error_name(int error);

#endif
