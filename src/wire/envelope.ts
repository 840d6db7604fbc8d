/**
 * The envelope scanner: one pass over a request body's top level finds what routing needs, with byte ranges for splicing.
 * The body is never parsed whole. Keys are compared as Go does (without regard to case, with U+017F and U+212A), so that
 * `{"model":"a","MODEL":"b"}` cannot mean one thing here and another in a node: a key in two spellings is refused.
 */
import { hash } from 'node:crypto'

import type { ByteRange, Envelope, EnvelopeField, PromptSize, RunnerOptions } from '../core/envelope.ts'
import { CorralError } from '../core/errors.ts'
import { isChoice, isOldRunnerOption, isRunnerOption } from './fingerprint.ts'
import { decodeString, scanArray, scanObject, type ScanLimits, skipSpace } from './json-scan.ts'
import { findImages, promptSizeOf, textBytesOf } from './prompt-size.ts'

const bytesPerToken = 4
/** What Ollama itself counts an image as (server/prompt.go, `imageNumTokens`); vision models take 256 to some 3,000. */
const tokensPerImage = 768
const plainKeyBytesMax = 128
/** For a second look at what passed the limits already. */
const unlimited: ScanLimits = { depthMax: Infinity, keysMax: Infinity }
/** Messages looked at for the first one of the user. */
const openingMessagesMax = 8

/** The one object for a request without runner options. */
export const noOptions: RunnerOptions = Object.freeze({})
const noFields: ReadonlyMap<string, EnvelopeField> = new Map()

/** The envelope of a request without a JSON body. */
export const emptyEnvelope: Envelope = {
  fields: noFields,
  model: null,
  stream: null,
  runnerOptions: noOptions,
  optionsFit: true,
  empty: false,
  keepAliveSeconds: null,
  promptTokens: 0,
  promptSize: { asciiBytes: 0, otherBytes: 0, images: 0 },
  outputTokensMax: null,
  conversationKey: null,
  wellFormed: true,
}

const malformed: Envelope = { ...emptyEnvelope, wellFormed: false }

/** The fields that routing reads, as they come by: looking them up in the map afterwards would cost more than the scan. */
class KnownFields {
  model: EnvelopeField | undefined
  name: EnvelopeField | undefined
  stream: EnvelopeField | undefined
  options: EnvelopeField | undefined
  keepAlive: EnvelopeField | undefined
  shift: EnvelopeField | undefined
  prompt: EnvelopeField | undefined
  messages: EnvelopeField | undefined
  input: EnvelopeField | undefined
  system: EnvelopeField | undefined
  outputTokens: EnvelopeField | undefined
  images: EnvelopeField | undefined
  /** The fields that are mostly prompt. */
  readonly promptFields: EnvelopeField[] = []

  note(key: string, field: EnvelopeField): void {
    switch (key) {
      case 'model':
        this.model = field
        return
      case 'name':
        this.name = field
        return
      case 'stream':
        this.stream = field
        return
      case 'options':
        this.options = field
        return
      case 'keep_alive':
        this.keepAlive = field
        return
      case 'shift':
        this.shift = field
        return
      case 'max_tokens':
      case 'max_output_tokens':
        this.outputTokens = field
        return
      case 'images':
        this.images = field
        return
      case 'prompt':
        this.prompt = field
        break
      case 'messages':
        this.messages = field
        break
      case 'input':
        this.input = field
        break
      case 'system':
        this.system = field
        break
      case 'instructions':
      case 'suffix':
      case 'tools':
        break
      default:
        return
    }
    this.promptFields.push(field)
  }
}

/** Scans `body`. Throws `duplicate_key`, `too_deep`, or `invalid_request` for too many keys; anything else malformed is reported. */
export function scanEnvelope(body: Buffer, limits: ScanLimits): Envelope {
  const fields = new Map<string, EnvelopeField>()
  const known = new KnownFields()
  const end = scanObject(body, skipSpace(body, 0), limits, (key, value) => {
    const folded = foldKey(key)
    if (fields.has(folded))
      throw new CorralError('duplicate_key', `the key "${folded}" appears more than once; send it once, in lower case`)
    fields.set(folded, value)
    known.note(folded, value)
    return true
  })
  if (end < 0) return malformed
  return new ScannedEnvelope(body, known, { fields, ...readOptions(body, known, limits) })
}

