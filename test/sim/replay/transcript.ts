/**
 * The recorded exchanges with a real Ollama, as files of `test/data/ollama-transcripts` (its README explains the fields).
 * Only the test reads them; the simulated node never does.
 */
import { readdirSync, readFileSync } from 'node:fs'

export interface Repeat {
  readonly prefix?: string
  readonly unit: string
  readonly count: number
  readonly suffix?: string
}

export interface RecordedRequest {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly bodyText?: string
  readonly bodyBase64?: string
  readonly bodyRepeat?: Repeat
  readonly headerRepeat?: Repeat & { readonly name: string }
  readonly httpVersion?: string
}

export interface RecordedResponse {
  readonly status: number
  readonly httpVersion: string
  readonly headers: Readonly<Record<string, string | readonly string[]>>
  readonly framing: 'chunked' | 'length' | 'close' | 'none'
  readonly interim?: readonly { readonly status: number }[]
  readonly frames: readonly { readonly text: string }[]
  readonly end: 'complete' | 'eof' | 'reset' | 'timeout'
  readonly cut?: boolean
}

export interface Transcript {
  readonly name: string
  readonly number: number
  readonly group: string
  readonly server: string
  readonly request: RecordedRequest
  readonly response: RecordedResponse
}

/** How many were recorded. */
export const transcriptCount = 386

const folder = new URL('../../data/ollama-transcripts/', import.meta.url)

/** All exchanges, in the order of recording. */
export function readTranscripts(): Transcript[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .toSorted()
    .map((file) => {
      const parsed = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as Omit<Transcript, 'number'>
      return { ...parsed, number: Number(parsed.name.slice(0, 3)) }
    })
}
