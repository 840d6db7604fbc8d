/** What a request says of how long its model stays in memory. */
import type { InferenceRequest } from '../core/relay.ts'

/** Whether the model is to go when it has answered. The other dialects have no `keep_alive` (ollama-contract.md §1.6). */
export function unloads({ route, envelope }: Pick<InferenceRequest, 'route' | 'envelope'>): boolean {
  return route.dialect === 'ollama' && envelope.keepAliveSeconds === 0
}
