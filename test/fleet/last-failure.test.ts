// What a node failed last is shown beside it, also when another node answered in its place.
import { expect, test } from 'vitest'

import { ask, chatBody, isComplete } from './ask.ts'
import { openGateway } from './gateway.ts'

interface Shown {
  readonly name: string
  readonly lastFailure: { readonly reason: string; readonly agoMs: number } | null
}

async function shownBy(url: string): Promise<readonly Shown[]> {
  const { nodes }: { nodes: Shown[] } = JSON.parse((await ask(`${url}/admin/fleet`, undefined, { method: 'GET' })).text)
  return nodes
}

test('a node that failed a try has its reason in /admin/fleet, and one that did not has none', async () => {
  const { url, sims } = await openGateway({ nodes: 2 })
  const [bad] = sims
  bad?.control.set('server-error', { path: '/api/chat', count: 1 })
  expect((await shownBy(url)).map(({ lastFailure }) => lastFailure)).toEqual([null, null])
  const replies = [await ask(`${url}/api/chat`, chatBody()), await ask(`${url}/api/chat`, chatBody())]
  expect(replies.map(isComplete)).toEqual([true, true])
  const shown = await shownBy(url)
  expect(shown.find(({ name }) => name === bad?.name)?.lastFailure).toMatchObject({ reason: expect.stringContaining('unexpected EOF') })
  expect(shown.find(({ name }) => name !== bad?.name)?.lastFailure).toBeNull()
})
