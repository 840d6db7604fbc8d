/**
 * The comparison behind the replay: it must notice what a careless simulation would get wrong.
 */
import { describe, expect, it } from 'vitest'
import { differenceOf } from './replay/compare.ts'
import { readTranscripts, type Transcript } from './replay/transcript.ts'
import type { Exchange } from './replay/wire-client.ts'

const transcripts = readTranscripts()

function recorded(name: string): Transcript {
  const found = transcripts.find((transcript) => transcript.name === name)
  if (found === undefined) throw new Error(`no transcript ${name}`)
  return found
}

/** The recording as if it had been answered just now. */
function replayed(transcript: Transcript): Exchange {
  const { response } = transcript
  return {
    status: response.status,
    httpVersion: response.httpVersion,
    headers: Object.entries(response.headers).flatMap(([name, value]) =>
      (typeof value === 'string' ? [value] : value).map((one): [string, string] => [name, one]),
    ),
    framing: response.framing,
    interim: (response.interim ?? []).map((one) => one.status),
    frames: response.frames.map((frame) => frame.text),
    end: response.end,
    headAlone: false,
  }
}

const stream = recorded('082-generate-num-predict-1')
const limited = recorded('228-v1-chat-stream')
const error = recorded('100-generate-unknown-model')

describe('the comparison', () => {
  it('finds every recording equal to itself', () => {
    expect(
      transcripts.map((transcript) => differenceOf(transcript, replayed(transcript))).filter((difference) => difference !== null),
    ).toEqual([])
  })

  const got = replayed(limited)
  const changes: readonly (readonly [string, Transcript, Exchange])[] = [
    ['another status', error, { ...replayed(error), status: 400 }],
    ['another error text', error, { ...replayed(error), frames: [`{"error":"model 'nope' is missing"}`] }],
    ['another header order', error, { ...replayed(error), headers: replayed(error).headers.toReversed() }],
    [
      'another content type',
      limited,
      { ...got, headers: got.headers.map(([name, value]): [string, string] => [name, name === 'content-type' ? 'text/plain' : value]) },
    ],
    ['another framing', limited, { ...got, framing: 'close' }],
    ['a missing frame', limited, { ...got, frames: got.frames.slice(1) }],
    ['a missing token', limited, { ...got, frames: got.frames.toSpliced(2, 1) }],
    ['two events in one frame', limited, { ...got, frames: [`${got.frames[0]}${got.frames[1]}`, ...got.frames.slice(2)] }],
    ['no terminator', limited, { ...got, frames: got.frames.map((frame) => frame.replace('data: [DONE]\n\n', '')) }],
    [
      'another order of keys',
      limited,
      { ...got, frames: got.frames.map((frame) => frame.replace(/("object":"[^"]*"),("created":\d+)/, '$2,$1')) },
    ],
    ['another type of a value', limited, { ...got, frames: got.frames.map((frame) => frame.replace(/"created":(\d+)/, '"created":"$1"')) }],
    [
      'text in the last line',
      stream,
      { ...replayed(stream), frames: replayed(stream).frames.map((frame) => frame.replace('"response":""', '"response":"x"')) },
    ],
    ['a head before the first frame', limited, { ...got, headAlone: true }],
    ['a body that breaks off', limited, { ...got, end: 'eof' }],
  ]
  it.each(changes)('notices %s', (_title, wanted, changed) => {
    expect(differenceOf(wanted, changed)).not.toBeNull()
  })
})
