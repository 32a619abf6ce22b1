#!/usr/bin/env bash
# The packages for Node and Python, installed as their READMEs say, against the vectors and against the program's keyrings.
#
#     bash tests/run packages
#
# Needs node with npm (Node 20), python3 with venv (3.10), npm's registry and PyPI; it builds the program unless
# WEBHOOK_ASSETS_PROGRAM names it. The tests run as copies beside the installed packages, so they see what users get.

readonly TYPESCRIPT=7.0.2 NODE_TYPES=20.19.25

suite() {
    need node npm python3
    program
    ln -s "$PWD/fixtures" "$work/fixtures"
    suite_node
    suite_python
}

# copy LANGUAGE: the tests of a package, and its README, in the folder where the package is installed.
copy() {
    here=$work/packages/$1
    mkdir -p "$here"
    cp -r "packages/$1/README.md" "packages/$1/test"* "$here"
}

suite_node() {
    local here package=$PWD/packages/node
    copy node
    printf '{"private": true, "type": "module"}\n' >"$here/package.json"
    step "Node $(node --version): the tests, with the package as npm install links it"
    npm install --prefix "$here" --no-audit --no-fund --loglevel=error "$package" >/dev/null
    (cd "$here" && node --test --test-reporter=dot test/*.test.js)
    step "the package as npm packs it"
    npm install --prefix "$here" --no-audit --no-fund --loglevel=error --install-links "$package" >/dev/null
    [[ ! -L $here/node_modules/webhook-assets ]] || fail "npm has linked the package instead of packing it"
    (cd "$here" && node --test --test-reporter=dot test/links.test.js)

    from_npm node-types @types/node "$NODE_TYPES"
    from_npm typescript typescript "$TYPESCRIPT"
    local tsc=$tools/typescript/node_modules/.bin/tsc types=$tools/node-types/node_modules/@types
    step "TypeScript $TYPESCRIPT: types/ is what tsc makes of src/"
    "$tsc" -p "$package" --typeRoots "$types" --outDir "$work/types"
    diff -r "$package/types" "$work/types" || fail "run: $tsc -p packages/node --typeRoots $types"
    step "a program in TypeScript"
    "$tsc" --noEmit --strict --target es2022 --module nodenext --types node --typeRoots "$types" "$here/test/types.ts"
}

suite_python() {
    local here package=$PWD/packages/python
    copy python
    from_pypi mypy tests/packages/requirements.txt --no-deps --only-binary :all:
    step "$(python3 --version): the tests, with the package as pip install copies it"
    # A pip that is there already installs into the new venv: making one takes longer than all tests.
    python3 -m venv --without-pip "$here/venv"
    local pip=("$tools/mypy/bin/pip" --disable-pip-version-check --python "$here/venv/bin/python")
    "${pip[@]}" install -q "$package"
    [[ $("${pip[@]}" list --format=freeze | wc -l) == 1 ]] || fail "the package brings another"
    (cd "$here/tests" && "$here/venv/bin/python" -m unittest --buffer)

    step "mypy, strict: the package, and the tests as a program that uses it"
    (cd "$package" && "$tools/mypy/bin/mypy" --cache-dir "$tools/mypy-cache")
    (cd "$here/tests" && "$tools/mypy/bin/mypy" --strict --cache-dir "$tools/mypy-cache" --python-executable "$here/venv/bin/python" .)
}
