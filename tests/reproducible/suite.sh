#!/usr/bin/env bash
# The program and its Debian package: built in two folders, with the crates in two places, they have the same bytes.
#
#     bash tests/run reproducible    builds the last commit twice; some 20 minutes and 3 GB of disk, so CI leaves it out
#
# Needs Git; Debian's dpkg-dev; cargo-deb, which cargo installs.

# build FOLDER VARIABLE=VALUE…: the last commit, its package and the program in it.
build() {
    local folder=$1 begun=$SECONDS
    git clone --quiet --shared . "$folder"
    env --unset=CARGO_TARGET_DIR "${@:2}" bash "$folder/deploy/debian/build" >"$work/build.log" 2>&1 </dev/null ||
        { cat "$work/build.log" >&2; fail "the build: the above"; }
    step "built in ${folder##*/} in $((SECONDS - begun)) s"
}

# same WHAT FILE FILE
same() {
    cmp "$2" "$3" || fail "two builds give different bytes: $1"
    printf 'ok    two builds give the same %d bytes: %s\n' "$(stat -c %s "$2")" "$1"
}

suite() {
    local first=$work/first second=$work/second-folder-with-a-longer-name crates=${CARGO_HOME:-$HOME/.cargo} path
    local program=target/dist/webhook-assets
    debian git git dpkg-shlibdeps dpkg-dev strip binutils
    from_cargo cargo-deb 3.8.0
    umask 022
    build "$first" TZ=UTC
    # The downloads, so that the network is not asked again. The crates are unpacked where they have not been before.
    mkdir -p "$work/other-crates/registry"
    cp -r "$crates"/registry/{index,cache} "$work/other-crates/registry/"
    umask 077
    build "$second" TZ=Pacific/Kiritimati LC_ALL=C.UTF-8 CARGO_HOME="$work/other-crates"

    if ! cmp -s "$first/$program" "$second/$program"; then
        diff <(strings "$first/$program") <(strings "$second/$program") | cut -c 1-200 | head -n 20 >&2 || true
    fi
    same "the program" {"$first","$second"}/$program
    same "the Debian package" "$first"/target/debian/*.deb "$second"/target/debian/*.deb
    for path in "$PWD" "$crates" "$(rustc --print sysroot)"; do
        ! grep -qaF "$path" "$first/$program" || fail "the program names $path, a folder of this machine"
    done
    printf 'ok    the program names no folder of this machine\n'
}
