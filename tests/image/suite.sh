#!/usr/bin/env bash
# The image of the Dockerfile, built by buildah, and run by podman as its own user with a read-only root.
#
#     bash tests/run image            builds and runs it; the build takes some ten minutes, so CI leaves this suite out
#     bash tests/run image PROGRAM    runs it with a program that is built already, instead of the first stage
#
# Needs root; buildah, podman, runc and mmdebstrap come from Debian. If the registries of the base images are out of reach,
# the suite makes both under the same names, from Debian's packages and this machine's Rust. Images, containers and volumes
# are below target/image, and gone at the end.

source tests/image/storage.sh

readonly CALL=550e8400-e29b-41d4-a716-446655440000
# The bytes of a recording that takes some seconds to download.
readonly LONG=60000000
passed=0

pass() { passed=$((passed + 1)); printf 'ok    %s\n' "$*"; }

stop_suite() { remove_storage; }

build() {
    if [[ -z $built ]]; then
        buildah bud --format docker --isolation chroot --network host --pull-never --quiet --tag webhook-assets .
        pass "the Dockerfile is built"
        return
    fi
    # The second stage alone, with the program where the first would have left it.
    local context=$work/context
    install -D "$built" "$context/build/target/dist/webhook-assets"
    mkdir "$context/empty"
    sed -n '/^FROM gcr/,$p' Dockerfile | sed 's/--from=build //; s# /build/target# build/target#; s# /empty# empty/#' >"$context/Dockerfile"
    buildah bud --format docker --isolation chroot --pull-never --quiet --tag webhook-assets "$context"
    pass "the last stage of the Dockerfile is built, with $built"
}

# --- running it -------------------------------------------------------------------------------------------------------

# image NAME OPTION… -- ARGUMENT…: runs a container with a read-only root on this machine's network.
image() {
    local name=$1 options=()
    shift
    while [[ $1 != -- ]]; do options+=("$1"); shift; done
    shift
    podman run --name "$name" --read-only --network host "${settings[@]}" "${options[@]}" localhost/webhook-assets "$@"
}

# until_ok COMMAND…: waits until it succeeds.
until_ok() {
    local begun=$SECONDS
    until "$@" >/dev/null 2>&1; do
        ((SECONDS - begun < 30)) || fail "not in 30 s: $*"
        sleep 0.2
    done
}

api() { curl -sf --max-time 10 -H 'Content-Type: application/json' "http://127.0.0.1:$admin$1" "${@:2}"; }

is_not_root() {
    [[ $(podman image inspect --format '{{.Config.User}}' localhost/webhook-assets) == 65532:65532 ]] ||
        fail "the image runs as root"
    image version --rm -- --version | grep -q '^webhook-assets ' || fail "the program does not start"
    if podman run --rm --entrypoint /bin/sh localhost/webhook-assets -c true 2>/dev/null; then fail "the image has a shell"; fi
    pass "it runs as 65532, with a read-only root, and has no shell"
}

serves() {
    image keys --rm -v keys:/etc/webhook-assets -- keys new >/dev/null
    image first -d -v keys:/etc/webhook-assets:ro -v data:/var/lib/webhook-assets -- serve >/dev/null
    until_ok podman healthcheck run first
    until_ok curl -sf "http://127.0.0.1:$admin/readyz"
    pass "its health check passes, and /readyz says ready"
    link=$(podman exec first webhook-assets mint recording "$CALL")
    curl -sf "$link" | cmp - "fixtures/recordings/$CALL.mp3" || fail "the recording is not whole"
    pass "a link that it mints opens the recording"
}

