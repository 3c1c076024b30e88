/* What a test over soft verbs lets go wrong in its own process; names: test/fake/soft/soft_control.h. */
#ifndef ZS_TEST_CLIENT_SOFT_FAULTS_H
#define ZS_TEST_CLIENT_SOFT_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

/* Finds soft verbs where libzslab will. False, and a sentence on standard error: they are not what it would find. */
bool soft_load(void);

/* Both end the test if there is no such name. */
void soft_fault(const char *name, uint64_t value);
uint64_t soft_value(const char *name);

#endif
