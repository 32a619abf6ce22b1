#!/usr/bin/env bash
# The files of deploy/, checked by their readers: Compose, Kubernetes, systemd, nginx and Prometheus.
#
#     bash tests/run deploy
#
# kubernetes-validate, compose-spec and podman-compose come from PyPI (tests/deploy/requirements.txt); Debian's promtool
# (prometheus) and nginx are unpacked below target/deploy, never installed on the machine. The suite skips a check whose tool it
# cannot get, and says so at the end; with WEBHOOK_ASSETS_TEST_NEEDED=1 that is a failure. Once installed it takes about
# ten seconds.
#
# `cargo test --test it deploy` checks what these files say about the program itself. (kube-apiserver, for a dry run on the
# side of the server, is in none of crates.io, PyPI, npm and Debian; etcd-server and kubectl are in Debian.)

# The oldest version that a cluster may have, for preStop's sleep without a feature gate, and the newest known one.
readonly KUBERNETES=(1.30 1.37)
# In tenths; 0 is nothing exposed, 100 everything.
readonly MOST_EXPOSED=15

passed=0 skipped=()

pass() { passed=$((passed + 1)); printf 'ok    %s\n' "$*"; }
skip() { skipped+=("$*"); printf 'SKIP  %s\n' "$*"; }

# quietly NAME COMMAND…: prints the command's output only if it fails.
quietly() {
    local name=$1
    shift
    "$@" >"$work/out" 2>&1 || { cat "$work/out" >&2; fail "$name: the above"; }
    pass "$name"
}

# --- installing -------------------------------------------------------------------------------------------------------

install_python() {
    from_pypi python tests/deploy/requirements.txt --no-deps --only-binary :all:
}

# --- the files --------------------------------------------------------------------------------------------------------

check_compose() {
    if install_python; then
        quietly "compose.yaml is of the Compose specification (compose-spec)" "$tools/python/bin/python" - <<'P'
import compose_spec, yaml

# A YAML parser resolves anchors and merges; then every key has to be one of the specification.
text = yaml.safe_dump(yaml.safe_load(open("deploy/compose.yaml")))
compose_spec.PyCompose.from_yaml(text).validate()
P
        compose_installation
        variables_of_compose
    else
        skip "compose.yaml against the specification: no python3 with venv, or PyPI is out of reach"
    fi
    if docker compose version >/dev/null 2>&1; then
        compose_installation
        quietly "compose.yaml and env.example are read by Docker Compose" \
            docker compose -f "$work/compose/compose.yaml" --profile setup config -q
    else
        skip "docker compose config: no Docker Compose here"
    fi
}

# compose_installation: a folder as compose.yaml describes it, with every variable of env.example, and a setting more.
compose_installation() {
    mkdir -p "$work/compose/secrets"
    cp deploy/compose.yaml deploy/nginx-settings-page.conf "$work/compose/"
    sed 's/^#\([A-Z]\)/\1/' deploy/env.example >"$work/compose/.env"
    echo "WEBHOOK_ASSETS_LOG_LEVEL=warn" >>"$work/compose/.env"
    touch "$work/compose/secrets/"{admin-token,webhooks-key}
}

# variables_of_compose: podman-compose reads the files and calls podman, here a script that notes how. Each variable has to
# be in the program's container.
variables_of_compose() {
    local podman=$work/podman containers=$work/containers line count=0
    mkdir "$containers"
    cat >"$podman" <<'P'
#!/bin/sh
case $1 in
    --version) echo "podman version 5.4.0" ;;
    ps) echo '[]' ;;
    create) printf '%s\n' "$@" >"$CONTAINERS/$(printf '%s\n' "$@" | sed -n 's/^--name=//p')" ;;
esac
P
    chmod +x "$podman"
    CONTAINERS=$containers "$tools/python/bin/podman-compose" --podman-path "$podman" \
        -f "$work/compose/compose.yaml" up -d --no-build >"$work/out" 2>&1 ||
        { cat "$work/out" >&2; fail "podman-compose: the above"; }
    while read -r line; do
        count=$((count + 1))
        grep -qxF -e "$line" "$containers/webhook-assets_webhook-assets_1" ||
            fail "the program's container does not get $line of deploy/.env"
    done < <(grep '^[A-Z]' "$work/compose/.env")
    ((count > 5)) || fail "env.example has only $count variables"
    grep -qx 443:443 "$containers/webhook-assets_page_1" || fail "the profile page does not publish port 443"
    pass "podman-compose gives all $count variables of deploy/.env to the program's container"
}

