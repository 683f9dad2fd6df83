#!/usr/bin/env bash
# soak.sh: the soak of tests/soak for `make soak`, from inside a build folder. SOAK_BUILD says which daemon: `plain`, that
# of the folder, or `asan` (with UBSan) or `tsan`, each built in a folder of its own below it. SOAK_SECONDS is the length
# of the load; SOAK_ARGS are more arguments (`--seed 7`, `--workers 3`, `--faults deaf,storm`). Configuration and the
# daemon's log lie in soak/BUILD/wN. The exit status tells whether anything was found.
set -u
src=$(cd "$(dirname "$0")/.." && pwd) || exit 1
build=${SOAK_BUILD:-plain}
san='-O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all'
# The sanitizers' shadow memory does not fit every kernel's address randomisation.
run=
case $build in
plain) daemon=$PWD/belfryd ;;
asan) san="$san -fsanitize=address,undefined" ;;
tsan) san="$san -fsanitize=thread" ;;
*)
	echo "SOAK_BUILD is '$build'; plain, asan or tsan is wanted" >&2
	exit 64
	;;
esac
if [ "$build" != plain ]; then
	! setarch -R true 2>/dev/null || run='setarch -R'
	daemon=$PWD/soak/build-$build/belfryd
	mkdir -p "soak/build-$build" || exit 1
	(cd "soak/build-$build" && { [ -f config.mk ] || "$src/configure" -q CC=gcc CFLAGS="$san"; } &&
		make --no-print-directory all) || exit 1
fi
export BELFRYD=$daemon PYTHONDONTWRITEBYTECODE=1
# shellcheck disable=SC2086
exec $run python3 "$src/tests/soak/soak.py" --seconds "${SOAK_SECONDS:-300}" --folder "soak/$build" ${SOAK_ARGS:-}
