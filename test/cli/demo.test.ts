/** `npm run demo` without a terminal: the whole tour, on ports of its own, and then the end. */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

import { runNode } from './corral.ts'

const demo = fileURLToPath(new URL('../../scripts/demo.ts', import.meta.url))
const stations = [
  /^1\. One endpoint.*\n +8 nodes, 4 models: .*llama3\.2:3b/m,
  /^2\. A streamed chat.*\n +llama3\.2:3b on node-\d \([\w-]+.*\), first token after/m,
  /^3\. Load: 96 chats(?:.*\n +node-\d +█+ \d+){8}/m,
  /^4\. An embedding batch.*\n +256 inputs: one node [\d.]+ m?s, through Corral [\d.]+ m?s/m,
  /^5\. A node dies.*\n +node-\d is gone: 64 of 64 chats answered.*\n +started again: it serves after/m,
  /^6\. Documents in(?:.*\n)+? +docs: \d+ documents written(?:.*\n)+? +\[\d+\] .*\.md/m,
  /^7\. What the metrics say(?:.*\n)+? +corral_requests_total\{op="chat",model="llama3\.2:3b",outcome="ok"\} \d+/m,
]

test('the demo takes its tour and ends by itself', { timeout: 400_000 }, async () => {
  const { code, stdout, stderr } = await runNode([demo, '--port', '0']).ended
  expect(stderr).toBe('')
  expect(code).toBe(0)
  for (const station of stations) expect(stdout).toMatch(station)
})
