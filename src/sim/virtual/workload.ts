/**
 * What is asked for in a simulated run: models, nodes and conversations, all drawn from the seed before the run starts, so that
 * every policy meets exactly the same demand. Speeds are those of a node of speed 1 with one stream; they are plausible,
 * not measured: results rank policies, they predict no machine.
 */
import { exponential, geometric, logNormal, seededRandom, weightedIndex } from './random.ts'

export interface ModelSpec {
  readonly name: string
  readonly sizeGb: number
  /** Time to load it on a node of disk speed 1 when nothing stands before it. */
  readonly loadMs: number
  readonly prefillMsPerToken: number
  readonly decodeMsPerToken: number
}

export interface NodeSpec {
  readonly name: string
  readonly vramGb: number
  /** Multiplies prefill and decode speed. */
  readonly speed: number
  /** Multiplies load speed. */
  readonly diskSpeed: number
}

/** A model, and how often it is drawn. */
interface PopularModel extends ModelSpec {
  readonly popularity: number
}

export interface Shape {
  readonly name: string
  readonly nodes: readonly NodeSpec[]
  readonly slots: number
  readonly arrivalsPerSecond: number
}

export interface Turn {
  readonly promptTokens: number
  readonly outputTokens: number
  /** Pause of the user before this turn, from the end of the one before. */
  readonly thinkMs: number
}

export interface Conversation {
  readonly id: number
  readonly model: ModelSpec
  readonly startsAtMs: number
  readonly turns: readonly Turn[]
}

/** Six models of 3 to 20 GB, the n-th wanted 1/n as often as the first. */
export const models: readonly PopularModel[] = [
  { name: 'mid-12b', sizeGb: 8, loadMs: loadMsOf(8), popularity: 1, prefillMsPerToken: 1, decodeMsPerToken: 22 },
  { name: 'small-8b', sizeGb: 6, loadMs: loadMsOf(6), popularity: 1 / 2, prefillMsPerToken: 0.7, decodeMsPerToken: 17 },
  { name: 'tiny-3b', sizeGb: 3, loadMs: loadMsOf(3), popularity: 1 / 3, prefillMsPerToken: 0.3, decodeMsPerToken: 9 },
  { name: 'large-32b', sizeGb: 20, loadMs: loadMsOf(20), popularity: 1 / 4, prefillMsPerToken: 2.5, decodeMsPerToken: 50 },
  { name: 'coder-7b', sizeGb: 5, loadMs: loadMsOf(5), popularity: 1 / 5, prefillMsPerToken: 0.6, decodeMsPerToken: 15 },
  { name: 'sparse-20b', sizeGb: 13, loadMs: loadMsOf(13), popularity: 1 / 6, prefillMsPerToken: 0.9, decodeMsPerToken: 14 },
]

const equalNodes: readonly NodeSpec[] = [
  { name: 'n1', vramGb: 48, speed: 1, diskSpeed: 1 },
  { name: 'n2', vramGb: 24, speed: 1, diskSpeed: 1 },
  { name: 'n3', vramGb: 24, speed: 1, diskSpeed: 1 },
  { name: 'n4', vramGb: 24, speed: 1, diskSpeed: 1 },
]

const mixedNodes: readonly NodeSpec[] = [
  { name: 'n1', vramGb: 48, speed: 1, diskSpeed: 1 },
  { name: 'n2', vramGb: 24, speed: 1, diskSpeed: 1 },
  { name: 'n3', vramGb: 24, speed: 0.65, diskSpeed: 0.7 },
  { name: 'n4', vramGb: 24, speed: 0.42, diskSpeed: 0.6 },
]

export const shapes: readonly Shape[] = [
  { name: 'mixed-1slot-0.10', nodes: mixedNodes, slots: 1, arrivalsPerSecond: 0.1 },
  { name: 'mixed-1slot-0.20', nodes: mixedNodes, slots: 1, arrivalsPerSecond: 0.2 },
  { name: 'equal-1slot-0.20', nodes: equalNodes, slots: 1, arrivalsPerSecond: 0.2 },
  { name: 'mixed-4slot-0.20', nodes: mixedNodes, slots: 4, arrivalsPerSecond: 0.2 },
  { name: 'equal-4slot-0.35', nodes: equalNodes, slots: 4, arrivalsPerSecond: 0.35 },
]

const multiTurnShare = 0.35
const meanTurns = 3
const meanThinkMs = 25_000

/** Load time by size: a process to start, and a gigabyte a second from disk. */
export function loadMsOf(sizeGb: number): number {
  return 2_000 + 1_000 * sizeGb
}

/** Milliseconds this node takes to load this model when nothing stands before it. */
export function trueLoadMs(model: ModelSpec, node: NodeSpec): number {
  return model.loadMs / node.diskSpeed
}

/** Conversations that start within `lengthMs`, in order. */
export function drawConversations(shape: Shape, seed: number, lengthMs: number): readonly Conversation[] {
  const random = seededRandom(seed)
  const weights = models.map((model) => model.popularity)
  const conversations: Conversation[] = []
  for (let atMs = exponential(random, 1_000 / shape.arrivalsPerSecond); atMs < lengthMs;) {
    const model = models[weightedIndex(random, weights)]
    if (model !== undefined) conversations.push({ id: conversations.length, model, startsAtMs: atMs, turns: drawTurns(random) })
    atMs += exponential(random, 1_000 / shape.arrivalsPerSecond)
  }
  return conversations
}

function drawTurns(random: () => number): readonly Turn[] {
  if (random() >= multiTurnShare) return [{ promptTokens: tokens(random, 900), outputTokens: tokens(random, 190), thinkMs: 0 }]
  const turns: Turn[] = []
  let historyTokens = tokens(random, 1_200)
  for (let left = geometric(random, meanTurns); left > 0; left -= 1) {
    const promptTokens = historyTokens + tokens(random, 120)
    const outputTokens = tokens(random, 190)
    turns.push({ promptTokens, outputTokens, thinkMs: turns.length === 0 ? 0 : exponential(random, meanThinkMs) })
    historyTokens = promptTokens + outputTokens
  }
  return turns
}

function tokens(random: () => number, mean: number): number {
  return Math.max(8, Math.round(logNormal(random, mean, 0.8)))
}
