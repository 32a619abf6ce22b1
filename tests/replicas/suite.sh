#!/usr/bin/env bash
# Three replicas on one PostgreSQL under load; each minute one is killed and another is paused for longer than a lease.
#
#     bash tests/run replicas [SECONDS]            600, unless you say another number
#
# 50 calls a second go to receivers that are good, slow, limited by their owner, and out of order for a part of the time. At
# the end every accepted call has arrived, none twice but for a lease that was left behind, within the documented limits, and
# nothing is pending. The figures come last. Needs PostgreSQL 13 or later, which comes from Debian; uses the development
# build.

# How PostgreSQL is started and stopped.
source tests/sender/suite.sh

suite() {
    local port
    find_postgres || debian initdb postgresql setpriv util-linux
    find_postgres || fail "PostgreSQL is installed, but initdb is not where it was expected"
    make_cluster
    read -r port < <(free_ports 1)
    start_postgres "$port"
    WEBHOOK_ASSETS_TEST_REPLICAS=${1:-600} cargo test --test sender -- --nocapture --test-threads 1 replicas::
}