check_kubernetes() {
    local version files=() file render=()
    for file in deploy/kubernetes/*.yaml; do
        [[ $file == */kustomization.yaml ]] || files+=("$file")
    done
    if has kustomize; then render=(kustomize build); elif has kubectl; then render=(kubectl kustomize); fi
    if ((${#render[@]})); then
        cp -r deploy/kubernetes "$work/kubernetes"
        sed -i 's/^  - networkpolicy.yaml/&\n  - settings-page.yaml\n  - hpa.yaml/' "$work/kubernetes/kustomization.yaml"
        sed -i 's/^#\(WEBHOOK_ASSETS\)/\1/' "$work/kubernetes/settings.env"
        for file in deploy/kubernetes "$work/kubernetes"; do
            "${render[@]}" "$file" >"$work/rendered.yaml" || fail "${render[*]} does not take kustomization.yaml"
        done
        pass "kustomization.yaml is rendered by ${render[*]}, also with the optional files"
        files+=("$work/rendered.yaml")
    else
        skip "rendering kustomization.yaml: neither kustomize nor kubectl here"
    fi
    if install_python; then
        for version in "${KUBERNETES[@]}"; do
            quietly "${#files[@]} files are of the schemas of Kubernetes $version (kubernetes-validate)" \
                "$tools/python/bin/kubernetes-validate" --strict -k "$version" "${files[@]}"
        done
    else
        skip "schemas of Kubernetes: no python3 with venv, or PyPI is out of reach"
    fi
}

check_systemd() {
    has systemd-analyze || { skip "the systemd unit: no systemd-analyze here (Debian: systemd)"; return; }
    local unit=$work/webhook-assets.service
    # The program that the unit starts is not installed here.
    sed 's#^ExecStart=/usr/local/bin/webhook-assets#ExecStart=/bin/true#' deploy/systemd/webhook-assets.service >"$unit"
    cp deploy/systemd/webhook-assets.socket "$work/"
    # It exits 0 in spite of unknown keys, and prints a warning.
    systemd-analyze verify --man=no "$unit" "$work/webhook-assets.socket" >"$work/out" 2>&1 || { cat "$work/out" >&2; fail "systemd-analyze verify: the above"; }
    if grep "webhook-assets" "$work/out" >&2; then fail "systemd-analyze verify: the above"; fi
    pass "webhook-assets.service and .socket are read without a complaint ($(systemd-analyze --version | head -n 1))"
    if systemd-analyze security --help | grep -q -- --offline; then
        systemd-analyze security --no-pager --offline=true --threshold="$MOST_EXPOSED" "$unit" >"$work/out" 2>&1 ||
            { grep -v ✓ "$work/out" >&2; fail "webhook-assets.service may do more than it should"; }
        pass "systemd-analyze security: $(grep -o 'Overall exposure level.*: [0-9.]* [A-Z]*' "$work/out" | sed 's/.*: //')"
    else
        skip "systemd-analyze security: this systemd has no --offline (250 has)"
    fi
}

check_prometheus() {
    local promtool
    promtool=$(unpacked prometheus usr/bin/promtool) || { skip "alerts and dashboard: no promtool (Debian: prometheus)"; return; }
    quietly "alerts.yaml is read ($("$promtool" --version 2>&1 | head -n 1 | cut -d ' ' -f 1-3))" \
        "$promtool" check rules deploy/prometheus/alerts.yaml
    quietly "alerts fire when they should, and only then" "$promtool" test rules deploy/prometheus/alerts_test.yaml
    has python3 || { skip "the dashboard's queries: no python3"; return; }
    python3 - >"$work/dashboard.yaml" <<'P'
import json

# Every query as a rule, with Grafana's variables as Grafana fills them in. JSON is YAML.
rules = []
for panel in json.load(open("deploy/grafana/dashboard.json"))["panels"]:
    for target in panel.get("targets", []):
        expr = target["expr"].replace("$__rate_interval", "1m").replace("$job", ".*").replace("$instance", ".*")
        assert "$" not in expr, expr
        rules.append({"record": f"panel_{panel['id']}_{target['refId']}", "expr": expr})
print(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
P
    quietly "$(grep -o '"record"' "$work/dashboard.yaml" | wc -l) queries of dashboard.json are PromQL" \
        "$promtool" check rules "$work/dashboard.yaml"
}

check_nginx() {
    local nginx tls gateway admin
    if ! has python3 || ! has openssl; then skip "nginx.conf: no python3 or openssl"; return; fi
    nginx=$(unpacked nginx usr/sbin/nginx) || { skip "nginx.conf: no nginx (Debian: nginx)"; return; }
    read -r tls gateway admin < <(free_ports 3)
    local here=(env NGINX="$nginx" ADMIN="127.0.0.1:$admin" bash examples/nginx.sh "$tls" "127.0.0.1:$gateway" "$work/nginx")
    quietly "nginx.conf and nginx-settings-page.conf are read ($("$nginx" -v 2>&1))" "${here[@]}" -t
    download_through_nginx "${here[@]}"
}

# download_through_nginx NGINX…: a recording through it, byte by byte, and no signature in any log, after a good
# download or a failed one.
download_through_nginx() {
    local program=${WEBHOOK_ASSETS_PROGRAM:-target/debug/webhook-assets} link sig call served
    [[ -x $program ]] || { skip "a download through nginx: $program is not built (cargo build)"; return; }
    has curl || { skip "a download through nginx: no curl"; return; }
    mkdir "$work/store"
    cp -r fixtures/recordings fixtures/transcripts "$work/store/"
    export WEBHOOK_ASSETS_PUBLIC_URL=https://app.example.com/api WEBHOOK_ASSETS_STORE=file://$work/store \
        WEBHOOK_ASSETS_KEYS=$work/keys.json WEBHOOK_ASSETS_LISTEN=127.0.0.1:$gateway \
        WEBHOOK_ASSETS_ADMIN_LISTEN=127.0.0.1:$admin
    "$program" keys new >/dev/null
    export WEBHOOK_ASSETS_DATABASE=sqlite:$work/webhooks.db WEBHOOK_ASSETS_CONSOLE_URL=https://hooks.example.com:$tls
    "$program" serve >"$work/nginx/gateway.log" 2>&1 &
    served=$!
    "$@" >"$work/nginx/stderr.log" 2>&1 &
    pids+=("$served" $!)
    call=$(basename fixtures/recordings/*.mp3 .mp3)
    link=$("$program" mint recording "$call")
    sig=${link##*sig=}
    get() { curl -sk --max-time 10 --connect-to "app.example.com:443:127.0.0.1:$tls" -w '%{http_code}' "$@" "$link"; }
    for _ in {1..100}; do
        [[ $(get -o /dev/null) == 200 ]] && break
        sleep 0.1
    done
    [[ $(get -o "$work/whole") == 200 ]] || fail "nginx does not reach the gateway; see deploy/nginx.conf"
    cmp "$work/whole" "fixtures/recordings/$call.mp3" || fail "nginx changes the recording"
    [[ $(get -o "$work/part" -r 1000-1999) == 206 && $(stat -c %s "$work/part") == 1000 ]] ||
        fail "nginx does not pass Range on"
    settings_page_through_nginx
    settings_page_of_compose
    kill "$served"
    wait "$served" 2>/dev/null || true
    [[ $(get -o /dev/null) == 502 ]] || fail "nginx does not answer 502 without the gateway"
    grep -q "GET /api/webhook-assets/recording/$call HTTP" "$work/nginx/webhook-assets.log" ||
        fail "nginx logs no requests"
    if grep -rl "$sig" "$work/nginx" >&2; then fail "a signature stands in the log above"; fi
    pass "a recording through nginx, whole and in part, and no signature in any log"
}

# settings_page_through_nginx: a customer comes by a portal link and changes something, and nothing else of the private
# listener is there.
settings_page_through_nginx() {
    local site=https://hooks.example.com:$tls pass page path
    page() {
        curl -sk --max-time 10 --connect-to "hooks.example.com:$tls:127.0.0.1:$tls" -b "$work/cookies" -c "$work/cookies" \
            -o "$work/page" -w '%{http_code}' "$@"
    }
    pass=$("$program" webhooks portal --workspace acme --json | sed 's/.*"url":"\([^"]*\)".*/\1/')
    [[ $pass == "$site"/console/enter?pass=* ]] || fail "a portal link does not lead to console.url: $pass"
    # The link shows a button, which enters: programs that open links use none up.
    [[ $(page "$pass") == 200 ]] || fail "the portal link does not open: $(cat "$work/page")"
    [[ $(page -L -H "Origin: $site" --data-urlencode "pass=${pass#*pass=}" "$site/console/enter") == 200 ]] ||
        fail "the portal link lets nobody in: $(cat "$work/page")"
    grep -q acme "$work/page" || fail "the settings page does not name its workspace"
    [[ $(page "$site/console/w/acme/webhooks/new") == 200 ]] || fail "the form for a webhook does not open through nginx"
    local form
    form=(-d "csrf=$(grep -o 'name="csrf" value="[^"]*' "$work/page" | head -n 1 | sed 's/.*"//')" -d anyway=1)
    page=$(page -H "Origin: $site" "${form[@]}" -d url=https://receiver.example.com/hook "$site/console/w/acme/webhooks/new")
    [[ $page == 303 ]] || fail "a webhook is not added through nginx: $page"
    page=$(page -H 'Origin: https://evil.example' "${form[@]}" -d url=https://evil.example/ "$site/console/w/acme/webhooks/new")
    [[ $page == 403 ]] || fail "a form of another site is taken through nginx: $page"
    for path in / /metrics /healthz /readyz /v1/calls /v1/workspaces/acme/endpoints /consoles /console/../metrics /openapi.json; do
        page=$(page --path-as-is "$site$path")
        [[ $page == 404 || $page == 400 ]] || fail "nginx publishes $path: $page"
    done
    if grep -rl "${pass#*pass=}" "$work/nginx" >&2; then fail "a portal link stands in the log above"; fi
    pass "the settings page through nginx, and nothing else of the private listener"
}

# settings_page_of_compose: the nginx of the profile page, with the file that its container makes by its command, here for
# this machine's addresses.
settings_page_of_compose() {
    install_python || { skip "the settings page of compose.yaml: no python3 with venv, or PyPI is out of reach"; return; }
    local command folder=$work/compose/page port path status
    mkdir "$folder"
    command=$("$tools/python/bin/python" -c '
import yaml
print(yaml.safe_load(open("deploy/compose.yaml"))["services"]["page"]["command"][-1].split(" >")[0])')
    sh -c "${command//\/page.conf/deploy\/nginx-settings-page.conf}" >"$folder/container.conf"
    if grep '/var/log\|listen \[' "$folder/container.conf" >&2; then fail "the container cannot do the above"; fi
    read -r port < <(free_ports 1)
    {
        printf 'daemon off;\nmaster_process off;\npid %s/nginx.pid;\nevents {}\nhttp {\n' "$folder"
        sed -e "s#webhook-assets:8081#127.0.0.1:$admin#; s#listen 443#listen 127.0.0.1:$port#" \
            -e "s#/etc/ssl/hooks.example.com#$work/nginx#" "$folder/container.conf"
        echo "}"
    } >"$folder/nginx.conf"
    ((EUID != 0)) || sed -i '1i user root;' "$folder/nginx.conf"
    "$nginx" -p "$folder" -c "$folder/nginx.conf" -e "$folder/start.log" >"$folder/log" 2>&1 &
    pids+=($!)
    for path in 403/console 403/console/w/acme 404/consoles 404/metrics 404/v1/calls 404/; do
        for _ in {1..100}; do
            status=$(curl -sk --max-time 10 -o "$work/page" -w '%{http_code}' "https://127.0.0.1:$port/${path#*/}") && break
            sleep 0.1
        done
        [[ $status == "${path%%/*}" ]] || fail "the page of compose.yaml answers $status to /${path#*/}: $(cat "$folder/log")"
    done
    pass "the settings page of compose.yaml, and nothing else of the private listener"
}

# --- the run ----------------------------------------------------------------------------------------------------------

suite() {
    check_compose
    check_kubernetes
    check_systemd
    check_prometheus
    check_nginx
    step "$passed passed, ${#skipped[@]} skipped"
    ((${#skipped[@]})) || return 0
    printf '      skipped: %s\n' "${skipped[@]}"
    [[ -z ${WEBHOOK_ASSETS_TEST_NEEDED:-} ]] || fail "nothing may be skipped here"
}
