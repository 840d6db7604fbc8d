/**
 * The built console in memory: its files with their types, their names for caches, and what the build compressed. Only names that
 * the build made are known, so no path can lead anywhere else.
 */
import { hash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, posix, sep } from 'node:path'

import type { Asset } from '../send-asset.ts'

const types: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
  json: 'application/json',
}

/** Beside the bundle in the package; where the build puts it in a checkout. */
const folders = [join(import.meta.dirname, 'console'), join(import.meta.dirname, '../../../dist/console')]

/** The files by their path below `/console/`; empty when the console was not built. */
export function loadAssets(candidates: readonly string[] = folders): ReadonlyMap<string, Asset> {
  const folder = candidates.find((candidate) => existsSync(join(candidate, 'index.html')))
  if (folder === undefined) return new Map()
  const names = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .split(sep)
        .join(posix.sep),
    )
  const known = new Set(names)
  const read = (name: string): Buffer<ArrayBuffer> => readFileSync(join(folder, name))
  const assets = new Map<string, Asset>()
  for (const name of names) {
    const type = types[name.slice(name.lastIndexOf('.') + 1)]
    if (type === undefined) continue
    const bytes = read(name)
    assets.set(name, {
      type,
      bytes,
      etag: `"${hash('sha256', bytes, 'base64url').slice(0, 22)}"`,
      immutable: name.startsWith('assets/'),
      gzip: known.has(`${name}.gz`) ? read(`${name}.gz`) : null,
      brotli: known.has(`${name}.br`) ? read(`${name}.br`) : null,
    })
  }
  return assets
}
