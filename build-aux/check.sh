#!/usr/bin/env bash
# check.sh STAGE...: runs the tests of a build folder, from inside it. Stages: build (the test programs), unit, corpus, live, client (the
# JavaScript library in node), web (the page and the examples in a browser).
#
# What a test finds in its environment:
#   SRCDIR, BUILDDIR             the folders, absolute; unit tests run in SRCDIR
#   BELFRYD, BELFRYCTL           the programs under test
#   NODE_PATH, NODE_MODULES      where the npm packages of tests/package.json are (`require` searches NODE_PATH; a module
#                                says createRequire(import.meta.url)("ws"))
#   CHROMIUM                     the browser (stage web)
# What it takes from the caller's: UNITS and FUZZERS (programs, from the Makefile), PYTEST_ARGS, VENV and NODE_DIR
# (folders to use instead of ./venv and ./node), RUN (a command to put before the tests' own, such as `setarch -R`).
set -u
top=$(cd "$(dirname "$0")/.." && pwd) || exit 1
export SRCDIR=$top BUILDDIR=$PWD
export BELFRYD=$BUILDDIR/belfryd BELFRYCTL=$BUILDDIR/belfryctl
VENV=${VENV:-$BUILDDIR/venv}
NODE_DIR=${NODE_DIR:-$BUILDDIR/node}
export NODE_PATH=$NODE_DIR/node_modules NODE_MODULES=$NODE_DIR/node_modules
# An allocation that cannot be made fails, as it does without a sanitizer.
export ASAN_OPTIONS=${ASAN_OPTIONS:-allocator_may_return_null=1}
export PYTHONDONTWRITEBYTECODE=1
# Check's deadlines, 60 s a test, are for a machine that is ours alone.
export CK_TIMEOUT_MULTIPLIER=${CK_TIMEOUT_MULTIPLIER:-${BELFRY_TEST_SLOW:-${CI:+2}}}
RUN=${RUN:-}
jobs=$(nproc 2>/dev/null || echo 2)
. "$SRCDIR/build-aux/tally.sh"
mkdir -p check

