/**
 * What a simulated model says: a function of the prompt, the options and the model's capabilities, never of time. A plan is
 * one entry per decoded token: the piece a client sees, or null for a token that is not shown (tags, tool-call syntax, end).
 */
import { hashText, randomSequence } from './hash.ts'
import { flagOf, isObject, listOf, objectOf, textOf, type JsonObject, type JsonValue } from './json-value.ts'
import type { Capability } from './model.ts'
import { answerFromPassages } from './reading.ts'

export interface ToolCall {
  readonly id: string
  readonly index: number
  readonly name: string
  readonly args: JsonValue
}

export interface Piece {
  readonly content: string
  readonly thinking: string
  readonly toolCalls: readonly ToolCall[]
  readonly logprobs: JsonValue[] | null
}

export interface Plan {
  readonly steps: readonly (Piece | null)[]
  /** `abort`: the runner gives up on a repeated token and the answer has no end. */
  readonly doneReason: 'stop' | 'length' | 'abort'
}

export interface PlanInput {
  readonly prompt: string
  readonly capabilities: readonly Capability[]
  readonly tools: readonly JsonObject[]
  readonly lastRole: string
  readonly think: boolean
  readonly format: JsonValue | undefined
  readonly options: JsonObject
  /** Tokens there is room for; Infinity with context shift. */
  readonly room: number
  readonly topLogprobs: number | null
  /** Words of an answer that ends by itself: from, to. */
  readonly answerTokens: readonly [number, number]
}

const words =
  `the a of and to in is that for it with as on be at by this from or an are was but not have they which one you all their there can has more
about when would other into time up only some could them see these two may first then any new work part people made over after where most
make should still while between life being under water way place right even good light same through night world small house day great home
hand high year state city found long might every own never another group work line river stone garden winter summer morning window letter
music answer number question model server gateway node cluster stream token memory cache route queue signal horse field fence herd water
grass cloud mountain valley forest bridge market engine wheel paper ink book story teacher child friend road train station harbour ship`.split(
    /\s+/,
  )

/** A piece with nothing in it. */
export const emptyPiece: Piece = { content: '', thinking: '', toolCalls: [], logprobs: null }

function content(text: string): Piece {
  return { ...emptyPiece, content: text }
}

function sentence(random: () => number, count: number): string[] {
  const pieces: string[] = []
  let capital = true
  for (let index = 0; index < count; index += 1) {
    const word = words[Math.floor(random() * words.length)] ?? 'and'
    const shown = capital ? word.charAt(0).toUpperCase() + word.slice(1) : word
    capital = index > 0 && index < count - 2 && random() < 0.09
    pieces.push(`${index === 0 ? '' : ' '}${shown}${capital || index === count - 1 ? '.' : ''}`)
  }
  return pieces
}

/** A value that satisfies the usual parts of a JSON schema. */
export function sampleOf(schema: JsonValue | undefined, random: () => number): JsonValue {
  const facts = objectOf(schema)
  const choices = listOf(facts['enum'])
  if (choices.length > 0) return choices[Math.floor(random() * choices.length)] ?? null
  if (facts['const'] !== undefined) return facts['const']
  const type = Array.isArray(facts['type']) ? textOf(facts['type'][0]) : textOf(facts['type'])
  if (type === 'string') return words[Math.floor(random() * words.length)] ?? 'word'
  if (type === 'integer') return Math.floor(random() * 100)
  if (type === 'number') return Math.round(random() * 1_000) / 10
  if (type === 'boolean') return random() < 0.5
  if (type === 'null') return null
  if (type === 'array') return [sampleOf(facts['items'], random), sampleOf(facts['items'], random)]
  const result: JsonObject = {}
  for (const [key, property] of Object.entries(objectOf(facts['properties']))) result[key] = sampleOf(property, random)
  return result
}

function toolCall(tools: readonly JsonObject[], random: () => number, id: string): ToolCall {
  const described = objectOf(tools[Math.floor(random() * tools.length)]?.['function'])
  return { id, index: 0, name: textOf(described['name']), args: sampleOf(described['parameters'], random) }
}

function jsonSteps(format: JsonValue, random: () => number): Piece[] {
  const value = isObject(format)
    ? sampleOf(format, random)
    : { name: words[Math.floor(random() * words.length)] ?? '', value: Math.floor(random() * 100) }
  const text = JSON.stringify(value, null, 1).replace(/\n */g, ' ')
  return (text.match(/[A-Za-z]+|\d|\s*[^A-Za-z\d]/g) ?? []).map(content)
}

