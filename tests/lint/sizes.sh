#!/bin/sh
# sizes.sh: no source file grows over its ceiling; the live tests, one file an area, may be long. Run in the
# source folder.
set -u
find src tests web examples build-aux .ci -type f \( -name '*.[ch]' -o -name '*.js' -o -name '*.mjs' \
	-o -name '*.sh' -o -name '*.css' -o -name run \) -exec wc -l {} + 2>/dev/null |
	awk '$2 != "total" && $1 > 700 { print $2 ": " $1 " lines, 700 is the ceiling"; bad = 1 } END { exit bad }'
