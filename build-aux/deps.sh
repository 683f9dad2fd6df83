#!/bin/sh
# deps.sh SET...: have Debian's packages of the named sets there (build, check, ci).
#
# Nothing is done, and nothing printed, when nothing is missing. Else the line is printed, and run by root or, on a
# terminal, by sudo; without either it is left to the reader and the exit status is 1.
set -eu

build='autoconf curl gcc libc6-dev libcjson-dev libconfig-dev libcurl4-openssl-dev|libcurl4-gnutls-dev libevent-dev
	libicu-dev libjwt-dev libsqlite3-dev libssl-dev make pkg-config|pkgconf zlib1g-dev'
check='check libhttp-parser-dev libjansson-dev python3-venv'
ci='binutils chromium clang clang-14 clang-format-14 clang-tidy-14 codespell cppcheck git libclang-rt-14-dev mandoc
	shellcheck systemd'

# Elsewhere packages have other names: configure says what is missing.
if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	exit 0
fi

wanted=
for set in "$@"; do
	case $set in
	build) wanted="$wanted $build" ;;
	check)
		wanted="$wanted $check"
		command -v node >/dev/null || wanted="$wanted nodejs"
		command -v npm >/dev/null || wanted="$wanted npm"
		;;
	ci) wanted="$wanted $ci" ;;
	*)
		echo "deps.sh: no set is called '$set'" >&2
		exit 64
		;;
	esac
done

# "a|b" is satisfied by either, and installs the first.
# shellcheck disable=SC2046,SC2016
installed=" $(dpkg-query -W -f '${db:Status-Status}:${Package} ' $(echo "$wanted" | tr '|' ' ') 2>/dev/null || :)"
missing=
for choice in $wanted; do
	found=no
	for package in $(echo "$choice" | tr '|' ' '); do
		case $installed in *" installed:$package "*) found=yes ;; esac
	done
	[ $found = yes ] || missing="$missing ${choice%%|*}"
done
[ -n "$missing" ] || exit 0

line="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" -eq 0 ]; then
	as=
elif [ -t 0 ] && command -v sudo >/dev/null; then
	as='sudo '
else
	printf 'These packages are missing. As root:\n\n  %s\n\n' "$line" >&2
	exit 1
fi

export DEBIAN_FRONTEND=noninteractive
if [ -z "$(find /var/lib/apt/lists -name '*_Packages*' -print -quit 2>/dev/null)" ]; then
	printf '%sapt-get update\n' "$as"
	${as:+sudo} apt-get -q update </dev/null
fi
printf '%s%s\n' "$as" "$line"
# shellcheck disable=SC2086
${as:+sudo} $line </dev/null
