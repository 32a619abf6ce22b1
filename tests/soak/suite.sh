#!/usr/bin/env bash
# Everything at once, over local files and over S3; then all that was held must have been given back.
#
#     bash tests/run soak [SECONDS]       about that long (60 if none are given)
#
# Needs python3 and openssl. What it does is in tests/soak/soak.py.

suite() {
    local seconds=${1:-60}
    [[ $seconds =~ ^[1-9][0-9]*$ ]] || fail "$seconds is no number of seconds"
    need python3 openssl
    program
    timeout $((seconds * 2 + 180)) python3 tests/soak/soak.py "$seconds"
}
