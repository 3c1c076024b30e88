#include "server/commands/numbers.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char zs_digit_pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051"
    "525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

unsigned zs_digits(uint64_t value)
{
	unsigned digits = 1;

	while (value >= 10) {
		value /= 10;
		digits++;
	}
	return digits;
}

size_t zs_unsigned_format_long(uint8_t *text, uint64_t value)
{
	unsigned size = zs_digits(value);
	uint8_t *p = text + size;

	while (value >= 100) {
		p -= 2;
		memcpy(p, zs_digit_pairs + value % 100 * 2, 2);
		value /= 100;
	}
	if (value >= 10)
		memcpy(text, zs_digit_pairs + value * 2, 2);
	else
		text[0] = (uint8_t)('0' + value);
	return size;
}

bool zs_unsigned_parse(const void *text, size_t size, uint64_t *value)
{
	const uint8_t *p = text;
	uint64_t sum = 0;

	if (size == 0)
		return false;
	for (size_t i = 0; i < size; i++) {
		unsigned digit = p[i] - (unsigned)'0';

		if (digit > 9 || __builtin_mul_overflow(sum, 10, &sum) || __builtin_add_overflow(sum, digit, &sum))
			return false;
	}
	*value = sum;
	return true;
}

bool zs_integer_parse(const void *text, size_t size, int64_t *value)
{
	const uint8_t *p = text;
	bool negative = size > 0 && p[0] == '-';
	uint64_t magnitude;

	p += negative;
	size -= negative;
	if (size == 0 || size > ZS_INTEGER_MAX)
		return false;
	if (p[0] == '0' && (size > 1 || negative))
		return false;
	if (!zs_unsigned_parse(p, size, &magnitude) || magnitude > (uint64_t)INT64_MAX + negative)
		return false;
	*value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
	return true;
}

bool zs_float_parse(const void *text, size_t size, long double *value)
{
	char copy[ZS_FLOAT_MAX];
	char *end;
	long double parsed;

	if (size == 0 || size >= sizeof(copy))
		return false;
	memcpy(copy, text, size);
	copy[size] = 0;
	if (isspace((unsigned char)copy[0]))
		return false;
	errno = 0;
	parsed = strtold(copy, &end);
	if (end != copy + size || isnan(parsed))
		return false;
	if (errno == ERANGE && (isinf(parsed) || fpclassify(parsed) == FP_ZERO))
		return false;
	*value = parsed;
	return true;
}

size_t zs_float_format(char *text, long double value)
{
	/* 17 decimals give back most numbers as people typed them. */
	size_t size = (size_t)snprintf(text, ZS_FLOAT_MAX, "%.17Lf", value);

	while (text[size - 1] == '0')
		size--;
	if (text[size - 1] == '.')
		size--;
	if (size == 2 && text[0] == '-' && text[1] == '0') {
		text[0] = '0';
		size = 1;
	}
	return size;
}
