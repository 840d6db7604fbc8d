/**
 * The recorded exchanges with a real Ollama as the wire tests use them: requests and answers as bytes, with the facts of
 * the route they belong to. The README beside the files explains their fields.
 */
import { readdirSync, readFileSync } from 'node:fs'

import type { RouteFacts } from '../../src/core/route.ts'
import { matchRoute, unknownRouteFor } from '../../src/wire/routes.ts'

export interface Transcript {
  readonly name: string
  readonly server: string
  readonly request: {
    readonly method: string
    readonly path: string
    readonly host?: string
    readonly headers: Readonly<Record<string, string>>
    readonly bodyText?: string
  }
  readonly response: {
    readonly status: number
    readonly headers: Readonly<Record<string, string | readonly string[]>>
    readonly frames: readonly { readonly text: string }[]
    readonly end: 'complete' | 'eof' | 'reset' | 'timeout'
    readonly cut?: boolean
  }
}

const folder = new URL('../data/ollama-transcripts/', import.meta.url)

/** All exchanges in the order of recording. */
export const transcripts: readonly Transcript[] = readdirSync(folder)
  .filter((file) => file.endsWith('.json'))
  .toSorted()
  .map((file): Transcript => JSON.parse(readFileSync(new URL(file, folder), 'utf8')))

/** The exchange whose name begins with `number`, such as `'083'`. */
export function transcript(number: string): Transcript {
  const found = transcripts.find(({ name }) => name.startsWith(`${number}-`))
  if (found === undefined) throw new Error(`there is no transcript ${number}`)
  return found
}

/** The whole answer as bytes. */
export function answerOf({ response }: Transcript): Buffer {
  return Buffer.from(response.frames.map(({ text }) => text).join(''))
}

export function headerOf({ response }: Transcript, name: string): string {
  const value = response.headers[name]
  return typeof value === 'string' ? value : (value?.join(', ') ?? '')
}

/** Facts of the route that the exchange was sent to. */
export function routeOf({ request }: Pick<Transcript, 'request'>): RouteFacts {
  const path = request.path.split('?')[0] ?? ''
  const match = matchRoute(request.method, path)
  return match.kind === 'route' ? match.facts : unknownRouteFor(path)
}

/** Facts of a route by method POST; fails when the table does not know it. */
export function postRoute(path: string): RouteFacts {
  const match = matchRoute('POST', path)
  if (match.kind !== 'route') throw new Error(`POST ${path} is no route`)
  return match.facts
}
