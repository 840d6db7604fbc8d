#!/usr/bin/env bash
# Packs the package as npm would publish it, installs the tarball into an empty project and runs its `corral` command there.
# Shows that dist/ is complete and that nothing below src or the development dependencies is needed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
project=$(mktemp -d)
server=
finish() {
  if [ -n "$server" ]; then # its store writes until it has ended
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$project"
}
trap finish EXIT

npm pack --silent --pack-destination "$project" >/dev/null # builds dist/ first, by prepack
tarball=$(basename "$project"/*.tgz)
PATH="$PWD/node_modules/.bin:$PATH"
cd "$project"
printf '{"name":"guest","version":"1.0.0","private":true}\n' >package.json
timeout 120 npm install --silent --no-audit --no-fund --ignore-scripts --prefer-offline "./$tarball" ||
  { printf 'the tarball cannot be installed (is the registry reachable?)\n' >&2; exit 1; }
npx --no-install corral version
npx --no-install corral config show >/dev/null
npx --no-install corral export compose exported 2>/dev/null
npx --no-install corral export helm exported 2>/dev/null
[ -f exported/compose/init-secrets.sh ] && [ -f exported/corral/templates/_helpers.tpl ] || { printf 'the package lacks deployment files\n' >&2; exit 1; }
npx --no-install corral migrate up --set "store.dataDir=$project/data" >/dev/null

port=$(node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})')
node node_modules/corral/dist/main.js serve --port "$port" --set "store.dataDir=$project/data" >server.log 2>&1 &
server=$!
alive=no
for _ in $(seq 1 50); do
  if node -e "fetch('http://127.0.0.1:$port/livez').then((r)=>process.exit(r.ok?0:1),()=>process.exit(1))"; then alive=yes; break; fi
  sleep 0.1
done
[ "$alive" = yes ] || { printf 'the installed package does not serve:\n' >&2; cat server.log >&2; exit 1; }
node -e "
const page = 'http://127.0.0.1:$port/console/'
fetch(page).then(async (r) => {
  const [, script] = /src=\"([^\"]+[.]js)\"/.exec(await r.text()) ?? []
  process.exit(r.ok && script !== undefined && (await fetch(new URL(script, page))).ok ? 0 : 1)
}).catch(() => process.exit(1))" ||
  { printf 'the installed package has no console\n' >&2; exit 1; }
node -e "fetch('http://127.0.0.1:$port/docs/').then(async (r)=>process.exit(r.ok&&(await r.text()).includes('</main>')?0:1))" ||
  { printf 'the installed package does not show its manual at /docs/\n' >&2; exit 1; }
printf 'packed: %s, %s packages installed\n' "$tarball" "$(npm ls --all --parseable | wc -l)"
