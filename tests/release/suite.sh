#!/usr/bin/env bash
# The release script, deploy/release: what it refuses, and a dry run of its steps.
#
#     bash tests/run release          takes seconds
#     bash tests/run release whole    a release to its end, from a tag in a copy; its image is loaded and run. As root; some 40
#                                     minutes
#
# Needs cargo-deb and cargo-cyclonedx, which cargo installs, and Debian's dpkg-dev; `whole` also what `bash tests/run image`
# and `bash tests/run links interface` need. Tags and commits are made in a copy.

source tests/image/storage.sh

stop_suite() { remove_storage; }

# git_ ARGUMENT…: git in the copy.
git_() { git -C "$work/copy" -c user.name=release -c user.email=release@example.com "$@"; }

# refuses TAG WHY: it ends before it builds anything, and says why.
refuses() {
    ! bash "$work/copy/deploy/release" "$1" >"$work/out" 2>&1 || fail "$1 is released, in spite of: $2"
    grep -qF -e "$2" "$work/out" || { cat "$work/out" >&2; fail "it does not say: $2"; }
    printf 'ok    refused: %s\n' "$2"
}

# changelog HEADING ENTRY: a section in the place of Unreleased, committed and tagged.
changelog() {
    printf '# Changelog\n\n%s\n\n%s\n\n## [0.0.0] - 2020-01-01\n\n- Older\n' "$1" "$2" >"$work/copy/CHANGELOG.md"
    git_ commit -q --allow-empty -am changelog
    git_ tag --force --annotate -m release "v$version" >/dev/null
}

make_copy() {
    mkdir "$work/copy"
    tar --create --exclude ./.git --exclude ./target --exclude ./fuzz/target . | tar --extract --directory "$work/copy"
    git_ init --quiet --initial-branch main
    git_ add --all
    git_ commit --quiet --message "the sources as they are here"
}

refusals() {
    step "what it refuses"
    make_copy
    refuses "v$version" "there is no tag v$version"
    refuses v99.0.0 "Cargo.toml says $version"
    changelog "## [$version]" "- An entry"
    refuses "v$version" "CHANGELOG.md gives $version no date"
    changelog "## [$version] - 2026-02-30" "- An entry"
    refuses "v$version" "CHANGELOG.md gives $version no date"
    changelog "## [$version] - 2026-02-28" ""
    refuses "v$version" "CHANGELOG.md says nothing of $version"
    changelog "## [Unreleased]" "- An entry"
    refuses "v$version" "CHANGELOG.md has no section $version"
    changelog "## [$version] - 2026-02-28" "- An entry"
    mkdir "$work/no-image"
    printf '#!/bin/sh\nexit 1\n' >"$work/no-image/buildah"
    chmod +x "$work/no-image/buildah"
    PATH=$work/no-image:$PATH refuses "v$version" "this machine has no copy of it"
    git_ commit -q --allow-empty -m "after the tag"
    refuses "v$version" "git checkout v$version"
    touch "$work/copy/new"
    refuses "v$version" "changes that no commit has"
}

dry_run() {
    local found wanted
    bash deploy/release --dry-run
    found=$(cd target/releases/dry-run && ls)
    wanted=$(printf '%s\n' SHA256SUMS "webhook-assets-$version-$(rustc -vV | sed -n 's/^host: //p')" "webhook-assets-$version.cdx.json" \
        "webhook-assets-$version.crate" "webhook-assets-links-$version.crate" "webhook-assets_$version-1_$(dpkg --print-architecture).deb")
    [[ $(LC_ALL=C sort <<<"$found") == $(LC_ALL=C sort <<<"$wanted") ]] || fail "a release has the files: $found"
    (($(wc -l <target/releases/dry-run/SHA256SUMS) == 5)) || fail "a file has no checksum"
    rm -r target/releases/dry-run
}

# deploy/release has checked its own checksums.
whole() {
    local name=localhost/webhook-assets:$version label='{{index .Config.Labels "org.opencontainers.image.base.digest"}}'
    ((EUID == 0)) || fail "needs root: it runs containers"
    image_tools
    configure
    provide_bases $(bases)
    make_copy
    changelog "## [$version] - $(date -u +%F)" "- An entry"
    # As the suite of the image builds it: in containers that need no namespaces.
    BUILDAH_ISOLATION=chroot bash "$work/copy/deploy/release" "v$version"
    podman rmi --force "$name" >/dev/null
    podman load --quiet --input "$work/copy/target/releases/$version/webhook-assets-$version-image.tar" >/dev/null
    [[ $(podman run --rm --network host --read-only "$name" --version) == "webhook-assets $version" ]] ||
        fail "the image of the release does not run"
    [[ $(podman image inspect --format "$label" "$name") == sha256:* ]] || fail "the image does not say what it is built on"
    printf 'ok    the image of the release is loaded, and runs\n'
}

suite() {
    local version
    debian git git dpkg-shlibdeps dpkg-dev strip binutils python3 python3
    from_cargo cargo-deb 3.8.0
    from_cargo cargo-cyclonedx 0.5.9
    version=$(cargo pkgid --locked --package webhook-assets | sed 's/.*[#@]//')
    if [[ ${1:-} == whole ]]; then
        whole
        return
    fi
    program
    refusals
    dry_run
}