class ScannedEnvelope implements Envelope {
  readonly fields: ReadonlyMap<string, EnvelopeField>
  readonly model: string | null
  readonly stream: boolean | null
  readonly runnerOptions: RunnerOptions
  readonly optionsFit: boolean
  readonly empty: boolean
  readonly keepAliveSeconds: number | null
  readonly promptTokens: number
  readonly outputTokensMax: number | null
  readonly wellFormed = true
  readonly #body: Buffer
  readonly #known: KnownFields
  readonly #images: readonly ByteRange[]

  constructor(body: Buffer, known: KnownFields, { fields, runner, outputTokensMax, fit }: OptionFacts & Pick<Envelope, 'fields'>) {
    this.fields = fields
    this.model = readName(body, known.model) ?? readName(body, known.name)
    this.stream = readBoolean(known.stream)
    this.runnerOptions = runner
    this.empty = isEmptyValue(body, known.prompt) && isEmptyValue(body, known.messages) && isEmptyValue(body, known.input)
    this.keepAliveSeconds = readKeepAlive(body, known.keepAlive)
    this.optionsFit = fit && (this.keepAliveSeconds !== null || !isReadDuration(known.keepAlive))
    this.#images = findImages(body, known.promptFields, known.images)
    this.promptTokens = Math.ceil(textBytesOf(known.promptFields, this.#images) / bytesPerToken) + this.#images.length * tokensPerImage
    this.outputTokensMax = outputTokensMax
    this.#body = body
    this.#known = known
  }

  /** Found when it is asked for: only a limit of tokens does. */
  get promptSize(): PromptSize {
    return promptSizeOf(this.#body, this.#known.promptFields, this.#images)
  }

  /** Found when it is asked for: only a policy that knows prompt caches does. */
  get conversationKey(): string | null {
    return conversationKey(this.#body, this.#known)
  }
}

/** Lower case plus the two characters beyond ASCII that Go folds onto `s` and `k`. */
function foldKey(key: string): string {
  const folded = key.toLowerCase()
  return folded.includes('\u017f') ? folded.replaceAll('\u017f', 's') : folded
}

function readName(body: Buffer, field: EnvelopeField | undefined): string | null {
  if (field?.kind !== 'string') return null
  const name = decodeString(body, field.start, field.end)
  return name === null || name.trim() === '' ? null : name
}

function readBoolean(field: EnvelopeField | undefined): boolean | null {
  if (field?.kind === 'true') return true
  return field?.kind === 'false' ? false : null
}

function readNumber(body: Buffer, field: EnvelopeField | undefined): number | null {
  if (field?.kind !== 'number') return null
  const value = Number(body.latin1Slice(field.start, field.end))
  return Number.isNaN(value) ? null : value
}

/** Null, too, for what Go cannot hold in a float64 (`1e400`): a node refuses such a body. */
function readFinite(body: Buffer, field: EnvelopeField): number | null {
  const value = readNumber(body, field)
  return value !== null && Number.isFinite(value) ? value : null
}

interface OptionFacts {
  readonly runner: RunnerOptions
  readonly outputTokensMax: number | null
  readonly fit: boolean
}

function readOptions(body: Buffer, known: KnownFields, limits: ScanLimits): OptionFacts {
  let runner: Record<string, number | boolean> | null = null
  let outputTokens = readNumber(body, known.outputTokens)
  let fit = true
  const { options } = known
  if (options?.kind === 'object') {
    const seen = new Set<string>()
    scanObject(body, options.start, limits, (key, value) => {
      if (seen.has(key)) throw new CorralError('duplicate_key', `the key "options.${key}" appears more than once; send it once`)
      seen.add(key)
      if (key === 'num_predict') outputTokens = readNumber(body, value) ?? outputTokens
      if (!isRunnerOption(key)) return true
      const setting = readFinite(body, value) ?? readBoolean(value)
      fit &&= !isOldRunnerOption(key) || isFitting(key, value, setting)
      if (setting !== null && isChoice(key, setting)) (runner ??= {})[key] = setting
      return true
    })
  }
  if (known.shift?.kind === 'false') (runner ??= {}).shift = false
  return { fit, runner: runner ?? noOptions, outputTokensMax: outputTokens !== null && outputTokens > 0 ? outputTokens : null }
}

/** Whether Ollama takes `value` for the runner option `key`. `setting`: what it holds; null: neither number nor boolean. */
function isFitting(key: string, { kind }: EnvelopeField, setting: number | boolean | null): boolean {
  return kind === 'null' || (setting !== null && (typeof setting === 'boolean') === (key === 'use_mmap'))
}

/** Requests without prompt, messages and input load or unload. */
function isEmptyValue(body: Buffer, field: EnvelopeField | undefined): boolean {
  if (field === undefined || field.kind === 'null') return true
  if (field.kind === 'string') return field.end - field.start === 2
  return field.kind === 'array' && skipSpace(body, field.start + 1) === field.end - 1
}

/** Units of a Go duration; micro is written with either of its two signs. */
const durationUnitSeconds: Readonly<Record<string, number>> = {
  ns: 1e-9,
  us: 1e-6,
  '\u00b5s': 1e-6,
  '\u03bcs': 1e-6,
  ms: 1e-3,
  s: 1,
  m: 60,
  h: 3_600,
}
const durationPart = /(\d+(?:\.\d*)?|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/g
const durationBytesMax = 128
const goDuration = new RegExp(`^([+-]?)((?:${durationPart.source})+|0)$`)

/** A text that is looked at. Of a longer one nothing is known: Go takes durations of any length. */
function isReadDuration(field: EnvelopeField | undefined): field is EnvelopeField {
  return field?.kind === 'string' && field.end - field.start <= durationBytesMax
}

/** Seconds of a number or of a Go duration; negative means for ever. */
function readKeepAlive(body: Buffer, field: EnvelopeField | undefined): number | null {
  const number = readNumber(body, field)
  if (number !== null) return number < 0 ? Infinity : number
  if (!isReadDuration(field)) return null
  const match = goDuration.exec(decodeString(body, field.start, field.end) ?? '')
  if (match === null) return null
  let seconds = 0
  for (const [, amount, unit] of (match[2] ?? '').matchAll(durationPart)) {
    seconds += Number(amount) * (durationUnitSeconds[unit ?? ''] ?? 0)
  }
  return match[1] === '-' && seconds > 0 ? Infinity : seconds
}

/** What every later turn repeats byte for byte: the messages up to the user's first, with the model and a system prompt. */
function conversationKey(body: Buffer, { model, messages, system }: KnownFields): string | null {
  if (messages?.kind !== 'array' || model === undefined) return null
  const end = openingEnd(body, messages)
  if (end < 0) return null
  const key = digest(body, model.start, model.end) + digest(body, messages.start, end)
  return system === undefined ? key : key + digest(body, system.start, system.end)
}

/** Short bytes are their own key: a hash costs more than comparing them. */
function digest(body: Buffer, start: number, end: number): string {
  return end - start <= plainKeyBytesMax ? body.latin1Slice(start, end) : hash('sha1', body.subarray(start, end), 'hex')
}

/** Index after the user's first message; -1 when there is none. */
function openingEnd(body: Buffer, messages: EnvelopeField): number {
  let end = -1
  let count = 0
  scanArray(body, messages.start, Infinity, (message) => {
    count += 1
    if (isFromUser(body, message)) end = message.end
    return end < 0 && count < openingMessagesMax
  })
  return end
}

function isFromUser(body: Buffer, message: EnvelopeField): boolean {
  let fromUser = false
  scanObject(body, message.start, unlimited, (key, value) => {
    if (key !== 'role') return true
    fromUser = body.latin1Slice(value.start, value.end) === '"user"'
    return false
  })
  return fromUser
}
