/**
 * Loaded into a gateway with `--expose-gc --import 'gc-probe.ts?FILE'` for the soak: every few seconds it collects
 * garbage and appends a line of JSON with the heap that is left and the timers and sockets that are still reachable,
 * those that do not keep the process alive included. The gateway knows nothing of it.
 */
import { appendFileSync } from 'node:fs'
import { Server, Socket } from 'node:net'
import { memoryUsage } from 'node:process'
import { setTimeout as startTimer } from 'node:timers'
import { queryObjects } from 'node:v8'

const everyMs = 5_000
const file = decodeURIComponent(new URL(import.meta.url).search.slice(1))
const timerClass = startTimer(probe, everyMs).unref().constructor

function reachable(kind: Parameters<typeof queryObjects>[0]): number {
  return queryObjects(kind, { format: 'count' })
}

function probe(): void {
  globalThis.gc?.()
  const { heapUsed, rss } = memoryUsage()
  const held = { timers: reachable(timerClass), sockets: reachable(Socket), servers: reachable(Server) }
  appendFileSync(file, `${JSON.stringify({ heapBytes: heapUsed, rssBytes: rss, ...held })}\n`)
  startTimer(probe, everyMs).unref()
}
