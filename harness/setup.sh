#!/bin/sh
# Brings a Debian machine to where the harness runs: system packages, then the virtual environment
# in .venv. Does only what is missing; says nothing when nothing is.
set -eu
cd "$(dirname "$0")/.."

packages=
need() { command -v "$1" >/dev/null 2>&1 || packages="$packages $2"; }
need qemu-system-x86_64 qemu-system-x86
need ld binutils
need python3 python3
python3 -c 'import ensurepip, venv' 2>/dev/null || packages="$packages python3-venv"

if [ -n "$packages" ]; then
    install="apt-get install -y --no-install-recommends$packages"
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "setup: missing system packages; run: sudo sh -c 'apt-get update && $install'" >&2
        exit 3
    fi
    echo "setup: installing$packages" >&2
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update && $install; } >&2 || {
        echo "setup: could not install; run: apt-get update && $install" >&2
        exit 3
    }
fi

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "setup: Python 3.11 or newer is needed, found $(python3 --version)" >&2
    exit 3
}

# The stamp holds what was installed for, so that a change of either installs again.
want="$(cksum <pyproject.toml) $(pwd)"
if [ "$(cat .venv/ready 2>/dev/null || true)" != "$want" ]; then
    echo "setup: Python packages into .venv" >&2
    [ -x .venv/bin/python ] || python3 -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' >&2 || {
        echo "setup: pip failed; is a package index reachable? Then run make again" >&2
        exit 3
    }
    echo "$want" >.venv/ready
fi
