/**
 * What a mock Ollama can be told to do and what it counts. Parent and child both parse with these schemas, so a
 * bench with a misspelt setting fails instead of measuring something else.
 */
import { z } from 'zod'

/** Ways a node can misbehave. All but `refuse` and `hang` leave the health paths healthy: the harder case. */
export const mockFault = z.enum([
  'none',
  '503',
  '404',
  'refuse',
  'rst-before-head',
  'rst-at-frame',
  'hang',
  'hang-inference',
  'hang-at-frame',
  'load-500',
  'slow',
])
export type MockFault = z.infer<typeof mockFault>

export const mockSettings = z.strictObject({
  fault: mockFault.default('none'),
  /** Generations served at once; later ones wait in arrival order. 0: no limit. */
  slots: z.int().min(0).default(0),
  /** Time before the first byte of an answer; a whole answer comes then. */
  serviceMs: z.number().min(0).default(0),
  /** Extra time before the first byte under the fault `slow`. */
  slowMs: z.number().min(0).default(2_000),
  /** Time a node takes to load its model by the first request for it; under `load-500` it fails then. 0: loaded from the start. */
  loadMs: z.number().min(0).default(0),
  frames: z.int().min(1).default(50),
  frameIntervalMs: z.number().min(0).default(20),
  /** Frames sent before the connection is reset under `rst-at-frame`, or falls silent under `hang-at-frame`. */
  faultAfterFrames: z.int().min(0).default(5),
  /** Time an embedding batch takes for each of its items. */
  embedItemMs: z.number().min(0).default(0),
})
export type MockSettings = z.infer<typeof mockSettings>

export const mockCommand = z.strictObject({
  /** Which nodes; all when absent. */
  nodes: z.array(z.int().min(0)).optional(),
  settings: z.partialRecord(mockSettings.keyof(), z.union([z.number(), z.string()])),
})

export const mockCounters = z.strictObject({
  port: z.int(),
  connections: z.int(),
  /** Inference requests that reached the node. */
  arrivals: z.int(),
  /** Those by path: a gateway's own loads and unloads are `/api/generate`. */
  paths: z.record(z.string(), z.int()),
  finished: z.int(),
  inFlight: z.int(),
  inFlightPeak: z.int(),
  embedItems: z.int(),
})
export type MockCounters = z.infer<typeof mockCounters>
