#!/usr/bin/env bash
# The Debian package: packed twice, read by lintian, and installed, upgraded, removed and purged in a Debian that the suite makes.
#
#     bash tests/run deb              with the development build of the program
#     bash tests/run deb PROGRAM      with another one
#
# Needs root; mmdebstrap, lintian and dpkg-dev come from Debian, cargo-deb by `cargo install`. The Debian is a folder below
# target/deb, in which systemd runs as the first process of namespaces of its own: it sees no process, network or cgroup of
# this machine. Where systemd does not start that way, the steps of the service are skipped, and the others run in a chroot.

readonly CALL=550e8400-e29b-41d4-a716-446655440000
readonly SETTINGS=/etc/webhook-assets/settings.toml
passed=0
skipped=()

pass() { passed=$((passed + 1)); printf 'ok    %s\n' "$*"; }
skip() { skipped+=("$*"); }

stop_suite() {
    [[ ! -d ${cgroup:-} ]] || find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null
}

# --- the package ------------------------------------------------------------------------------------------------------

# The package of one program; `bash tests/run reproducible` compares two programs, too.
is_reproducible() {
    bash deploy/debian/build "$program" --fast --output "$work/now.deb" >/dev/null
    TZ=Pacific/Kiritimati LC_ALL=C.UTF-8 bash -c 'umask 077; "$@"' - \
        bash deploy/debian/build "$program" --fast --output "$work/again.deb" >/dev/null
    cmp "$work/now.deb" "$work/again.deb" || fail "packed twice, it has different bytes"
    pass "packed twice, it has the same $(stat -c %s "$work/now.deb") bytes"
}

# lintian takes its time beside the other steps; this is the last one.
is_as_debian_wants_it() {
    wait "$lintian" || { cat "$work/lintian.log" >&2; fail "lintian: the above"; }
    pass "lintian has no complaint ($(lintian --version))"
}

# The package of a version before: other settings, an older program.
make_the_version_before() {
    local folder=$work/before
    dpkg-deb --raw-extract "$work/now.deb" "$folder"
    sed -i 's/^Version: .*/Version: 0.0.1-1/' "$folder/DEBIAN/control"
    sed -i 's/^\[store\]/# A line of the version before.\n&/' "$folder$SETTINGS"
    sed -i '1i # A line of the version before.' "$folder/etc/webhook-assets/environment"
    sed -i 's/^Description=.*/Description=The version before/' "$folder/usr/lib/systemd/system/webhook-assets.service"
    dpkg-deb --build -Znone "$folder" "$work/before.deb" >/dev/null
}

# --- a Debian to install it on ----------------------------------------------------------------------------------------

make_debian() {
    local base=$tools/bookworm.tar
    root=$work/debian
    if [[ ! -e $base ]]; then
        step "making a Debian for the tests (mmdebstrap)"
        mmdebstrap --quiet --variant=minbase --include=systemd,ca-certificates bookworm "$base.part.tar"
        mv "$base.part.tar" "$base"
    fi
    mkdir "$root"
    tar -C "$root" -xf "$base"
    # Nothing of it may ask the network.
    ln -sf /dev/null "$root/etc/systemd/system/apt-daily.timer"
    ln -sf /dev/null "$root/etc/systemd/system/apt-daily-upgrade.timer"
    mkdir -p "$root/packages" "$root/srv/call-assets"
    cp "$work"/{before,now}.deb "$root/packages/"
    cp -r fixtures/recordings fixtures/transcripts "$root/srv/call-assets/"
}

# What `unshare` runs as the first process of the new namespaces: mounts what a machine has, and becomes systemd.
readonly FIRST_PROCESS='
    root=$1
    mount --make-rprivate /
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    for device in null zero full random urandom tty; do
        touch "$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device"
    done
    ln -s /proc/self/fd "$root/dev/fd"
    mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    cd "$root"
    pivot_root . mnt
    umount -l /mnt
    # systemd hands credentials to services by mounts that pass from one namespace to another.
    mount --make-rshared /
    exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=multi-user.target
'

# boots: 1 if systemd does not start here.
boots() {
    local cgroups shell
    cgroups=$(findmnt --noheadings --types cgroup2 --output TARGET | head -n 1)
    [[ -n $cgroups ]] || return 1
    cgroup=$cgroups/webhook-assets-deb.$$
    mkdir "$cgroup" 2>/dev/null || return 1
    start systemd bash -c 'echo $$ >"$1/cgroup.procs" && exec "${@:2}"' - "$cgroup" \
        unshare --mount --pid --net --ipc --uts --cgroup --fork --kill-child bash -ec "$FIRST_PROCESS" - "$root"
    shell=${pids[-1]}
    for _ in {1..100}; do
        kill -0 "$shell" 2>/dev/null || return 1
        first=$(pgrep --parent "$shell" || true)
        case $(machine systemctl is-system-running 2>/dev/null) in
            running) return 0 ;;
            degraded) machine systemctl --failed --no-pager >&2; return 0 ;;
        esac
        sleep 0.2
    done
    return 1
}

