#!/usr/bin/env bash
# fuzz.sh: builds the fuzzers with clang's libFuzzer and the sanitizers in fuzz/ of the build folder, and runs each for
# FUZZ_SECONDS; with FUZZ_SEED its chances are the same each time. What is found new goes to fuzz/corpus; what
# crashes, to fuzz/crash-*, and is worth a test vector.
set -u
src=$(cd "$(dirname "$0")/.." && pwd) || exit 1
seconds=${FUZZ_SECONDS:-60}
seed=${FUZZ_SEED:-0} # 0: another each time
jobs=$(nproc 2>/dev/null || echo 2)
. "$src/build-aux/tally.sh"

mkdir -p fuzz && cd fuzz || exit 1
if [ ! -f config.mk ]; then
	"$src/configure" -q CC="${FUZZ_CC:-clang}" \
		CFLAGS='-O1 -g -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all -fno-omit-frame-pointer' || exit 1
fi
make --no-print-directory fuzzers FUZZ_ENGINE=-fsanitize=fuzzer || exit 1

run_fuzzer() {
	local bin=$1 name=${1#fuzzers/fuzz_}
	local -a dict=() seeds=()
	mkdir -p "corpus/$name"
	[ ! -f "$2/tests/fuzz/$name.dict" ] || dict=("-dict=$2/tests/fuzz/$name.dict")
	[ ! -d "$2/tests/fuzz/corpus/$name" ] || seeds=("$2/tests/fuzz/corpus/$name")
	$RUN "$bin" -max_total_time="$3" "-seed=$4" -timeout=10 -rss_limit_mb=1024 -max_len=16384 -print_final_stats=1 \
		"-artifact_prefix=crash-$name-" "${dict[@]}" "corpus/$name" "${seeds[@]}" >"$name.log" 2>&1 </dev/null
	echo "$name $?"
}
export -f run_fuzzer
# The sanitizers' shadow memory does not fit every kernel's address randomisation.
RUN=
! setarch -R true 2>/dev/null || RUN='setarch -R'
export RUN

echo "--- fuzz ($seconds s each)"
while read -r name status; do
	if [ "$status" -eq 0 ]; then
		count 1 0
		printf '  ok     %-20s %s runs\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$name.log")"
	else
		count 0 1
		printf '  FAILED %-20s\n' "$name"
		tail -n 40 "$name.log" | sed 's/^/    /'
	fi
done < <(for f in fuzzers/fuzz_*; do [ ! -x "$f" ] || echo "$f"; done |
	xargs -r -P "$jobs" -I '{}' bash -c 'run_fuzzer "$@"' - '{}' "$src" "$seconds" "$seed")
finish
