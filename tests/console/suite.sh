#!/usr/bin/env bash
# The settings page in Chromium: every journey of a person, with the real sender and a real receiver on this machine.
#
#     bash tests/run console              every journey
#     bash tests/run console speed        how long the first byte takes with 100,000 deliveries in the database
#
# The suite checks each page against axe-core's rules in light and dark, and takes screenshots below target/console/.
# Chromium comes from Debian, playwright-core and axe-core from npm.

suite() {
    debian node nodejs npm npm python3 python3 chromium chromium
    if [[ ! -d $tools/node_modules/playwright-core || ! -d $tools/node_modules/axe-core ]]; then
        step "installing playwright-core and axe-core from npm"
        cp tests/console/package.json "$tools/package.json"
        npm install --prefix "$tools" --no-audit --no-fund --no-save --silent
    fi
    # The development build is fast enough for the speed test too.
    program
    cp tests/console/*.mjs "$tools/"
    node "$tools/${1:-journeys}.mjs"
}
