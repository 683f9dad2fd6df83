#!/bin/sh
# counter.sh [TIMES]: publishes 1, 2, 3, ... on the topic `counter`; counter.html shows it.
set -eu
url=${BELFRY_URL:-http://localhost:8080}
token=${BELFRY_TOKEN:?put a token into BELFRY_TOKEN}
times=${1:-1000}

n=0
while [ "$n" -lt "$times" ]; do
	n=$((n + 1))
	curl -fsS -o /dev/null -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \
		-d "{\"topic\": \"counter\", \"data\": $n}" "$url/publish"
	sleep "${PAUSE:-1}"
done
