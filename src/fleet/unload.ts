/** Asking a node to let go of a model: it does so when nothing of it runs any more, and cuts no stream (T415). */
import type { FleetNode } from './node.ts'

/** Whether the node agreed within the time; a model that it does not hold in memory counts as let go. */
export async function unloadModel(node: FleetNode, model: string, timeoutMs: number): Promise<boolean> {
  const body = JSON.stringify({ model, keep_alive: 0 })
  const request = { method: 'POST', path: '/api/generate', headers: ['content-type', 'application/json'], body }
  const answer = await node.transport.request(request, { timeoutMs }).catch(() => null)
  return answer?.status === 200
}
