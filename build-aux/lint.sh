#!/usr/bin/env bash
# lint.sh [NAME...]: everything that is checked without running the programs; from inside a build folder, after `make`.
set -u
build=$PWD
src=$(cd "$(dirname "$0")/.." && pwd) || exit 1
jobs=$(nproc 2>/dev/null || echo 2)
. "$src/build-aux/tally.sh"
cd "$src" || exit 1

c_files() {
	find src tests -name '*.[ch]' | sort
}
scripts() {
	echo .ci/run
	find build-aux tests examples -type f -name '*.sh' 2>/dev/null
}

lint_layers() { tests/lint/layers.sh; }
lint_globals() { tests/lint/globals.sh "$build"; }
lint_calls() { tests/lint/calls.sh "$build"; }
lint_asserts() { tests/lint/asserts.sh; }
lint_sizes() { tests/lint/sizes.sh; }
lint_man_options() { tests/lint/man_options.py; }
lint_format() { c_files | xargs -P "$jobs" -n 16 clang-format-14 --style=file --dry-run -Werror --ferror-limit=3; }
lint_tidy() { make -s --no-print-directory -C "$build" -j"$jobs" -k tidy; }
# cppcheck reads no system headers: it is given the list macros, and takes a descriptor that was closed and opened again
# for one that is closed twice. readdir needs no lock where each thread reads a directory of its own.
lint_cppcheck() {
	local queue
	queue=$(echo '#include <sys/queue.h>' | ${CC:-cc} -E -M -x c - | tr ' ' '\n' | grep '/sys/queue\.h$')
	mkdir -p "$build/cppcheck"
	cppcheck -q -j "$jobs" --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
		--suppress=missingIncludeSystem --suppress=doubleFree --suppress=readdirCalled --library=posix --include="$queue" \
		--cppcheck-build-dir="$build/cppcheck" -D_GNU_SOURCE -Isrc src
}
lint_shellcheck() { scripts | xargs shellcheck -x -P SCRIPTDIR -e SC2317; }
lint_mandoc() { find man -name '*.[1-9]' -print0 | xargs -0 -r mandoc -Tlint -W warning; }
lint_codespell() {
	git ls-files -z 2>/dev/null | grep -zvE '^tests/(fuzz/corpus|vectors)/|package-lock|^build-aux/spelling$|\.(png|svg|ico)$' |
		xargs -0 -r codespell --ignore-words=build-aux/spelling
}

all=(layers globals calls asserts sizes man_options format cppcheck shellcheck mandoc codespell tidy)
for name in "${@:-${all[@]}}"; do
	start=$SECONDS
	if out=$("lint_$name" 2>&1); then
		count 1 0
		printf '  ok     %-12s %3d s\n' "$name" $((SECONDS - start))
	else
		count 0 1
		printf '  FAILED %-12s %3d s\n%s\n' "$name" $((SECONDS - start)) "$out"
	fi
done
finish
