/** What each of the deployments has to show once its command runs: it answers with its first key, says so when asked, and ends with its streams whole. */
import { expect } from 'vitest'

import type { Running } from '../cli/corral.ts'
import { until } from '../support/gateway.ts'

const startMsMax = 60_000

/** Resolves with the first admin key, when the gateway on `port` is ready for traffic. */
export async function untilServing(running: Running, port: number): Promise<string> {
  const [, key = ''] = await running.until(/admin key (corral_\w+)/)
  let ready = false
  const look = async (): Promise<void> => {
    ready = await fetch(`http://127.0.0.1:${port}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    )
    if (!ready && running.child.exitCode === null) await look()
  }
  void look()
  await until(() => ready, `ready on ${port}`, startMsMax)
  return key
}

/** A stream that was begun before SIGTERM comes to its end, and the process ends well. */
export async function expectDrains(running: Running, port: number, key: string): Promise<void> {
  const answer = await fetch(`http://127.0.0.1:${port}/api/chat`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}` },
    body: JSON.stringify({ model: 'llama3.2:3b', messages: [{ role: 'user', content: 'Why?' }], options: { num_predict: 60 } }),
  })
  expect(answer.status).toBe(200)
  running.child.kill('SIGTERM')
  const lines = (await answer.text()).trim().split('\n')
  expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ done: true })
  expect((await running.ended).code).toBe(0)
}
