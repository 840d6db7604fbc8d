/**
 * `/api/experimental/model-recommendations`: the list the server carries for when it has no network.
 */
import type { Answer } from './answer.ts'
import type { NodeContext } from './context.ts'
import { sendJson } from './native-routes.ts'

const cloudModel = (model: string, description: string, [contextTokens, outputTokens]: readonly [number, number]) => ({
  model: `${model}:cloud`,
  description,
  context_length: contextTokens,
  max_output_tokens: outputTokens,
})

const localModel = (model: string, description: string, vramBytes: number) => ({ model, description, vram_bytes: vramBytes })

const list = [
  cloudModel('kimi-k2.6', 'State-of-the-art coding, long-horizon execution, and multimodal agent swarm capability', [262_144, 262_144]),
  cloudModel('glm-5.1', 'Reasoning and code generation', [202_752, 131_072]),
  cloudModel('qwen3.5', 'Reasoning, coding, and agentic tool use with vision', [262_144, 32_768]),
  cloudModel('minimax-m2.7', 'Fast, efficient coding and real-world productivity', [204_800, 128_000]),
  localModel('gemma4', 'Reasoning and code generation locally', 12_000_000_000),
  localModel('qwen3.5', 'Reasoning, coding, and visual understanding locally', 14_000_000_000),
]

export function recommendations(_context: NodeContext, answer: Answer): void {
  sendJson(answer, 200, { recommendations: list })
}
