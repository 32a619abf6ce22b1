# Before the commands of a document: the program, a store with the sample call, a receiver, and what the placeholders mean.
set -eu
running=
trap 'kill $running 2>/dev/null || true' EXIT

export WEBHOOK_ASSETS_LISTEN="127.0.0.1:$GATEWAY" WEBHOOK_ASSETS_ADMIN_LISTEN="127.0.0.1:$ADMIN"
export WEBHOOK_ASSETS_PUBLIC_URL="http://127.0.0.1:$GATEWAY/api" WEBHOOK_ASSETS_STORE="file://$PWD/store"
export WEBHOOK_ASSETS_KEYS="$PWD/ring.json" WEBHOOK_ASSETS_DATABASE="sqlite:$PWD/calls.db"
export WEBHOOK_ASSETS_WEBHOOKS_ALLOW_HTTP=true WEBHOOK_ASSETS_WEBHOOKS_ALLOWED_NETWORKS=127.0.0.1

curl() { command curl --silent --show-error --fail-with-body --max-time 20 "$@"; }

# until_true PID LOG COMMAND…: waits for what must come of a process in the background, and fails with its log if it ends.
until_true() {
    process=$1 process_log=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        kill -0 "$process" 2>/dev/null || { cat "$process_log"; exit 1; }
        sleep 0.1
    done
}

serving() {
    if [ -n "${served:-}" ]; then kill "$served"; wait "$served" || true; fi
    webhook-assets serve >>serve.log 2>&1 &
    served=$!
    running="$running $served"
    until_true "$served" serve.log webhook-assets health
}

# listening LOG COMMAND…: a receiver in the background.
listening() {
    log=$1
    shift
    "$@" >"$log" 2>&1 &
    running="$running $!"
    until_true "$!" "$log" grep -q "listening on" "$log"
}

endpoint() { webhook-assets webhooks list --workspace acme | grep -o 'ep_[0-9a-f]*' | tail -n 1; }
delivery() { webhook-assets webhooks deliveries --workspace acme --status delivered | grep -o 'dlv_[0-9a-f_]*' | head -n 1; }
oldest_key() { webhook-assets keys list | sed -n '2s/ .*//p'; }
link() { webhook-assets mint recording 550e8400-e29b-41d4-a716-446655440000; }

webhook-assets keys new
echo k3y-of-acme >key.txt
echo "acme:open sesame" >login.txt
listening receiver.log webhook-assets webhooks listen --listen "127.0.0.1:$RECEIVER"
serving
set -x
