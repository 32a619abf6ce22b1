#!/usr/bin/env bash
# Runs nginx with deploy/nginx.conf on this machine, as any user, with a certificate for the occasion:
#
#     bash examples/nginx.sh [PORT [GATEWAY [FOLDER]]]
#
# PORT (8443) takes HTTPS on loopback, GATEWAY (127.0.0.1:8080) is the gateway's address, and FOLDER (a temporary one)
# gets certificate and logs. Any further arguments are nginx's: -t checks the configuration. NGINX names the program.
# With ADMIN=127.0.0.1:8081 it serves the settings page, too, by deploy/nginx-settings-page.conf, as hooks.example.com;
# with PREFIX=/hooks, too, the page is at https://hooks.example.com/hooks/console.
# In production, copy the files as their heads say.
set -euo pipefail
port=${1:-8443} gateway=${2:-127.0.0.1:8080} folder=${3:-$(mktemp -d)}
shift "$(($# < 3 ? $# : 3))"
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
confs=("$(dirname "${BASH_SOURCE[0]}")/../deploy/nginx.conf")
[[ -z ${ADMIN:-} ]] || confs+=("${confs[0]%.conf}-settings-page.conf")

[[ -e $folder/privkey.pem ]] || openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=app.example.com \
    -addext subjectAltName=DNS:app.example.com,DNS:hooks.example.com \
    -keyout "$folder/privkey.pem" -out "$folder/fullchain.pem" 2>/dev/null
# Replaces ports, certificate and logs; everything else is the file as it stands.
sed -e "s#/etc/ssl/[a-z]*.example.com#$folder#; s#/var/log/nginx#$folder#" \
    -e "s#127.0.0.1:8080#$gateway#; s#127.0.0.1:8081#${ADMIN:-}#" \
    -e "s#^\( *location [= ]*\)/console#\1${PREFIX:-}/console#" \
    -e "/listen \[::\]:443/d; s#listen 443#listen 127.0.0.1:$port#" "${confs[@]}" >"$folder/site.conf"
{
    ((EUID != 0)) || echo "user root;"
    # One process, so that nothing goes on when it is killed.
    printf 'daemon off;\nmaster_process off;\npid %s/nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\n' "$folder"
    for place in client_body proxy fastcgi uwsgi scgi; do echo "${place}_temp_path $folder/$place;"; done
    printf 'access_log off;\ninclude %s/site.conf;\n}\n' "$folder"
} >"$folder/nginx.conf"
echo "https://127.0.0.1:$port -> http://$gateway; certificate and logs in $folder"
exec "${NGINX:-nginx}" -p "$folder" -c "$folder/nginx.conf" -e "$folder/start.log" "$@"
