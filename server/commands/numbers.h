/*
 * Numbers as text, read and written exactly as Redis does: 64-bit integers in their one canonical form, and
 * the long doubles of INCRBYFLOAT.
 */
#ifndef ZS_SERVER_COMMANDS_NUMBERS_H
#define ZS_SERVER_COMMANDS_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most characters of a 64-bit integer, signed or not. No terminator is counted or written. */
#define ZS_INTEGER_MAX 20

/* Most characters of a long double as zs_float_format prints it. */
#define ZS_FLOAT_MAX 5120

/* "00" to "99", one after the other. */
extern const char zs_digit_pairs[];

/* How many decimal digits a number has; 1 for 0. */
unsigned zs_digits(uint64_t value);

/* Prints a number of five digits or more; callers use zs_unsigned_format. */
size_t zs_unsigned_format_long(uint8_t *text, uint64_t value);

/*
 * Writes a number as decimal digits to `text`, which has room for ZS_INTEGER_MAX, and returns how many there
 * are. Lengths of values have one to four digits, so those are printed without a loop.
 */
static inline size_t zs_unsigned_format(uint8_t *text, uint64_t value)
{
	const char *high, *low;

	if (value < 10) {
		text[0] = (uint8_t)('0' + value);
		return 1;
	}
	if (value >= 10000)
		return zs_unsigned_format_long(text, value);
	high = zs_digit_pairs + value / 100 * 2;
	low = zs_digit_pairs + value % 100 * 2;
	if (value >= 1000) {
		text[0] = (uint8_t)high[0];
		text[1] = (uint8_t)high[1];
		text[2] = (uint8_t)low[0];
		text[3] = (uint8_t)low[1];
		return 4;
	}
	if (value >= 100) {
		text[0] = (uint8_t)high[1];
		text[1] = (uint8_t)low[0];
		text[2] = (uint8_t)low[1];
		return 3;
	}
	text[0] = (uint8_t)low[0];
	text[1] = (uint8_t)low[1];
	return 2;
}

/* The same for a signed number. */
static inline size_t zs_integer_format(uint8_t *text, int64_t value)
{
	if (value >= 0)
		return zs_unsigned_format(text, (uint64_t)value);
	text[0] = '-';
	return 1 + zs_unsigned_format(text + 1, 0 - (uint64_t)value);
}

/*
 * Reads a canonical decimal: no space, no plus, no leading zero, no "-0", within 64 bits. False, and *value
 * untouched, if it is anything else.
 */
bool zs_integer_parse(const void *text, size_t size, int64_t *value);

/* Reads an unsigned decimal as strtoull would, without its spaces and signs. False if it is none or above 64 bits. */
bool zs_unsigned_parse(const void *text, size_t size, uint64_t *value);

/* Reads what strtold reads, without leading space or NaN, and with nothing lost to overflow or underflow. */
bool zs_float_parse(const void *text, size_t size, long double *value);

/*
 * Writes a finite long double with up to 17 digits after the point and no trailing zeros. `text` has room for
 * ZS_FLOAT_MAX; returns the length.
 */
size_t zs_float_format(char *text, long double value);

#endif
