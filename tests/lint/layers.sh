#!/bin/sh
# layers.sh: each file of src/ includes project headers of its own layer and of those before it in src/LAYERS only,
# written from src/, and each .c file its own header first; src/LAYERS has a line for each file. Run in the source folder.
set -u
order=$(sed -n 's/^\([a-z]\{1,\}\)	.*/\1/p' src/LAYERS)
bad=0
complain() {
	echo "$1"
	bad=1
}

rank() {
	n=0
	for layer in $order; do
		n=$((n + 1))
		[ "$layer" != "$1" ] || { echo $n && return; }
	done
	echo 0
}

for dir in src/*/; do
	dir=${dir%/} && dir=${dir#src/}
	[ "$(rank "$dir")" -gt 0 ] || complain "src/$dir: not in src/LAYERS"
done
for layer in $order; do
	[ -d "src/$layer" ] || complain "src/LAYERS: there is no src/$layer"
	mine=$(rank "$layer")
	# file:line:header of each quoted include
	includes=$(grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' /dev/null "src/$layer"/*.[ch] 2>/dev/null |
		sed 's/^\([^:]*:[0-9]*\):[^"]*"\([^"]*\)".*/\1:\2/')
	for found in $includes; do
		header=${found##*:}
		place=${found%:*}
		case $header in
		*/*) ;;
		*)
			complain "$place: \"$header\" is not written from src/"
			continue
			;;
		esac
		theirs=$(rank "${header%%/*}")
		if [ ! -f "src/$header" ]; then
			complain "$place: there is no src/$header"
		elif [ "$theirs" -eq 0 ] || [ "$theirs" -gt "$mine" ]; then
			complain "$place: $layer may not include $header"
		fi
	done
	named=$(awk -F '\t' -v layer="$layer" '/^[a-z]/ { here = $1 == layer } /^\t/ && here { print $2 }' src/LAYERS)
	for file in "src/$layer"/*; do
		name=${file##*/} && name=${name%.*}
		echo "$named" | grep -qx "$name" || complain "$file: src/LAYERS does not say what it is for"
	done
	for name in $named; do
		ls "src/$layer/$name".* >/dev/null 2>&1 || complain "src/LAYERS: there is no src/$layer/$name"
	done
	# A .c file includes its own header first: so each header is seen to stand alone.
	for c in "src/$layer"/*.c; do
		[ -f "${c%.c}.h" ] || continue
		own=${c#src/} && own=${own%.c}.h
		first=$(sed -n 's/^#include *//p' "$c" | head -n 1)
		[ "$first" = "\"$own\"" ] || complain "$c: the first include is $first, not \"$own\""
	done
done
exit $bad
