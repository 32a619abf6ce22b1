#!/usr/bin/env bash
# Everything at once, over local files and over S3; then the program must have released all that it held.
#
#     bash tests/run soak [SECONDS]       about that long (default: 60)
#
# Needs python3 and openssl. What it does is in tests/soak/soak.py.

suite() {
    local seconds=${1:-60}
    [[ $seconds =~ ^[1-9][0-9]*$ ]] || fail "$seconds is no number of seconds"
    need python3 openssl
    program
    timeout $((seconds * 2 + 180)) python3 tests/soak/soak.py "$seconds"
}
