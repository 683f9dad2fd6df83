#!/usr/bin/env bash
# run.sh: serves a chat on localhost from a build folder, for `make run` (PORT says where). Secret, configuration and
# data lie in run/ below it. Control-C ends the daemon.
set -eu
src=$(cd "$(dirname "$0")/.." && pwd)
port=${PORT:-8080}
url=http://localhost:$port
dir=$PWD/run

case $port in
'' | *[!0-9]* | 0* | ??????*) wrong=yes ;;
*) wrong=$([ "$port" -le 65535 ] || echo yes) ;;
esac
if [ -n "$wrong" ]; then
	echo "PORT is '$port'; a number from 1 to 65535 is wanted" >&2
	exit 64
fi

busy() {
	printf '\nPort %s is taken by another program. Choose another one:\n\n  make run PORT=%s\n\n' \
		"$port" $((port < 65535 ? port + 1 : 8081)) >&2
}
for address in 127.0.0.1 ::1; do
	if (exec 3<>"/dev/tcp/$address/$port") 2>/dev/null; then
		busy
		exit 1
	fi
done

mkdir -p "$dir"
chmod 700 "$dir"
if [ ! -s "$dir/secret" ]; then
	rm -f "$dir/secret"
	./belfryctl secret "$dir/secret" >/dev/null
fi
chmod 600 "$dir/secret"

# The sample names the files as they lie in the clone; here they lie elsewhere.
sed -e "s|^\(.*port *= *\)8080\b|\1$port|" \
	-e "s|\(root *= *\)\"[^\"]*\"|\1\"$src/web\"|" \
	-e "s|\(secret_file *= *\)\"[^\"]*\"|\1\"secret\"|" \
	-e "s|\(path *= *\)\"[^\"]*\"|\1\"belfry.db\"|" "$src/etc/belfryd-dev.conf" >"$dir/belfryd.conf"
./belfryd -t -c "$dir/belfryd.conf" >/dev/null
token=$(./belfryctl token -c "$dir/belfryd.conf" --sub dev --name Dev --ttl 30d --subscribe '**' --publish '**' \
	--direct '*')

# Says how to go on once the daemon serves; it goes away with this process, which becomes the daemon.
announce() {
	for _ in $(seq 100); do
		kill -0 $$ 2>/dev/null || return 0
		if curl -fs -o /dev/null --max-time 1 "$url/readyz"; then
			cat <<END

Belfry serves on $url/ (Control-C ends it). Open it in two windows and talk.

For the lines below, in other terminals:

export T=$token

curl -N -H "Authorization: Bearer \$T" "$url/events?topic=ops/**"
curl -d 'Backup done' -H "Authorization: Bearer \$T" $url/publish/ops/backup
BELFRY_URL=$url BELFRY_TOKEN=\$T $PWD/belfryctl chat lobby

END
			return 0
		fi
		sleep 0.1
	done
}
announce &
exec ./belfryd -c "$dir/belfryd.conf"
