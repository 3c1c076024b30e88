#!/bin/bash
# Installs the build into a directory of its own and uses it as a user would: a C and a C++ program found by pkg-config,
# shared and static; and nothing but zslab_* is exported.
#
#   test/client/install.sh BUILD-DIRECTORY [SANITIZERS]
#
# With sanitizers the programs are built with them as well.

set -euo pipefail

build=$1
sanitize=()
[ -z "${2:-}" ] || sanitize=("-fsanitize=$2")
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

fail() {
	echo "install.sh: $*" >&2
	exit 1
}

cmake --install "$build" --prefix "$directory/usr" >"$directory/install.log" || fail "$(cat "$directory/install.log")"

library=$(find "$directory/usr" -name 'libzslab.so.0')
[ -n "$library" ] || fail "libzslab.so.0 was not installed"
readelf -d "$library" | grep -q 'SONAME.*\[libzslab\.so\.0\]' || fail "the soname is not libzslab.so.0"
needed=$(readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -Ev '^(libc\.so|ld-linux|libpthread|lib[atu]*san)' || true)
[ ${#sanitize[@]} -gt 0 ] || [ -z "$needed" ] || fail "the library needs more than libc: $needed"
foreign=$(nm -D --defined-only "$library" | awk '{ print $3 }' | grep -Ev '^(zslab_.*@@LIBZSLAB_.*|LIBZSLAB_.*)$' || true)
[ ${#sanitize[@]} -gt 0 ] || [ -z "$foreign" ] || fail "these symbols are exported, too: $foreign"
missing=$(sed -n 's/^[a-z].*[ *]\(zslab_[a-z_]*\)(.*/\1/p' "$directory/usr/include/zslab.h" | while read -r name; do
	nm -D --defined-only "$library" | grep -q " $name@@" || echo "$name"
done)
[ -z "$missing" ] || fail "the header declares what the library does not have: $missing"

cat >"$directory/use.c" <<'END'
#include <stdio.h>
#include <zslab.h>

int main(void)
{
	const char *address = "127.0.0.1:nonsense";
	struct zslab *handle;
	char why[ZSLAB_ERROR_MAX];
	int status = zslab_open(&handle, &address, 1, NULL, why, sizeof(why));

	printf("%s: %s\n", zslab_error_name(status), why);
	return status == ZSLAB_EINVAL ? 0 : 1;
}
END
cat >"$directory/use.cpp" <<'END'
#include <zslab.h>
#include <cstring>

int main()
{
	zslab_options options{};
	zslab_op op{};
	zslab *handle = nullptr;
	const char *address = "";

	op.kind = ZSLAB_GET;
	options.via = ZSLAB_VIA_TCP;
	bool refused = zslab_open(&handle, &address, 1, &options, nullptr, 0) == ZSLAB_EINVAL;
	return refused && handle == nullptr && op.status == ZSLAB_OK && std::strlen(zslab_error_text(ZSLAB_OK)) > 0 ? 0 : 1;
}
END

PKG_CONFIG_PATH=$(dirname "$(find "$directory/usr" -name libzslab.pc)")
export PKG_CONFIG_PATH
read -r -a flags < <(pkg-config --cflags --libs libzslab)
read -r -a static < <(pkg-config --cflags libzslab)
LD_LIBRARY_PATH=$(dirname "$library")
export LD_LIBRARY_PATH

warnings=(-Wall -Wextra -Wpedantic -Werror)
${CC:-cc} "${warnings[@]}" -std=c11 ${sanitize[@]+"${sanitize[@]}"} "$directory/use.c" "${flags[@]}" -o "$directory/use-c"
"$directory/use-c" || fail "the C program does not work"
${CXX:-c++} "${warnings[@]}" -std=c++17 ${sanitize[@]+"${sanitize[@]}"} "$directory/use.cpp" "${flags[@]}" -o "$directory/use-cpp"
"$directory/use-cpp" || fail "the C++ program does not work"
${CC:-cc} "${warnings[@]}" ${sanitize[@]+"${sanitize[@]}"} "$directory/use.c" "${static[@]}" "$(find "$directory/usr" -name libzslab.a)" \
	-pthread -o "$directory/use-static"
"$directory/use-static" || fail "the program that was linked statically does not work"

for page in man1/zslab.1 man1/zslab-bench.1 man3/libzslab.3 man3/zslab_open.3 man3/zslab_get.3 man3/zslab_submit.3; do
	[ -f "$directory/usr/share/man/$page" ] || fail "the man page $page was not installed"
done
"$directory/usr/bin/zslab" --version | grep -q '^zslab ' || fail "the installed zslab does not work"
"$directory/usr/bin/zslab-bench" --list | grep -q ycsb-f || fail "the installed zslab-bench does not work"
echo "install.sh: ok"
