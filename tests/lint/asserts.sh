#!/bin/sh
# asserts.sh: nothing that a peer sends can end the daemon by its own hand. Each place that could is listed here, with the
# reason why no peer gets there.
set -u
allowed='
src/net/conn.c:assert   the one function that changes a state; its callers have looked (see there)
src/base/rng.c:abort    a kernel without getrandom
'
found=$(grep -rnoE '(^|[^_[:alnum:]])(assert|abort|exit|_exit|_Exit|quick_exit|raise|__assert_fail|__builtin_trap|__builtin_unreachable)\(' \
	--include='*.[ch]' src/base src/proto src/core src/store src/net src/serve src/daemon |
	sed -E 's/:[0-9]+:[^_[:alnum:]]*/:/; s/\($//' | sort | uniq -c)
echo "$found" | while read -r n place; do
	if [ "$n" -ne 1 ] || ! echo "$allowed" | grep -q "^$place "; then
		echo "$place: $n times, not among those that tests/lint/asserts.sh knows no peer to reach"
	fi
done | grep . && exit 1
exit 0
