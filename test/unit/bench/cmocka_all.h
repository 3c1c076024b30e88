/* cmocka wants these headers in front of it. */
#ifndef ZS_TEST_UNIT_BENCH_CMOCKA_ALL_H
#define ZS_TEST_UNIT_BENCH_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#endif
