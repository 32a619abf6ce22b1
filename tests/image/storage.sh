# The storage of images that a suite makes for itself, and the base images of the Dockerfile in it. Sourced by suites that build
# the image, after tests/lib.sh.

# Its timers for health checks need systemd; the suites ask themselves.
podman() { command podman --log-level=fatal "$@"; }

image_tools() { debian buildah buildah podman podman runc runc mmdebstrap mmdebstrap curl curl; }

# Its own storage; runc also where cgroups of both versions are mounted, and limits that this user may set.
configure() {
    local hard
    hard=$(ulimit -Hn)
    [[ $hard != unlimited ]] && ((hard < 16384)) || hard=16384
    # runc's sockets need a short path.
    storage=$(mktemp -d)
    export CONTAINERS_STORAGE_CONF=$storage/storage.conf CONTAINERS_CONF=$storage/containers.conf
    cat >"$CONTAINERS_STORAGE_CONF" <<T
[storage]
driver = "overlay"
graphroot = "$storage/images"
runroot = "$storage/run"
T
    cat >"$CONTAINERS_CONF" <<T
[containers]
default_ulimits = ["nofile=$hard:$hard", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
volume_path = "$storage/volumes"
T
}

# Ends what runs from the storage, and removes it.
remove_storage() {
    # Without it, the commands below would empty the machine's own storage.
    [[ -n ${storage:-} ]] || return 0
    podman rm --all --force --time 0 >/dev/null 2>&1
    podman volume rm --all --force >/dev/null 2>&1
    podman rmi --all --force >/dev/null 2>&1
    # Overlays that are mounted keep their folder.
    podman unmount --all --force >/dev/null 2>&1
    umount "$storage/overlay" 2>/dev/null
    rm -rf "$storage"
}

# --- the base images --------------------------------------------------------------------------------------------------

# The images on which the stages of the Dockerfile build.
bases() { sed -n 's/^FROM \([^ ]*\).*/\1/p' Dockerfile; }

# from_folder NAME FOLDER OPTION…: an image of a folder, with these options of `buildah config`.
from_folder() {
    local name=$1 root=$2 container
    shift 2
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$root" / >/dev/null
    buildah config "$@" "$container"
    buildah commit --quiet "$container" "$name" >/dev/null
    buildah rm "$container" >/dev/null
    rm -rf "$root"
}

# Debian with a C compiler, and this machine's Rust, which has to be the version of the tag.
make_rust() {
    local name=$1 root=$work/rust wanted
    wanted=$(sed 's/.*rust:\([0-9.]*\)-.*/\1/' <<<"$name")
    [[ $(rustc --version) == "rustc $wanted"* ]] || fail "$name is out of reach, and this machine has $(rustc --version)"
    mmdebstrap --quiet --variant=minbase --include=ca-certificates,gcc,libc6-dev bookworm "$root"
    # Without the documentation, which is larger than the rest.
    cp -a "$(rustc --print sysroot)"/{bin,lib} "$root/usr/local/"
    # Where the way out is a proxy that this machine trusts, the build has to trust it too.
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    from_folder "$name" "$root" --env PATH=/usr/local/bin:/usr/bin:/bin
}

# glibc, libgcc, authorities, a user and a folder for temporary files: what distroless/cc has.
make_distroless() {
    local name=$1 root=$work/distroless
    mmdebstrap --quiet --variant=extract --include=libc6,libgcc-s1,ca-certificates,tzdata,netbase bookworm "$root"
    rm -rf "$root"/{bin,sbin,usr/bin,usr/sbin,var/cache,var/lib/apt}
    cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
    echo 'nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin' >"$root/etc/passwd"
    echo 'nonroot:x:65532:' >"$root/etc/group"
    install -d -m 1777 "$root/tmp"
    from_folder "$name" "$root" --user 65532:65532
}

# provide_bases NAME…: pulls these bases; makes those that are out of reach.
provide_bases() {
    local name
    for name in "$@"; do
        if timeout 60 buildah pull --quiet "$name" >/dev/null 2>&1; then
            step "$name: pulled"
        elif [[ $name == *rust:* ]]; then
            step "$name is out of reach: made of Debian and this machine's Rust"
            make_rust "$name"
        else
            step "$name is out of reach: made of Debian's packages"
            make_distroless "$name"
        fi
    done
}
