/** One file of those that Corral brings along (the console, the manual), as a browser asks for it: not again when it has it, packed when it can unpack. */
import type { Context } from 'hono'

import type { NodeBindings } from './server.ts'

export interface Asset {
  readonly type: string
  readonly etag: string
  /** Its name holds a hash of its content, so it never changes. */
  readonly immutable: boolean
  readonly bytes: Buffer<ArrayBuffer>
  readonly gzip: Buffer<ArrayBuffer> | null
  readonly brotli: Buffer<ArrayBuffer> | null
}

/** `headers`: what else the answer carries, e.g. its policy. */
export function sendAsset(context: Context<NodeBindings>, asset: Asset, headers: Readonly<Record<string, string>>): Response {
  const { etag, type, immutable } = asset
  const all = {
    ...headers,
    'content-type': type,
    'cache-control': immutable ? 'public, max-age=31536000, immutable' : 'no-cache',
    vary: 'Accept-Encoding',
    etag,
  }
  if (context.req.header('if-none-match') === etag) return context.body(null, 304, all)
  const accepted = context.req.header('accept-encoding') ?? ''
  if (asset.brotli !== null && /\bbr\b/.test(accepted)) return context.body(asset.brotli, 200, { ...all, 'content-encoding': 'br' })
  if (asset.gzip !== null && /\bgzip\b/.test(accepted)) return context.body(asset.gzip, 200, { ...all, 'content-encoding': 'gzip' })
  return context.body(asset.bytes, 200, all)
}
