#!/bin/sh
# globals.sh BUILDDIR: no object of ours holds writable memory that outlives a call. Constant tables of pointers are in
# .data.rel.ro, which the linker makes read-only, and are welcome.
set -u
objects=$(find "$1/obj/src" -name '*.o')
[ -n "$objects" ] || { echo "$1: no objects to look at" && exit 1; }
# shellcheck disable=SC2086
objdump -t $objects | awk '
	/file format/ { file = $1; sub(/:$/, "", file); sub(/^.*obj\//, "", file); next }
	/ \.(data|bss|tdata|tbss)/ || / \*COM\*/ {
		if ($0 ~ /\.data\.rel\.ro/ || $NF ~ /^\.(data|bss|tdata|tbss)/)
			next
		print file ": writable " $NF
		bad = 1
	}
	END { exit bad }'