hands_in_a_call() {
    api /v1/workspaces/acme/endpoints -d '{"url": "http://127.0.0.1:9/"}' >/dev/null
    api /v1/calls -d "{\"workspace\": \"acme\", \"call_id\": \"call-1\", \"recording\": \"$CALL\", \"transcript\": null,
        \"call\": {\"ended_at\": \"2025-12-17T14:30:00.000Z\", \"status\": \"connected\", \"direction\": \"outgoing\",
        \"duration_seconds\": 180, \"from_number\": \"+33100000000\", \"to_number\": \"+33600000000\", \"summary\": null},
        \"prospect\": {\"first_name\": \"John\", \"last_name\": \"Doe\", \"email\": null, \"company\": null},
        \"user\": {\"name\": \"Jane\", \"email\": \"jane@example.com\"}, \"list\": null}" >/dev/null ||
        fail "the call is not accepted"
    podman exec first webhook-assets backup --with-keys /var/lib/webhook-assets/backup >/dev/null
    podman cp first:/var/lib/webhook-assets/backup "$work/backup"
}

# More than sockets hold, so that the program has not sent all of it when the container stops.
drains() {
    local id=019b2ce0-b540-7a3e-8c1d-5f6a7b8c9d0e download long
    long=$(podman exec first webhook-assets mint recording "$id")
    curl -sf --limit-rate 10M -o "$work/slow.mp3" "$long" &
    download=$!
    until_ok test -s "$work/slow.mp3"
    podman stop --time 35 first >/dev/null &
    sleep 1
    (($(stat -c %s "$work/slow.mp3") < LONG)) || fail "the download has ended before the container stops"
    wait "$download" || fail "a download was cut when the container stopped"
    wait
    cmp "$work/slow.mp3" "$work/store/recordings/$id.mp3" || fail "a download was cut when the container stopped"
    [[ $(podman inspect --format '{{.State.ExitCode}}' first) == 0 ]] || fail "it does not exit with 0"
    pass "podman stop lets a download finish, and it exits with 0"
}

is_restored() {
    podman rm first >/dev/null
    podman volume rm keys data >/dev/null
    chown -R 65532:65532 "$work/backup"
    image restore --rm -v keys:/etc/webhook-assets -v data:/var/lib/webhook-assets -v "$work/backup:/backup:ro" -- \
        restore /backup >/dev/null
    image second -d -v keys:/etc/webhook-assets:ro -v data:/var/lib/webhook-assets -- serve >/dev/null
    until_ok curl -sf "http://127.0.0.1:$admin/readyz"
    api '/v1/workspaces/acme/deliveries?call_id=call-1' | grep -q '"call_id":"call-1"' ||
        fail "the call is not in the restored volume"
    curl -sf "$link" | cmp - "fixtures/recordings/$CALL.mp3" || fail "a link from before does not open"
    podman stop --time 35 second >/dev/null
    pass "new volumes are restored from the backup: the call is there, and the link from before opens"
}

suite() {
    ((EUID == 0)) || fail "needs root: it mounts overlays and runs containers"
    image_tools
    built=${1:-}
    [[ -z $built || -x $built ]] || fail "there is no program $built"
    configure
    # A program that is built already needs no stage that builds.
    if [[ -z $built ]]; then provide_bases $(bases); else provide_bases "$(bases | tail -n 1)"; fi
    build
    local gateway settings link
    read -r gateway admin < <(free_ports 2)
    mkdir "$work/store"
    cp -r fixtures/recordings fixtures/transcripts "$work/store/"
    head -c "$LONG" /dev/urandom >"$work/store/recordings/019b2ce0-b540-7a3e-8c1d-5f6a7b8c9d0e.mp3"
    chmod -R a+rX "$work/store"
    settings=(-e "WEBHOOK_ASSETS_LISTEN=127.0.0.1:$gateway" -e "WEBHOOK_ASSETS_ADMIN_LISTEN=127.0.0.1:$admin"
        -e "WEBHOOK_ASSETS_PUBLIC_URL=http://127.0.0.1:$gateway" -e WEBHOOK_ASSETS_STORE=file:///srv/assets
        -e WEBHOOK_ASSETS_KEYS=/etc/webhook-assets/keys.json -e WEBHOOK_ASSETS_WEBHOOKS_ALLOW_HTTP=true
        -e WEBHOOK_ASSETS_WEBHOOKS_ALLOWED_NETWORKS=127.0.0.0/8 -v "$work/store:/srv/assets:ro")
    is_not_root
    serves
    hands_in_a_call
    drains
    is_restored
    step "$passed passed"
}