# machine COMMAND…: on that Debian, as its root.
machine() {
    local here=(env -i DEBIAN_FRONTEND=noninteractive HOME=/root LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin)
    if [[ -n ${first:-} ]]; then
        nsenter --target "$first" --mount --pid --net --ipc --uts --cgroup --root --wd "${here[@]}" "$@" </dev/null
    elif [[ -z ${booted:-} ]]; then
        return 1
    else
        unshare --mount bash -ec 'mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"; exec chroot "$@"' - \
            "$root" "${here[@]}" "$@" </dev/null
    fi
}

# apt ARGUMENT…: an operator's apt-get; its output is in $work/apt, without what a terminal needs.
apt() {
    machine apt-get -y -q -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold "$@" >"$work/apt" 2>&1 ||
        { cat "$work/apt" >&2; fail "apt-get $*: the above"; }
}

# is PATH "MODE USER GROUP"
is() {
    local found
    found=$(machine stat -c '%a %U %G' "$1") || fail "$1 is not there"
    [[ $found == "$2" ]] || fail "$1 is $found, and should be $2"
}

is_there() { [[ -e $root$1 ]] || fail "$1 is gone"; }
is_gone() { [[ ! -e $root$1 ]] || fail "$1 is still there"; }

says() { grep -qF -e "$1" "$work/apt" || { cat "$work/apt" >&2; fail "apt-get does not say: $1"; }; }

# web ARGUMENT…: this machine's curl, in the other's network.
web() { nsenter --target "$first" --net curl -sf --max-time 10 "$@"; }

active() { [[ $(machine systemctl is-active "$1") == active ]]; }

until_ready() {
    for _ in {1..150}; do
        web -o /dev/null http://127.0.0.1:8081/readyz -H "$bearer" && return
        sleep 0.1
    done
    machine journalctl -u webhook-assets --no-pager -n 20 >&2
    fail "the service does not become ready: the above"
}

# --- an installation's life -------------------------------------------------------------------------------------------

installs() {
    local page shell
    apt install /packages/before.deb
    says "webhook-assets is installed, but not started"
    machine getent passwd webhook-assets | grep -q ':/var/lib/webhook-assets:/usr/sbin/nologin$' || fail "there is no user webhook-assets"
    is /etc/webhook-assets "750 root webhook-assets"
    is /etc/webhook-assets/environment "600 root root"
    is "$SETTINGS" "644 root root"
    is /usr/bin/webhook-assets "755 root root"
    for page in webhook-assets webhook-assets-serve webhook-assets-webhooks-add; do is_there "/usr/share/man/man1/$page.1.gz"; done
    for shell in bash-completion/completions/webhook-assets zsh/vendor-completions/_webhook-assets fish/vendor_completions.d/webhook-assets.fish; do
        is_there "/usr/share/$shell"
    done
    machine bash -c '. /usr/share/bash-completion/completions/webhook-assets && complete -p webhook-assets' >/dev/null ||
        fail "bash does not read the completions"
    pass "installed: a user, the modes of files, manual pages, completions; and it says what to do next"
    if [[ -n $first ]]; then
        [[ $(machine systemctl is-enabled webhook-assets || true) == disabled ]] || fail "the service is enabled before it has keys"
        ! active webhook-assets || fail "the service runs before it has keys"
        ! machine systemctl start webhook-assets 2>"$work/out" || fail "the service starts without keys"
        machine systemctl reset-failed webhook-assets
        pass "it is neither enabled nor started, and does not start without keys"
    fi
}

# The operator does what the package has said.
sets_it_up() {
    local commands
    commands=$(sed -n 's/^       //p' "$work/apt")
    [[ $(wc -l <<<"$commands") == 4 ]] || fail "the package does not say how to make keys: $commands"
    # The key file must not depend on the operator's umask.
    machine bash -ec "umask 022; $commands" >/dev/null || fail "the commands that the package prints fail"
    is /etc/webhook-assets/keys.json "600 webhook-assets root"
    is /etc/webhook-assets/admin-token "600 root root"
    is /etc/webhook-assets/webhooks-key "600 root root"
    sed -i 's#^public_url = .*#public_url = "http://127.0.0.1:8080"#; s#^url = .*#url = "file:///srv/call-assets"#' "$root$SETTINGS"
    bearer="Authorization: Bearer $(cat "$root/etc/webhook-assets/admin-token")"
    pass "the commands that it prints make the keys, which only their owners can read"
}

serves() {
    machine systemctl enable --now webhook-assets.socket webhook-assets 2>/dev/null
    until_ready
    [[ $(machine stat -c %U "/proc/$(machine systemctl show -P MainPID webhook-assets)") == webhook-assets ]] ||
        fail "the service runs as another user"
    is /var/lib/webhook-assets/webhooks.db "600 webhook-assets webhook-assets"
    machine webhook-assets --config "$SETTINGS" check >"$work/out" 2>&1 || { cat "$work/out" >&2; fail "check, as root: the above"; }
    link=$(machine webhook-assets --config "$SETTINGS" mint recording "$CALL")
    web "$link" | cmp - "fixtures/recordings/$CALL.mp3" || fail "a link does not open its recording"
    endpoint=$(machine webhook-assets --config "$SETTINGS" webhooks add --json --workspace acme https://hooks.example.com/1 |
        grep -o 'ep_[0-9A-Za-z]*') || fail "an endpoint is not added"
    pass "systemd starts it as its user; check has no complaint, and a link opens"
}

