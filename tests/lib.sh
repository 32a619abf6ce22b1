# What the suites and .ci/run share: messages, installing, starting and stopping. Sourced, with the working directory at the
# top of the project and `set -euo pipefail`. `suite_name` is the suite's; `tools` and `work` are its folders (tests/run).

step() { printf '=== %s: %s\n' "$suite_name" "$*"; }
fail() { printf '%s: %s\n' "$suite_name" "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null; }

# need TOOL…: ends with the names of those that are missing.
need() {
    local tool missing=()
    for tool in "$@"; do has "$tool" || missing+=("$tool"); done
    ((${#missing[@]} == 0)) || fail "needs ${missing[*]}; install them and run this again"
}

# --- installing -------------------------------------------------------------------------------------------------------

# debian COMMAND PACKAGE…: installs the Debian packages whose command is missing. At a terminal it asks first.
debian() {
    local packages=() answer
    while (($#)); do
        has "$1" || packages+=("$2")
        shift 2
    done
    ((${#packages[@]})) || return 0
    { ((EUID == 0)) && has apt-get; } || fail "needs ${packages[*]} (Debian's names); install them and run this again"
    if [[ -t 0 ]]; then
        read -rp "$suite_name needs ${packages[*]}. Install them on this machine with apt-get? [y/N] " answer
        [[ $answer == [yY]* ]] || fail "needs ${packages[*]}; nothing was installed"
    fi
    step "installing ${packages[*]}"
    without_services apt_install "${packages[@]}"
}

apt_install() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=300 update -qq
    apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@" >/dev/null
}

# Debian starts the servers that it installs, unless this file forbids it.
without_services() {
    local policy=/usr/sbin/policy-rc.d status=0
    [[ ! -e $policy ]] || { "$@"; return; }
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
    "$@" || status=$?
    rm -f "$policy"
    return "$status"
}

# unpacked PACKAGE BINARY: prints the path of the binary: the machine's own, or that of a Debian package unpacked below
# $tools, never installed.
unpacked() {
    local root=$tools/$1
    if has "${2##*/}"; then command -v "${2##*/}"; return; fi
    if [[ ! -x $root/$2 ]]; then
        has apt-get && has dpkg || return 1
        step "unpacking Debian's $1" >&2
        rm -rf "$root"
        mkdir -p "$root"
        (
            cd "$root"
            apt-get download -qq "$1" || { ((EUID == 0)) && apt-get update -qq && apt-get download -qq "$1"; } || exit 1
            dpkg -x "$1"_*.deb . && rm -- *.deb
        ) >"$root.log" 2>&1 || { rm -rf "$root"; return 1; }
    fi
    printf '%s\n' "$root/$2"
}

# from_pypi NAME REQUIREMENTS [PIP OPTION…]: the packages of a requirements file, in a venv $tools/NAME. 1 if it cannot be made.
from_pypi() {
    local venv=$tools/$1 file=$2 mark
    mark=$venv/installed-$(sha256sum "$file" | cut -c 1-16)
    [[ ! -e $mark ]] || return 0
    step "installing from PyPI: $(grep -o '^[A-Za-z][A-Za-z0-9._-]*' "$file" | paste -sd ' ')"
    rm -rf "$venv"
    python3 -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check -r "$file" "${@:3}" || {
        rm -rf "$venv"
        echo "$suite_name: that needs python3 with venv (Debian: python3-venv) and PyPI" >&2
        return 1
    }
    touch "$mark"
}

# from_npm FOLDER PACKAGE VERSION [OVERRIDES]: one package with what it needs, in $tools/FOLDER.
from_npm() {
    local folder=$tools/$1
    local mark=$folder/installed-$3
    [[ ! -e $mark ]] || return 0
    step "installing from npm: $2 $3"
    rm -rf "$folder"
    mkdir -p "$folder"
    printf '{"private": true, "dependencies": {"%s": "%s"}, "overrides": %s}\n' "$2" "$3" "${4:-{\}}" \
        >"$folder/package.json"
    npm install --prefix "$folder" --no-audit --no-fund --loglevel=error
    touch "$mark"
}

# from_cargo NAME VERSION: a program from crates.io. It goes into cargo's own folder, where every clone finds it. What the
# programs have in common is compiled once, and without optimisation: they have little to do here.
from_cargo() {
    ! has "$1" || return 0
    step "installing by cargo: $1 $2"
    CARGO_TARGET_DIR=$PWD/target/from-cargo CARGO_INCREMENTAL=0 \
        cargo install --quiet --locked --debug --config profile.dev.debug=false --version "$2" "$1"
}

# program: builds the development build, unless WEBHOOK_ASSETS_PROGRAM names another, and names it there.
program() {
    if [[ -z ${WEBHOOK_ASSETS_PROGRAM:-} ]]; then
        step "building the program"
        cargo build --locked --bin webhook-assets
        WEBHOOK_ASSETS_PROGRAM=$PWD/target/debug/webhook-assets
    fi
    export WEBHOOK_ASSETS_PROGRAM
}

# --- starting and stopping --------------------------------------------------------------------------------------------

pids=()

# start LOG COMMAND…: in the background, with its output in $work/LOG.log.
start() {
    local log=$work/$1.log
    shift
    "$@" >"$log" 2>&1 </dev/null &
    pids+=($!)
}

# ready LOG URL: waits until the server that was started last answers 2xx there.
ready() {
    local log=$1 url=$2 pid=${pids[-1]} begun=$SECONDS
    until curl -sf -o /dev/null --max-time 2 "$url"; do
        kill -0 "$pid" 2>/dev/null || fail "$log has ended; see its last lines below"
        ((SECONDS - begun < 60)) || fail "$log does not answer after 60 s"
        sleep 0.1
    done
    step "$log is ready"
}

any_alive() {
    local pid
    for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null && return 0; done
    return 1
}

# Stops everything: two seconds after SIGTERM comes SIGKILL. Nothing in $work is worth keeping.
stop() {
    local status=$? pid log
    trap - EXIT INT TERM
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for _ in {1..20}; do
        any_alive || break
        sleep 0.1
    done
    for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    ! declare -F stop_suite >/dev/null || stop_suite || true
    wait 2>/dev/null || true
    if ((status != 0)); then
        for log in "$work"/*.log; do
            [[ -s $log ]] && { step "the last lines of ${log##*/}"; tail -n 5 "$log" | cut -c 1-300; }
        done >&2 || true
    fi
    rm -rf "$work"
    exit "$status"
}

# free_ports N: N ports that are free now, whose partners 10000 higher are free too (SeaweedFS takes both).
free_ports() {
    python3 - "$1" <<'P'
import random, socket, sys

def free(port):
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False

found = set()
while len(found) < int(sys.argv[1]):
    # Below the range from which the kernel takes ports for outgoing connections, partners included.
    port = random.randrange(11000, 22000)
    if port + 10000 < 32768 and free(port) and free(port + 10000):
        found.add(port)
print(*found)
P
}