function bodySteps(input: PlanInput, random: () => number, count: number): (Piece | null)[] {
  const steps: (Piece | null)[] = []
  const calls = input.tools.length > 0 && input.capabilities.includes('tools') && input.lastRole === 'user'
  if (input.think) {
    steps.push(null)
    for (const text of sentence(random, 6 + Math.floor(random() * 6))) steps.push({ ...emptyPiece, thinking: text })
    steps.push(null, null, null)
  }
  if (calls) {
    for (let index = 0; index < 12; index += 1) steps.push(null)
    const id = `call_${hashText(input.prompt).toString(36).padStart(8, '0').slice(-8)}`
    steps.push({ ...emptyPiece, toolCalls: [toolCall(input.tools, random, id)] })
  } else if (input.format !== undefined) steps.push(...(input.think ? [emptyPiece] : []), ...jsonSteps(input.format, random))
  else for (const text of answerFromPassages(input.prompt) ?? sentence(random, count)) steps.push(content(text))
  return steps
}

function limitOf(input: PlanInput): number {
  const asked = input.options['num_predict']
  const limit = typeof asked === 'number' && asked > 0 ? asked : Infinity
  return Math.min(limit, Math.max(1, input.room))
}

function cutAtStop(steps: readonly (Piece | null)[], stops: readonly string[]): { steps: (Piece | null)[]; hit: boolean } {
  let text = ''
  const kept: (Piece | null)[] = []
  for (const step of steps) {
    const before = text.length
    text += step?.content ?? ''
    const found = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0)
    if (found.length > 0) {
      const rest = text.slice(before, Math.max(before, Math.min(...found)))
      if (rest !== '') kept.push(content(rest))
      return { steps: kept, hit: true }
    }
    kept.push(step)
  }
  return { steps: kept, hit: false }
}

function withLogprobs(step: Piece | null, top: number, random: () => number): Piece | null {
  if (step === null) return null
  const token = step.content + step.thinking
  const entry = (): JsonObject => ({ token, logprob: -Math.round(random() * 3e9) / 1e9, bytes: [...Buffer.from(token)] })
  const first = entry()
  return {
    ...step,
    logprobs: [top > 0 ? { ...first, top_logprobs: Array.from({ length: top }, (_, rank) => (rank === 0 ? first : entry())) } : first],
  }
}

/** Plans an answer. */
export function planAnswer(input: PlanInput): Plan {
  const limit = limitOf(input)
  const random = randomSequence(hashText(input.prompt, hashText(JSON.stringify([input.options['seed'] ?? 0]))))
  const penalty = input.options['repeat_penalty']
  if (typeof penalty === 'number' && penalty < 0.5 && limit > 31) {
    return { steps: Array.from({ length: 31 }, () => content(' ha')), doneReason: 'abort' }
  }
  const [least, most] = input.answerTokens
  const natural = least + Math.floor(random() * (most - least + 1))
  let steps = bodySteps(input, random, natural)
  const stops = listOf(input.options['stop'])
    .map((stop) => textOf(stop))
    .filter((stop) => stop !== '')
  if (stops.length > 0) steps = cutAtStop(steps, stops).steps
  if (input.topLogprobs !== null) {
    const top = input.topLogprobs
    steps = steps.map((step) => withLogprobs(step, top, random))
  }
  if (steps.length < limit) return { steps: [...steps, null], doneReason: 'stop' }
  return { steps: steps.slice(0, limit), doneReason: 'length' }
}

/** The pieces as one. */
export function joinPieces(pieces: readonly Piece[]): Piece {
  const first = pieces[0]
  if (first !== undefined && pieces.length === 1) return first
  const logprobs = pieces.flatMap((piece) => piece.logprobs ?? [])
  return {
    content: pieces.map((piece) => piece.content).join(''),
    thinking: pieces.map((piece) => piece.thinking).join(''),
    toolCalls: pieces.flatMap((piece) => piece.toolCalls),
    logprobs: logprobs.length > 0 ? logprobs : null,
  }
}

/** Whether `think` of a request asks for thinking; null: it says nothing. */
export function thinkWish(value: JsonValue | undefined): boolean | null {
  if (value === undefined || value === null) return null
  if (typeof value === 'string') return true
  return flagOf(value)
}