# One test program, with its output kept; "NAME STATUS SECONDS" goes to the caller. Run by xargs.
run_one() {
	local name=${1//\//-} start=$EPOCHREALTIME status=0
	shift
	# shellcheck disable=SC2086
	(cd "$SRCDIR" && exec timeout -k 5 "${UNIT_TIMEOUT:-120}" $RUN "$@") >"check/$name.log" 2>&1 </dev/null || status=$?
	echo "$name $status $(((${EPOCHREALTIME/./} - ${start/./}) / 1000))"
}
export -f run_one
export RUN

# The same; in CI a test program that failed runs again, since a shared machine can stall it past a deadline; the summary
# says so with what the first run said. What a sanitizer reported is no such thing.
run_twice() {
	local said log=check/${1//\//-}.log
	said=$(run_one "$@")
	if [ -n "${CI:-}" ] && [[ $said != *' 0 '* ]] && ! grep -qE 'Sanitizer|runtime error:' "$log"; then
		cp "$log" "${log%.log}.first.log"
		said="$(run_one "$@") again"
	fi
	echo "$said"
}
export -f run_twice

# Those that take long begin, so that none of them is left over when the others are done.
longest_first() {
	local long='/test_(sqlite_faults|vectors|session|oom_live)$'
	tr ' ' '\n' <<<"$UNITS" | grep -E "$long"
	tr ' ' '\n' <<<"$UNITS" | grep -vE "$long"
}

# What does not build counts as one failure; the others run.
build() {
	make -k --no-print-directory tests && return 0
	echo '  FAILED: not all of the tests could be built'
	count 0 1
}

unit() {
	local name status ms again line fail
	[ -n "${UNITS:-}" ] || return 0
	while read -r name status ms again; do
		if [ -n "$again" ]; then
			printf '  RERUN  %-28s it failed once:\n' "$name"
			grep -vE '^Running suite|:P:' "check/$name.first.log" | tail -n 30 | sed 's/^/    /'
		fi
		line=$(grep -E '^[0-9]+%: Checks: ' "check/$name.log" | tail -n 1)
		fail=0
		if [[ $line =~ Checks:\ ([0-9]+),\ Failures:\ ([0-9]+),\ Errors:\ ([0-9]+) ]]; then
			fail=$((BASH_REMATCH[2] + BASH_REMATCH[3]))
			count $((BASH_REMATCH[1] - fail)) "$fail"
			line="${BASH_REMATCH[1]} checks"
		else
			line="no result"
			[ "$status" -ne 0 ] || count 1 0
		fi
		[ "$status" -eq 0 ] || [ "$fail" -gt 0 ] || count 0 1
		if [ "$status" -eq 0 ]; then
			printf '  ok     %-28s %6s ms  %s\n' "$name" "$ms" "$line"
		else
			printf '  FAILED %-28s %6s ms  %s, exit status %s\n' "$name" "$ms" "$line" "$status"
			grep -vE '^Running suite|:P:' "check/$name.log" | tail -n 60 | sed 's/^/    /'
		fi
	done < <(for u in $(longest_first); do [ ! -x "$u" ] || echo "$u" "$BUILDDIR/$u"; done |
		CK_FORK=yes CK_VERBOSITY=normal xargs -P "$jobs" -L 1 bash -c 'run_twice "$@"' -)
}

# Every fuzzer over its corpus, which is what it has found so far and what people put there.
corpus() {
	local name status ms
	[ -n "${FUZZERS:-}" ] || return 0
	while read -r name status ms; do
		if [ "$status" -eq 0 ]; then
			count 1 0
			printf '  ok     %-28s %6s ms  %s\n' "$name" "$ms" "$(tail -n 1 "check/$name.log")"
		else
			count 0 1
			printf '  FAILED %-28s %6s ms  exit status %s\n' "$name" "$ms" "$status"
			tail -n 40 "check/$name.log" | sed 's/^/    /'
		fi
	done < <(for f in $FUZZERS; do
		[ -x "$f" ] || continue
		dir=tests/fuzz/corpus/${f#fuzzers/fuzz_}
		[ -d "$SRCDIR/$dir" ] || dir=
		echo "$f" "$BUILDDIR/$f" ${dir:+"$dir"} # no blank at the end: xargs would go on to the next line
	done | xargs -P "$jobs" -L 1 bash -c 'run_one "$@"' -)
}

# The Python and the npm packages, each installed once and again when its list changes.
python_env() {
	local list=$SRCDIR/tests/requirements.txt
	[ "$VENV/.done" -nt "$list" ] && return 0
	echo "  installing the Python packages of tests/requirements.txt"
	rm -rf "$VENV"
	python3 -m venv "$VENV" && "$VENV/bin/pip" -q --disable-pip-version-check install -r "$list" && touch "$VENV/.done"
}

node_env() {
	local list=$SRCDIR/tests/package-lock.json
	[ "$NODE_DIR/.done" -nt "$list" ] && return 0
	echo "  installing the npm packages of tests/package-lock.json"
	rm -rf "$NODE_DIR"
	mkdir -p "$NODE_DIR" && cp "$SRCDIR/tests/package.json" "$list" "$NODE_DIR" &&
		(cd "$NODE_DIR" && npm ci --silent --ignore-scripts --no-audit --no-fund </dev/null) && touch "$NODE_DIR/.done"
}

live() {
	local status=0 line n
	if ! python_env || ! node_env; then
		echo '  FAILED: the packages that the live tests need could not be installed'
		count 0 1
		return
	fi
	# A shared machine can stall a test past its deadline: in CI each has a second try, and the summary names it (RERUN).
	# shellcheck disable=SC2086
	(cd "$SRCDIR/tests/live" && exec $RUN "$VENV/bin/python" -m pytest -p no:cacheprovider -q --color=no --maxfail=40 \
		${CI:+--reruns 1} --basetemp="$BUILDDIR/check/live" ${PYTEST_ARGS:-} .) 2>&1 </dev/null | tee check/live.log
	status=${PIPESTATUS[0]}
	line=$(grep -E '^=* ?[0-9]+ (passed|failed|error|skipped|deselected).* in [0-9.]+s' check/live.log | tail -n 1)
	n=0
	[[ $line =~ ([0-9]+)\ failed ]] && n=${BASH_REMATCH[1]}
	[[ $line =~ ([0-9]+)\ error ]] && n=$((n + BASH_REMATCH[1]))
	[[ $line =~ ([0-9]+)\ passed ]] && count "${BASH_REMATCH[1]}" 0
	[ "$status" -eq 0 ] || [ "$n" -gt 0 ] || n=1
	count 0 "$n"
}

# node_tests STAGE FILE... Browsers mostly wait: two files at a time, where node can.
node_tests() {
	local stage=$1 status pass fail two=
	shift
	[ "$stage" != web ] || ! node --help | grep -q -e --test-concurrency || two=--test-concurrency=2
	[ $# -gt 0 ] || return 0
	if ! node_env; then
		echo '  FAILED: the npm packages could not be installed'
		count 0 1
		return
	fi
	(cd "$SRCDIR" && exec timeout -k 10 900 node --test ${two:+"$two"} --test-reporter=spec "$@") 2>&1 </dev/null |
		tee "check/$stage.log"
	status=${PIPESTATUS[0]}
	if [ "$status" -ne 0 ] && [ -n "${CI:-}" ]; then
		echo "  FAILED: $stage; once more, since a shared machine can stall a test past its deadline"
		(cd "$SRCDIR" && exec timeout -k 10 900 node --test ${two:+"$two"} --test-reporter=spec "$@") 2>&1 </dev/null |
			tee "check/$stage.log"
		status=${PIPESTATUS[0]}
	fi
	pass=$(sed -n 's/^[^a-z]* pass \([0-9]*\)$/\1/p' "check/$stage.log" | tail -n 1)
	fail=$(sed -n 's/^[^a-z]* \(fail\|cancelled\) \([0-9]*\)$/\2/p' "check/$stage.log" | paste -sd+ | sed 's/^$/0/')
	count "${pass:-0}" "$((fail))"
	[ "$status" -eq 0 ] || [ "$((fail))" -gt 0 ] || count 0 1
}

# The files in tests/web that import support/browser.mjs are the browser's, the others run by themselves.
client() {
	# shellcheck disable=SC2046
	node_tests client $(cd "$SRCDIR" && grep -L support/browser.mjs tests/web/*.test.mjs)
}

# The library's declarations, and what TypeScript reads out of its JavaScript.
types() {
	node_env || return 0 # counted below
	if "$NODE_MODULES/.bin/tsc" -p "$SRCDIR/tests/web" </dev/null; then
		echo '  ok     the types of the client library'
		count 1 0
	else
		echo '  FAILED the types of the client library'
		count 0 1
	fi
}

web() {
	CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome)}
	export CHROMIUM
	types
	# shellcheck disable=SC2046
	node_tests web $(cd "$SRCDIR" && grep -l support/browser.mjs tests/web/*.test.mjs)
}

for stage in "$@"; do
	echo "--- $stage"
	case $stage in
	build | unit | corpus | live | client | web) $stage ;;
	*)
		echo "check.sh: no stage is called '$stage'" >&2
		exit 64
		;;
	esac
done
finish
