/**
 * Where the store's own worker and child process lie: next to this file, as TypeScript in a checkout and as JavaScript in `dist/`,
 * where `scripts/build.ts` makes each an entry point of its own.
 */
export function entryPoint(name: 'embedded-worker' | 'initdb-process'): URL {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  return new URL(`./${name}.${extension}`, import.meta.url)
}