upgrades() {
    local before refused
    if [[ -n $first ]]; then
        before=$(machine systemctl show -P MainPID webhook-assets)
        touch "$work/upgrading"
        while [[ -e $work/upgrading ]]; do web -o /dev/null "$link" || echo x; sleep 0.02; done >"$work/refused" &
    fi
    apt install /packages/now.deb
    if [[ -n $first ]]; then
        until_ready
        rm "$work/upgrading"
        wait $!
        refused=$(wc -l <"$work/refused")
        ((refused == 0)) || fail "$refused requests failed during the upgrade"
        [[ $(machine systemctl show -P MainPID webhook-assets) != "$before" ]] || fail "an upgrade does not restart the service"
        [[ $(machine systemctl show -P Description webhook-assets) != "The version before" ]] || fail "systemd has not read the new unit"
        web "$link" | cmp - "fixtures/recordings/$CALL.mp3" || fail "a link from before the upgrade does not open"
        web -H "$bearer" http://127.0.0.1:8081/v1/workspaces/acme/endpoints | grep -qF "$endpoint" || fail "the database has lost an endpoint"
        pass "upgraded: restarted by its socket without a failed request; links and endpoints are as before"
    fi
    grep -q '^public_url = "http://127.0.0.1:8080"' "$root$SETTINGS" || fail "the upgrade has changed settings.toml"
    cmp -s "$root$SETTINGS.dpkg-dist" deploy/systemd/settings.toml || fail "the new settings.toml is not beside the old one"
    ! grep -q 'the version before' "$root/etc/webhook-assets/environment" || fail "an unchanged file of settings is not replaced"
    is /etc/webhook-assets/environment "600 root root"
    is /etc/webhook-assets/keys.json "600 webhook-assets root"
    pass "settings that the operator changed survive the upgrade; the others become those of the new version"
}

removes() {
    local file
    apt remove webhook-assets
    is_gone /usr/bin/webhook-assets
    for file in settings.toml environment keys.json admin-token webhooks-key; do is_there "/etc/webhook-assets/$file"; done
    if [[ -n $first ]]; then
        if active webhook-assets || active webhook-assets.socket; then fail "the service runs on after remove"; fi
        is_there /var/lib/webhook-assets/webhooks.db
        apt install /packages/now.deb
        machine systemctl start webhook-assets
        until_ready
        web "$link" | cmp - "fixtures/recordings/$CALL.mp3" || fail "a link does not open after remove and install"
    fi
    pass "removed: settings, keys and database stay, and are in use again after another install"
}

purges() {
    local file
    apt purge webhook-assets
    says "rm -r /etc/webhook-assets"
    for file in settings.toml environment; do is_gone "/etc/webhook-assets/$file"; done
    for file in keys.json webhooks-key; do is_there "/etc/webhook-assets/$file"; done
    is_there "/srv/call-assets/recordings/$CALL.mp3"
    [[ -z $first ]] || is_there /var/lib/webhook-assets/webhooks.db
    if find "$root/etc/systemd" "$root/var/lib/systemd/deb-systemd-helper"* -name '*webhook-assets*' | grep . >&2; then fail "purge leaves the above"; fi
    pass "purged: the settings are gone; keys, database and recordings stay, and it says so"
}

suite() {
    ((EUID == 0)) || fail "needs root: it makes a Debian, and namespaces"
    debian mmdebstrap mmdebstrap lintian lintian dpkg-shlibdeps dpkg-dev strip binutils curl curl
    program=${1:-}
    if [[ -z $program ]]; then
        program
        program=$WEBHOOK_ASSETS_PROGRAM
    fi
    [[ -x $program ]] || fail "there is no program $program"
    local root bearer link endpoint lintian first="" booted=""
    from_cargo cargo-deb 3.8.0
    is_reproducible
    start lintian lintian --allow-root --fail-on error,warning "$work/now.deb"
    lintian=${pids[-1]}
    make_the_version_before
    make_debian
    if ! boots; then
        first=""
        skip "the service: systemd does not start in namespaces of this machine"
    fi
    booted=yes
    installs
    sets_it_up
    [[ -z $first ]] || serves
    upgrades
    removes
    purges
    is_as_debian_wants_it
    # Its first process ends, and with it the namespaces.
    [[ -z $first ]] || machine systemctl poweroff --force --force 2>/dev/null || true
    step "$passed passed, ${#skipped[@]} skipped"
    ((${#skipped[@]})) || return 0
    printf '      skipped: %s\n' "${skipped[@]}"
    [[ -z ${WEBHOOK_ASSETS_TEST_NEEDED:-} ]] || fail "nothing may be skipped here"
}
