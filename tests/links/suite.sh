#!/usr/bin/env bash
# The links library for those who depend on it: the oldest compiler that it promises, and its interface since the last release.
#
#     bash tests/run links              the oldest compiler: that of Debian 13, in a folder below target/
#     bash tests/run links interface    what has been released (a tag v*) stays; deploy/release asks this too
#
# The first needs root, mmdebstrap, and the registry of crates once. The second needs cargo-semver-checks, which cargo
# builds once in some seven minutes, so CI leaves it out.

readonly DEBIAN=trixie

suite() {
    case ${1:-} in
        '') check_oldest_compiler ;;
        interface) check_interface ;;
        *) fail "there is no part $1: the part is \`interface\`, or left out" ;;
    esac
}

# pack FOLDER: the library as others get it.
pack() {
    cargo package --quiet --locked --package webhook-assets-links --no-verify --allow-dirty
    rm -rf "$1"
    mkdir "$1"
    tar -xf "$(ls -t target/package/webhook-assets-links-*.crate | head -n 1)" -C "$1" --strip-components 1
}

# A service with nothing but the packed library builds with the oldest compiler, and mints what the vectors say.
check_oldest_compiler() {
    local oldest root=$tools/$DEBIAN service=$tools/$DEBIAN/service
    oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' packages/rust/Cargo.toml)
    ((EUID == 0)) || fail "needs root, for chroot"
    debian mmdebstrap mmdebstrap python3 python3
    if [[ ! -d $root ]]; then
        step "making a Debian with its own Rust (mmdebstrap)"
        rm -rf "$root.part"
        mmdebstrap --quiet --variant=apt --include=cargo,gcc,libc6-dev "$DEBIAN" "$root.part"
        mv "$root.part" "$root"
    fi
    [[ $(inside rustc --version) == "rustc $oldest."* ]] ||
        fail "packages/rust/Cargo.toml promises Rust $oldest; Debian has $(inside rustc --version)"
    write_service "$oldest"
    step "a service that depends on the library, with $(inside rustc --version)"
    inside sh -c 'cd /service && cargo build --quiet --locked --offline && target/debug/service' <"$work/question" >"$work/links"
    diff "$work/expected" "$work/links" || fail "it mints other links than the vectors have"
    step "it minted $(wc -l <"$work/links") links of the vectors"
}

inside() { chroot "$tools/$DEBIAN" env -i PATH=/usr/bin:/bin HOME=/root "$@"; }

# write_service RUST: the service, in the folder of the Debian, with the crates that it can have with that compiler.
write_service() {
    local service=$tools/$DEBIAN/service mark
    mkdir -p "$service/src"
    pack "$service/links"
    cat >"$service/Cargo.toml" <<T
[package]
name = "service"
edition = "2024"
rust-version = "$1"

[dependencies]
webhook-assets-links = { path = "links" }

[workspace]
T
    cat >"$service/src/main.rs" <<'T'
//! Mints a link for each line: base, key, kind, id, expiry.
use std::time::Duration;
use webhook_assets_links::{AssetRef, Keyring, Minter, SecretKey, UnixSeconds, Uuid, Verifier, signed_url::split_route};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for line in std::io::stdin().lines() {
        let line = line?;
        let [base, key, kind, id, expires] = line.split(' ').collect::<Vec<_>>()[..] else { return Err(line.into()) };
        let keyring = Keyring::of_one("k", SecretKey::from_hex(key)?);
        let asset = AssetRef { kind: kind.parse()?, id: Uuid::parse_str(id)? };
        let now = UnixSeconds(expires.parse::<u64>()?.saturating_sub(60));
        let minter = Minter::new(base, keyring.clone())?;
        let link = minter.mint_at(asset, Duration::from_secs(expires.parse::<u64>()? - now.0), now)?;
        let (path, query) = link.as_str()[minter_base(base).len()..].split_once('?').ok_or("no query")?;
        let (kind, id) = split_route(path).ok_or("no route")?;
        Verifier::default().verify(&keyring, kind, id, query, now)?;
        println!("{link}");
    }
    Ok(())
}

fn minter_base(base: &str) -> &str {
    base.trim_end_matches('/')
}
T
    mark=$service/vendored-$(cat "$service/Cargo.toml" "$service/links/Cargo.toml" | sha256sum | cut -c 1-16)
    if [[ ! -e $mark ]]; then
        step "the newest crates that work with Rust $1"
        rm -rf "$service"/{Cargo.lock,vendor,.cargo,vendored-*}
        mkdir "$service/.cargo"
        cargo generate-lockfile --manifest-path "$service/Cargo.toml" --quiet
        (cd "$service" && cargo vendor --quiet --locked vendor >/dev/null)
        printf '[source]\ncrates-io.replace-with = "vendored"\nvendored.directory = "vendor"\n' >"$service/.cargo/config.toml"
        touch "$mark"
    fi
    python3 - "$work/question" "$work/expected" <<'P'
import json, sys
vectors = json.load(open("fixtures/vectors/signed_url.json"))
with open(sys.argv[1], "w") as question, open(sys.argv[2], "w") as expected:
    for v in vectors["mint"]:
        print(v["base"], vectors["keys"][v["key"]], v["kind"], v["id"], v["expires"], file=question)
        print(v["url"], file=expected)
P
}

# What has been released stays, until the version says otherwise. A removed function proves that the check sees one.
check_interface() {
    local released more=$work/more less=$work/less
    from_cargo cargo-semver-checks 0.51.0
    # A release is compared with the one before.
    released=$(git describe --tags --abbrev=0 --match 'v*' HEAD^ 2>/dev/null || true)
    if [[ -n $released ]]; then
        step "the interface since $released"
        cargo semver-checks --package webhook-assets-links --baseline-rev "$released"
    else
        step "nothing has been released before, so no interface is promised"
    fi
    step "the interface without a function, beside the interface with it"
    pack "$more"
    printf '\n[workspace]\n' >>"$more/Cargo.toml"
    cp -r "$more" "$less"
    sed -i 's/pub fn with_longest_lifetime/pub(crate) fn with_longest_lifetime/' "$less/src/signed_url/mint.rs"
    if cargo semver-checks --manifest-path "$less/Cargo.toml" --package webhook-assets-links --baseline-root "$more" >"$work/less.txt" 2>&1; then
        fail "cargo semver-checks does not see that a function is gone"
    fi
    grep -q 'Minter::with_longest_lifetime' "$work/less.txt" || { cat "$work/less.txt"; fail "cargo semver-checks failed for another reason"; }
}
