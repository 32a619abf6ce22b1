#!/usr/bin/env bash
# Receivers in Node, Python, PHP, Go, Ruby, Java and C#: `cargo test --test receivers`, where a missing tool is a failure.
#
#     bash tests/run receivers            the documents; signatures, and the pages for receivers, in all of these languages
#     bash tests/run receivers express    the help page's Express handler
#     bash tests/run receivers n8n        fixtures/n8n/call-completed.json in a real n8n (some 2 GB to install)
#
# Needs node, npm, python3 (with venv), php and curl; installs Go, Ruby with Puma, Java and Mono from Debian. n8n needs Node 20
# to 24, and cc and make to build its database driver. Pinned libraries come from npm and PyPI.

readonly STANDARD_NPM=1.1.1 EXPRESS=5.3.0 N8N=2.8.4

suite() {
    export WEBHOOK_ASSETS_TEST_NEEDED=1
    case ${1:-} in
        '')
            need node npm python3 php curl
            debian go golang-go ruby ruby puma puma java default-jre-headless javac default-jdk-headless \
                mcs mono-mcs mono mono-runtime
            from_npm npm standardwebhooks "$STANDARD_NPM"
            from_npm express express "$EXPRESS"
            from_pypi pypi tests/receivers/requirements.txt --only-binary :all:
            cargo test --test receivers
            ;;
        express)
            need node npm
            from_npm express express "$EXPRESS"
            cargo test --test receivers express
            ;;
        n8n)
            need node npm python3 cc make
            node -e 'const [major] = process.versions.node.split("."); process.exit(major >= 20 && major <= 24 ? 0 : 1)' ||
                fail "n8n $N8N needs Node 20 to 24; this is $(node --version)"
            # n8n takes xlsx from its makers' own site; npm's registry has a version that serves as well here.
            from_npm n8n n8n "$N8N" '{"xlsx": "0.18.5"}'
            WEBHOOK_ASSETS_TEST_N8N=1 cargo test --test receivers n8n -- --nocapture
            ;;
        *) fail "knows express and n8n, not $1" ;;
    esac
}
