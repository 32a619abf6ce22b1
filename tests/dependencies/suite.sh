#!/usr/bin/env bash
# What the program is made of: licences, bans and sources of every crate (deny.toml), known vulnerabilities, and the bill of
# materials (deploy/sbom).
#
#     bash tests/run dependencies
#
# Needs cargo-deny and cargo-cyclonedx, which cargo installs. The advisories come from RustSec's repository; where that
# cannot be had, the suite says so and checks the rest.

suite() {
    from_cargo cargo-deny 0.20.2
    from_cargo cargo-cyclonedx 0.5.9
    need python3
    step "licences, bans and sources"
    cargo deny --locked check licenses bans sources
    check_advisories
    check_sbom
}

check_advisories() {
    step "advisories"
    if timeout 60 cargo deny --locked fetch db 2>"$work/fetch"; then
        cargo deny --locked check advisories
    else
        step "NOT CHECKED: $(grep -o 'fatal: .*' "$work/fetch" || echo 'the database of advisories did not come within 60 s')"
    fi
}

# The bill names every crate that cargo links into the program, no other, and is the same bytes each time.
check_sbom() {
    local target
    step "bill of materials"
    bash deploy/sbom "$work/first.json"
    bash deploy/sbom "$work/second.json"
    cmp "$work/first.json" "$work/second.json" || fail "two bills of the same sources differ"
    ! grep -F "$PWD" "$work/first.json" || fail "the bill names the folder of the sources: the above"
    target=$(rustc -vV | sed -n 's/^host: //p')
    cargo tree --locked --package webhook-assets -e normal --prefix none --target "$target" | awk '{print $1, $2}' | LC_ALL=C sort -u >"$work/linked"
    python3 - "$work/first.json" <<'P' | LC_ALL=C sort -u >"$work/billed"
import json, sys
bill = json.load(open(sys.argv[1]))
program = bill["metadata"]["component"]
for component in (program, *bill["components"]):
    if not component.get("licenses"):
        sys.exit(f"the bill gives no licence of {component['name']}")
    print(component["name"], "v" + component["version"])
P
    diff "$work/linked" "$work/billed" || fail "the bill differs from what cargo links"
    step "the bill names $(wc -l <"$work/billed") crates, with their licences"
}
