#!/usr/bin/env bash
# The settings page in Chromium: every journey of a person, with the real sender and a real receiver on this machine.
#
#     bash tests/run console              every journey, and the main ones through nginx
#     bash tests/run console only TEXT…    the first ones, and those whose name has a text
#     bash tests/run console nginx        those through nginx alone, at /console and at /hooks/console
#     bash tests/run console ways         every journey by keyboard alone, on a phone, and on one of 320 pixels
#     bash tests/run console speed        how long the first byte takes with 100,000 deliveries in the database
#
# The suite checks each page against axe-core's rules in light and dark, and takes screenshots below target/console/.
# Chromium and nginx (deploy/nginx-settings-page.conf) come from Debian, playwright-core and axe-core from npm.

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
    case ${1:-journeys} in
        journeys)
            # They mostly wait: all of them run beside each other.
            begin_through_nginx
            node "$tools/journeys.mjs" "${@:2}"
            end_through_nginx
            ;;
        nginx)
            begin_through_nginx
            end_through_nginx
            ;;
        ways)
            local way failed=()
            for way in keyboard phone small-phone; do
                step "every journey: $way"
                WAY=$way node "$tools/journeys.mjs" || failed+=("$way")
            done
            ((${#failed[@]} == 0)) || fail "journeys failed: ${failed[*]}"
            ;;
        only) node "$tools/journeys.mjs" "$@" ;;
        *) node "$tools/$1.mjs" ;;
    esac
}

nginx_journeys=()

# Starts the main journeys with TLS, at the root of a site and below a path; once by keyboard, once on a small phone.
begin_through_nginx() {
    local below
    NGINX=$(unpacked nginx usr/sbin/nginx) || fail "needs nginx (Debian: nginx)"
    need openssl
    for below in "" /hooks; do
        # nginx' certificate is made for the occasion.
        WAY=$([[ -n $below ]] && echo small-phone || echo keyboard) NGINX=$NGINX NODE_TLS_REJECT_UNAUTHORIZED=0 NODE_NO_WARNINGS=1 \
            node "$tools/journeys.mjs" nginx $below >"$work/nginx${below/\//-}.log" 2>&1 </dev/null &
        pids+=($!)
        nginx_journeys+=("$!:$work/nginx${below/\//-}.log")
    done
}

# Prints what they said. Fails if one of them has failed.
end_through_nginx() {
    local journeys status=0
    for journeys in "${nginx_journeys[@]}"; do
        wait "${journeys%%:*}" || status=$?
        cat "${journeys#*:}"
    done
    return "$status"
}
