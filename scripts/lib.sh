# Sourced by the scripts beside it. Goes to the root of the tree and defines what they share.
# shellcheck shell=bash

script=$(realpath "$0")
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

# A heading. Bold on a terminal.
say() {
	if [ -t 1 ]; then
		printf '\033[1m== %s\033[0m\n' "$*"
	else
		printf '== %s\n' "$*"
	fi
}

die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

# Prints the comment at the top of the calling script, without its marks.
usage() {
	sed -n '2,/^$/s/^# \{0,1\}//p' "$script"
}

# All files of the project that match the patterns, also those that are not committed yet.
project_files() {
	git ls-files --cached --others --exclude-standard -- "$@" | sort -u | while read -r file; do
		if [ -f "$file" ]; then
			printf '%s\n' "$file"
		fi
	done
}
