#!/usr/bin/env bash
# Other people's tools against the real program: conformance, a linter, slow attacks, load. Whatever they find wrong
# fails.
#
#     bash tests/run suites [conformance] [linter] [captions] [slow] [load]
#
# conformance   HTTP/2 by RFC 9113 and RFC 7541 (hyperframe, hpack, h2, nghttp): 164 cases, with TLS and without, of which
#               24 differ for a reason that is written beside them. (h2spec, a Go program, is in none of crates.io, PyPI,
#               npm and Debian.)
# linter        every kind of answer over HTTP/1.1 (REDbot, httplint)
# captions      transcripts as WebVTT, SubRip, Markdown and text (the W3C's webvtt-parser, webvtt-py, srt, pysrt, markdown-it)
# slow          slow headers, slow bodies, many ranges, slow reading (slowhttptest)
# load          full speed over HTTP/1.1 and HTTP/2, with TLS and without (wrk, h2load)
#
# Without arguments all of them, which takes about a minute and a half once everything is installed. Needs python3 (with
# venv), node, npm and openssl; nghttp2, slowhttptest and wrk come from Debian.

readonly WEBVTT_PARSER=2.2.0

suite() {
    local suites=("$@") one
    ((${#suites[@]})) || suites=(conformance linter captions slow load)
    for one in "${suites[@]}"; do
        case $one in
            conformance | linter | captions | slow | load) ;;
            *) fail "$one is no suite; takes conformance, linter, captions, slow and load" ;;
        esac
    done
    debian python3 python3 node nodejs npm npm openssl openssl nghttp nghttp2-client slowhttptest slowhttptest wrk wrk
    from_pypi python tests/suites/requirements.txt --no-deps --only-binary :all: --no-binary sniffpy,srt,pysrt
    from_npm webvtt webvtt-parser "$WEBVTT_PARSER"
    program
    for one in "${suites[@]}"; do
        step "$one"
        timeout 300 "$tools/python/bin/python" "tests/suites/$one.py"
    done
}
