#!/bin/sh
# prices.sh [TIMES]: a price feed that wanders about, as events named `price`; prices.html shows it.
set -eu
url=${BELFRY_URL:-http://localhost:8080}
token=${BELFRY_TOKEN:?put a token into BELFRY_TOKEN}
times=${1:-1000}

bell=10000
rope=2500
n=0
while [ "$n" -lt "$times" ]; do
	n=$((n + 1))
	bell=$((bell + (n * 7919) % 201 - 100))
	rope=$((rope + (n * 104729) % 51 - 25))
	for pair in "BELL $bell" "ROPE $rope"; do
		cents=${pair#* }
		curl -fsS -o /dev/null -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \
			-d "$(printf '{"event": "price", "data": {"symbol": "%s", "price": %d.%02d}}' \
				"${pair% *}" $((cents / 100)) $((cents % 100)))" \
			"$url/publish/prices"
	done
	sleep "${PAUSE:-1}"
done
