# shellcheck shell=bash
# Sourced by the scripts that run tests: counts what passed and failed, ends with the line that is read by people and
# by .ci/run.

n_passed=0
n_failed=0
failed_logs=() # of count_log, for finish

# count PASSED FAILED
count() {
	n_passed=$((n_passed + $1))
	n_failed=$((n_failed + $2))
}

# count_log FILE STATUS WHAT: adds up the last "N passed, N failed" line in FILE. A failure (STATUS) that the line does
# not know of, such as a build that broke, counts as one.
count_log() {
	local line
	line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$1" | tail -n 1)
	if [[ $line =~ ^([0-9]+)' passed, '([0-9]+) ]]; then
		count "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
		[ "$2" -eq 0 ] || [ "${BASH_REMATCH[2]}" -gt 0 ] || count 0 1
	elif [ "$2" -eq 0 ]; then
		count 1 0
	else
		count 0 1
	fi
	[ "$2" -ne 0 ] || return 0
	echo "FAILED: $3"
	failed_logs+=("$1")
}

# finish: what failed, each with what it said first (the logs before can be longer than what a reader is shown), then the
# last line and the exit status that goes with it.
finish() {
	local log
	for log in ${failed_logs[@]+"${failed_logs[@]}"}; do
		printf -- '--- %s\n' "$log"
		grep -nE -A "${TALLY_AFTER:-12}" 'FAILED|^FAILED|^(not ok|✖)|: error: |warning: |ERROR: |Sanitizer' "$log" |
			cut -c 1-300 | head -n "${TALLY_LINES:-60}"
	done
	echo "$n_passed passed, $n_failed failed"
	[ "$n_failed" -eq 0 ]
	exit
}
