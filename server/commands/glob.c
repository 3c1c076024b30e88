/*
 * A mismatch needs to go back only to the last star: whatever an earlier star could try by taking more of the
 * text, the last one has tried from further left already. So one remembered place is enough, and time stays
 * below the product of the two lengths whatever the pattern.
 */
#include "server/commands/glob.h"

struct span {
	const char *at;
	const char *end;
};

/*
 * Tests a character against the set whose '[' was just passed, and moves `pattern` past its ']', or to the
 * end if there is none. Characters compare as signed numbers in ranges, as in Redis.
 */
static bool match_set(struct span *pattern, signed char c)
{
	const char *p = pattern->at, *end = pattern->end;
	bool inverted = p < end && *p == '^';
	bool found = false;

	p += inverted;
	while (p < end && *p != ']') {
		if (*p == '\\' && end - p >= 2) {
			p++;
			found |= (signed char)*p == c;
		} else if (end - p >= 3 && p[1] == '-') {
			signed char low = (signed char)p[0], high = (signed char)p[2];

			if (low > high) {
				signed char swap = low;

				low = high;
				high = swap;
			}
			found |= low <= c && c <= high;
			p += 2;
		} else {
			found |= (signed char)*p == c;
		}
		p++;
	}
	pattern->at = p < end ? p + 1 : end;
	return found != inverted;
}

/* Tests one character against the next element of the pattern, which is no star, and moves past that element. */
static bool match_one(struct span *pattern, char c)
{
	char p = *pattern->at++;

	if (p == '?')
		return true;
	if (p == '[')
		return match_set(pattern, (signed char)c);
	if (p == '\\' && pattern->at < pattern->end)
		p = *pattern->at++;
	return p == c;
}

bool zs_glob_match(const void *pattern_data, size_t pattern_size, const void *text_data, size_t text_size)
{
	struct span pattern = { pattern_data, (const char *)pattern_data + pattern_size };
	struct span text = { text_data, (const char *)text_data + text_size };
	struct span star = { 0, pattern.end };
	const char *star_text = text.at;

	/* Redis matches an empty text by nothing but an empty pattern, not even by stars. */
	if (text_size == 0)
		return pattern_size == 0;

	while (text.at < text.end) {
		if (pattern.at < pattern.end && *pattern.at == '*') {
			pattern.at++;
			star.at = pattern.at;
			star_text = text.at;
		} else if (pattern.at < pattern.end && match_one(&pattern, *text.at)) {
			text.at++;
		} else if (star.at) {
			pattern = star;
			text.at = ++star_text;
		} else {
			return false;
		}
	}
	while (pattern.at < pattern.end && *pattern.at == '*')
		pattern.at++;
	return pattern.at == pattern.end;
}

bool zs_glob_is_all(const void *pattern, size_t pattern_size)
{
	return pattern_size == 1 && *(const char *)pattern == '*';
}
