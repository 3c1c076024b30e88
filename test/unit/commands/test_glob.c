#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/commands/glob.h"

struct vector {
	const char *pattern;
	const char *text;
	bool match;
};

/* The results are those of redis-server 7.0.15. */
static const struct vector vectors[] = {
	{ "hello", "hello", true },
	{ "hello", "hell", false },
	{ "hello", "hello!", false },
	{ "h?llo", "hallo", true },
	{ "h?llo", "hllo", false },
	{ "h*llo", "hllo", true },
	{ "h*llo", "heeeello", true },
	{ "h*llo", "heeeell", false },
	{ "*", "x", true },
	{ "**", "x", true },
	{ "*", "", false },
	{ "", "", true },
	{ "", "x", false },
	{ "x*", "x", true },
	{ "x***", "x", true },
	{ "*a*b*c*", "xaybzc", true },
	{ "*a*b*c*", "xaybz", false },
	{ "a*b*a", "aba", true },
	{ "a*b*a", "ab", false },
	{ "*abc", "ababc", true },
	{ "*aab", "aaaab", true },
	{ "h[ae]llo", "hello", true },
	{ "h[ae]llo", "hillo", false },
	{ "h[^e]llo", "hallo", true },
	{ "h[^e]llo", "hello", false },
	{ "h[a-c]llo", "hbllo", true },
	{ "h[c-a]llo", "hbllo", true },
	{ "h[a-c]llo", "hdllo", false },
	{ "[a-c-e]", "-", true },
	{ "[a-c-e]", "d", false },
	{ "[abc", "b", true },
	{ "[abc", "bc", false },
	{ "[a-", "-", true },
	{ "[", "[", false },
	{ "[^", "x", true },
	{ "[^", "xy", false },
	{ "[]", "]", false },
	{ "[]a]", "a", false },
	{ "[\\]]", "]", true },
	{ "[\\-a]", "-", true },
	{ "[a\\", "\\", true },
	{ "\\*", "*", true },
	{ "\\*", "x", false },
	{ "\\", "\\", true },
	{ "a\\", "a\\", true },
	{ "\\a", "a", true },
	{ "\\\\", "\\", true },
	{ "[\x01-\xff]", "\x80", false },
	{ "[\x01-\xff]", "\x01", true },
	{ "[\x80-\xff]", "\x90", true },
	{ "*?", "x", true },
	{ "?*?", "x", false },
	{ "*[a-z]*[0-9]", "__x__7", true },
	{ "*[a-z]*[0-9]", "__7__x", false },
};

static void test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		const struct vector *v = &vectors[i];

		if (zs_glob_match(v->pattern, strlen(v->pattern), v->text, strlen(v->text)) != v->match)
			fail_msg("\"%s\" on \"%s\" should be %d", v->pattern, v->text, v->match);
	}
}

static void test_any_byte(void **state)
{
	(void)state;
	assert_true(zs_glob_match("a\0*", 3, "a\0b", 3));
	assert_false(zs_glob_match("a\0b", 3, "a\0c", 3));
	assert_true(zs_glob_match("[^\0]", 4, "x", 1));
}

static void test_all(void **state)
{
	(void)state;
	assert_true(zs_glob_is_all("*", 1));
	assert_false(zs_glob_is_all("**", 2));
	assert_false(zs_glob_is_all("", 0));
	assert_false(zs_glob_is_all("?", 1));
}

/* Takes a time beyond all patience when every star tries all the places of every star before it. */
static void test_many_stars_end_soon(void **state)
{
	char pattern[4000];
	char text[4000];

	(void)state;
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = "*a"[i % 2];
	memset(text, 'a', sizeof(text));
	assert_true(zs_glob_match(pattern, sizeof(pattern), text, sizeof(text)));
	pattern[sizeof(pattern) - 1] = 'b';
	assert_false(zs_glob_match(pattern, sizeof(pattern), text, sizeof(text)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_any_byte),
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_many_stars_end_soon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
