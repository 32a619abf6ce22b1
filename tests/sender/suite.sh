#!/usr/bin/env bash
# The sender on PostgreSQL and behind PgBouncer; `cargo test` alone runs the same tests on SQLite.
#
#     bash tests/run sender [FILTER]
#     bash tests/run sender kills [NUMBER]
#
# Needs PostgreSQL 13 or later with pg_stat_statements, and PgBouncer, which come from Debian.

# PostgreSQL refuses to run as root.
owner=()
((EUID != 0)) || owner=(setpriv --reuid postgres --regid postgres --init-groups)
as_owner() { "${owner[@]}" "$@"; }

# Sets $bin to the folder of PostgreSQL's programs, which Debian keeps out of the path.
find_postgres() {
    local folder
    for folder in "$(dirname "$(command -v initdb || echo /nowhere/initdb)")" /usr/lib/postgresql/*/bin; do
        [[ -x $folder/initdb && -x $folder/pg_ctl ]] && bin=$folder
    done
    [[ -n ${bin:-} ]]
}

# A folder that PostgreSQL's user can reach, wherever this clone is.
make_cluster() {
    cluster=$(mktemp -d)
    ((EUID != 0)) || chown postgres "$cluster"
}

stop_suite() { as_owner "$bin/pg_ctl" -D "$cluster/data" -m immediate -s stop; rm -rf "$cluster"; }

# Durable, as in production: a commit is on disk before PostgreSQL confirms it. A server that a test has killed does without:
# it would first sync every file of the cluster, which takes a minute on a disk that a build has just filled.
start_postgres() {
    local port=$1
    as_owner "$bin/initdb" -D "$cluster/data" -U tester --auth trust -E UTF8 --no-sync >/dev/null
    cat >>"$cluster/data/postgresql.conf" <<T
port = $port
listen_addresses = '127.0.0.1'
unix_socket_directories = '$cluster'
max_connections = 300
# What each statement read, those of triggers too (tests/sender/grown_tables.rs).
shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.track = all
T
    # One user has a password, the others log in by name.
    sed -i '1i host all with_password 127.0.0.1/32 scram-sha-256' "$cluster/data/pg_hba.conf"
    local control="$bin/pg_ctl -D $cluster/data -l $cluster/log -s -w"
    as_owner $control start
    step "PostgreSQL $("$bin/postgres" --version | grep -o '[0-9.]*' | head -n 1) is ready"
    export WEBHOOK_ASSETS_TEST_POSTGRES=postgres://tester@127.0.0.1:$port/postgres
    # How a test stops the server and starts it again.
    export WEBHOOK_ASSETS_TEST_POSTGRES_RESTART="$control -m immediate -o '-c fsync=off' restart"
    ((EUID != 0)) ||
        WEBHOOK_ASSETS_TEST_POSTGRES_RESTART="setpriv --reuid postgres --regid postgres --init-groups $WEBHOOK_ASSETS_TEST_POSTGRES_RESTART"
}

# Few sessions for many connections, so that transactions change sessions all the time.
start_pgbouncer() {
    local port=$1 postgres=$2
    cat >"$cluster/pgbouncer.ini" <<T
[databases]
by_statement = host=127.0.0.1 port=$postgres dbname=postgres pool_mode=statement
* = host=127.0.0.1 port=$postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = trust
auth_file = $cluster/users
pool_mode = transaction
default_pool_size = 3
T
    echo '"tester" ""' >"$cluster/users"
    chmod 644 "$cluster/pgbouncer.ini" "$cluster/users"
    # Not by as_owner: a shell would stand between, and be stopped instead.
    start pgbouncer "${owner[@]}" "$(command -v pgbouncer)" "$cluster/pgbouncer.ini"
    export WEBHOOK_ASSETS_TEST_PGBOUNCER=postgres://tester@127.0.0.1:$port/postgres
}

suite() {
    local port pooler
    find_postgres || debian initdb postgresql
    debian pgbouncer pgbouncer setpriv util-linux
    find_postgres || fail "PostgreSQL is installed, but initdb is not where it was expected"
    make_cluster
    read -r port pooler < <(free_ports 2)
    start_postgres "$port"
    start_pgbouncer "$pooler" "$port"
    case ${1:-} in
        kills) WEBHOOK_ASSETS_TEST_KILLS=${2:-300} cargo test --test sender -- --nocapture --test-threads 1 killed ;;
        '')
            # A filter that selects no test would pass.
            cargo test --test it -- sender:: --list | grep ': test$' >/dev/null || fail "tests/it has no tests in sender::"
            cargo test --test it -- sender::
            # Those on SQLite run in `cargo test`. Most only wait for a lease, so they run at a time; a test that stops the
            # server would disturb the others.
            cargo test --test sender -- --nocapture --skip sqlite --skip disk:: --skip cut_off:: --skip failover::
            cargo test --test sender -- --nocapture --test-threads 1 cut_off:: failover::
            ;;
        *) cargo test --test it -- "$1" && cargo test --test sender -- --nocapture --test-threads 1 "$1" ;;
    esac
}
