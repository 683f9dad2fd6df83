#!/bin/sh
# calls.sh BUILDDIR: our objects do not call what cannot be bounded, is not safe in threads, or goes past base/mem, whose
# failures the tests inject.
set -u
objects=$(find "$1/obj/src" -name '*.o')
[ -n "$objects" ] || { echo "$1: no objects to look at" && exit 1; }
# shellcheck disable=SC2086
nm -A -u $objects | awk '
	BEGIN {
		n = split("strcpy strcat stpcpy sprintf vsprintf gets scanf sscanf fscanf atoi atol atoll strtok alloca" \
		    " localtime gmtime ctime asctime rand srand random srandom drand48 gethostbyname inet_ntoa inet_addr" \
		    " setenv putenv strsignal ttyname tmpnam mktemp system popen", list, " ")
		for (i = 1; i <= n; i++)
			never[list[i]] = 1
		n = split("malloc calloc realloc reallocarray strdup strndup asprintf vasprintf", list, " ")
		for (i = 1; i <= n; i++)
			memory[list[i]] = 1
	}
	{
		file = $1
		sub(/:$/, "", file)
		sub(/^.*obj\//, "", file)
		name = $NF
		sub(/@.*/, "", name)
		sub(/^__isoc99_/, "", name)
		if (name ~ /^__.*_chk$/) {
			sub(/^__/, "", name)
			sub(/_chk$/, "", name)
		}
		if (name in never || (name in memory && file !~ /^src\/base\/mem\.o$/)) {
			print file ": calls " name
			bad = 1
		}
	}
	END { exit bad }'
