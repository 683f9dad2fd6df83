#!/usr/bin/env bash
# autobahn.sh: Autobahn|Testsuite's fuzzing client, every case of it, against /echo of the belfryd in the build folder
# it is started from. Needs a Python 2.7, which the suite is written for; without one it says so and leaves. Everything
# lies in autobahn/, the report in autobahn/report/index.html. AUTOBAHN_CASES='["1.*", "7.1.*"]' chooses cases.
set -u
src=$(cd "$(dirname "$0")/.." && pwd) || exit 1
dir=$PWD/autobahn
cases=${AUTOBAHN_CASES:-'["*"]'}
all_cases=517
. "$src/build-aux/tally.sh"

# A pyenv shim on PATH need not stand for an installed Python: each is asked.
find_python() {
	local p
	for p in python2.7 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7*/bin/python2.7; do
		if "$p" -c 'import sys; sys.exit(sys.version_info[:2] != (2, 7))' >/dev/null 2>&1; then
			command -v "$p"
			return 0
		fi
	done
	return 1
}

if ! python=$(find_python); then
	echo 'skipped: Autobahn|Testsuite needs Python 2.7, and there is none on PATH or under pyenv'
	exit 0
fi

# The last versions that run there.
install_suite() {
	local pip='-m pip -q --disable-pip-version-check --no-python-version-warning'

	[ "$dir/venv/.done" -nt "$src/build-aux/autobahn.sh" ] && return 0
	echo '  installing Autobahn|Testsuite'
	rm -rf "${dir:?}/venv" "${dir:?}/boot"
	"$python" -m pip -q --disable-pip-version-check install --target "$dir/boot" virtualenv==16.7.12 2>"$dir/pip.log" &&
		PYTHONPATH=$dir/boot "$python" -m virtualenv -q --no-download "$dir/venv" >>"$dir/pip.log" 2>&1 || return 1
	# shellcheck disable=SC2086
	"$dir/venv/bin/python" $pip install autobahntestsuite==25.10.1 2>>"$dir/pip.log" && touch "$dir/venv/.done"
}

echo '--- autobahn'
mkdir -p "$dir"
if ! install_suite; then
	cat "$dir/pip.log"
	echo 'FAILED: Autobahn|Testsuite could not be installed'
	exit 1
fi

rm -rf "$dir/report" "$dir/secret"
./belfryctl secret "$dir/secret" >/dev/null || exit 1
cat >"$dir/belfryd.conf" <<END
listen = ( { address = "127.0.0.1"; port = 0; } );
web = { root = ""; };
echo = true;
auth = { secret_file = "secret"; };
storage = { backend = "memory"; };
limits = { message = "16M"; body = "16M"; messages_per_second = 0; drain = "1s"; };
END
./belfryd -c "$dir/belfryd.conf" 2>"$dir/belfryd.log" &
daemon=$!
trap 'kill $daemon 2>/dev/null' EXIT
port=
for _ in $(seq 100); do
	port=$(sed -n 's/.* server\.listen address=127\.0\.0\.1 port=\([0-9]*\).*/\1/p' "$dir/belfryd.log" | head -n 1)
	if [ -n "$port" ] || ! kill -0 $daemon 2>/dev/null; then
		break
	fi
	sleep 0.1
done
if [ -z "$port" ]; then
	cat "$dir/belfryd.log"
	echo 'FAILED: belfryd did not start'
	exit 1
fi

cat >"$dir/client.json" <<END
{
	"outdir": "$dir/report",
	"servers": [{"agent": "belfryd", "url": "ws://127.0.0.1:$port/echo"}],
	"cases": $cases,
	"exclude-cases": [],
	"exclude-agent-cases": {}
}
END
"$dir/venv/bin/wstest" -m fuzzingclient -s "$dir/client.json" >"$dir/wstest.log" 2>&1 </dev/null
status=$?
alive=yes
kill -0 $daemon 2>/dev/null || alive=no
kill $daemon 2>/dev/null
wait $daemon
ended=$?
trap - EXIT

# "CASE BEHAVIOR BEHAVIOR-CLOSE" of those that are not as they should be, then how many there were.
bad=0
total=0
while read -r name how close; do
	if [ "$name" = total ]; then
		total=$how
	else
		bad=$((bad + 1))
		printf '  FAILED case %-10s %s, closing %s\n' "$name" "$how" "$close"
	fi
done < <("$dir/venv/bin/python" - "$dir/report/index.json" <<'END'
import json, sys

good = ("OK", "INFORMATIONAL")
cases = json.load(open(sys.argv[1]))["belfryd"]
for name in sorted(cases, key=lambda n: [int(x) for x in n.split(".")]):
    c = cases[name]
    if c["behavior"] not in good or c["behaviorClose"] not in good:
        print name, c["behavior"].replace(" ", "-"), c["behaviorClose"].replace(" ", "-")
print "total", len(cases)
END
)
count $((total - bad)) "$bad"
echo "  report: $dir/report/index.html"
if [ "$status" -ne 0 ] || [ "$total" -eq 0 ]; then
	tail -n 20 "$dir/wstest.log"
	echo "  FAILED: wstest, exit status $status, $total cases"
	count 0 1
elif [ "$cases" = '["*"]' ] && [ "$total" -ne $all_cases ]; then
	echo "  FAILED: $total cases, not $all_cases"
	count 0 1
fi
if [ $alive = no ] || [ "$ended" -ne 0 ]; then
	tail -n 20 "$dir/belfryd.log"
	echo "  FAILED: belfryd, exit status $ended"
	count 0 1
fi
finish
