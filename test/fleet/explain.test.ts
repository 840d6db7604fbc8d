// A request that asks why is told of every node that was looked at, every try, the wait and the cache; others are told nothing.
import { expect, test } from 'vitest'

import type { AnswerStep, AttemptStep, ChoiceStep } from '../../src/core/explanation.ts'
import type { ExplainedRequest } from '../../src/observe/explained.ts'
import { ask, chatBody, isComplete, type Reply } from './ask.ts'
import { type Gateway, openGateway, until } from './gateway.ts'

type Explained = ExplainedRequest & { readonly summary: readonly string[] }

const why = { headers: { 'x-corral-explain': 'true' } }
/** An answer that was cut short would not be kept. */
const pinned = { options: { temperature: 0 } }
const idOf = ({ headers }: Reply): string => String(headers['x-request-id'])

async function explained({ url }: Gateway, id: string): Promise<Explained> {
  const { status, text } = await ask(`${url}/admin/requests/${id}/explain`, undefined, { method: 'GET' })
  expect(status, text).toBe(200)
  return JSON.parse(text)
}

const choices = ({ steps }: Explained): readonly ChoiceStep[] => steps.filter((step) => step.kind === 'choice')
const attempts = ({ steps }: Explained): readonly AttemptStep[] => steps.filter((step) => step.kind === 'attempt')
const answers = ({ steps }: Explained): readonly AnswerStep[] => steps.filter((step) => step.kind === 'answer')

test('the nodes that lost are named with their costs and the reason, and so are those that were not candidates', async () => {
  const gateway = await openGateway({ nodes: 3 })
  gateway.app.fleet.setDraining('node-3', true)
  const reply = await ask(`${gateway.url}/api/chat`, chatBody(), why)
  expect(isComplete(reply), reply.text).toBe(true)
  const answer = await explained(gateway, idOf(reply))
  const [choice] = choices(answer)
  expect(choice?.node).toBe(reply.node)
  expect(choice?.candidates.map(({ node }) => node).toSorted()).toEqual(['node-1', 'node-2'])
  expect(choice?.candidates[0]?.cost).toBeLessThanOrEqual(choice?.candidates[1]?.cost ?? -1)
  expect(choice?.passedOver).toEqual([{ node: 'node-3', why: 'draining' }])
  expect(attempts(answer).map(({ node, outcome, failure }) => ({ node, outcome, failure }))).toEqual([
    { node: reply.node, outcome: 'ok', failure: null },
  ])
  expect(answer.done).toBe(true)
  expect(answer.summary[0]).toContain('node-3: draining')
})

test('a try that failed is told with its failure, and the next choice passes its node over', async () => {
  const gateway = await openGateway({ nodes: 2 })
  gateway.sim('node-1').control.set('server-error', { path: '/api/chat' })
  // Whoever was chosen longest ago is next, so one of two goes to the bad node first.
  const replies = [await ask(`${gateway.url}/api/chat`, chatBody(), why), await ask(`${gateway.url}/api/chat`, chatBody(), why)]
  const all = await Promise.all(replies.map((reply) => explained(gateway, idOf(reply))))
  const retried = all.find((each) => attempts(each).length === 2)
  expect(retried).toBeDefined()
  if (retried === undefined) return
  const [first, second] = attempts(retried)
  expect(first).toMatchObject({ node: 'node-1', outcome: 'node_error', failure: { kind: expect.any(String) } })
  expect(first?.failure?.message).toContain('node-1')
  expect(second).toMatchObject({ node: 'node-2', outcome: 'ok', failure: null })
  expect(choices(retried)[1]?.passedOver).toEqual([{ node: 'node-1', why: 'failed this request already' }])
})

test('a wait is one step that says what kept the nodes from taking it', async () => {
  const gateway = await openGateway({ nodes: 1, fleet: { admission: { slotsAssumed: 1, slotsMax: 1 } } })
  const [node] = gateway.app.fleet.nodes
  const long = ask(`${gateway.url}/api/chat`, chatBody({ options: { num_predict: 200 } }))
  await until(() => gateway.app.fleet.activeAttempts === 1, 'the first one is under way')
  const reply = await ask(`${gateway.url}/api/chat`, chatBody(), why)
  await long
  expect(isComplete(reply), reply.text).toBe(true)
  const [waited, served, ...rest] = choices(await explained(gateway, idOf(reply)))
  expect(waited).toMatchObject({ node: null, candidates: [{ node: node?.name, blocked: 'full', inFlight: 1 }] })
  expect(served?.node).toBe(node?.name)
  expect(rest).toEqual([])
})

test('the cache tells why it passed by, kept, and answered', async () => {
  const gateway = await openGateway({ cache: { enabled: true } })
  const outcomes: (string | undefined)[] = []
  for (const body of [chatBody(), chatBody(pinned), chatBody(pinned)]) {
    const reply = await ask(`${gateway.url}/api/chat`, body, why)
    const answer = await explained(gateway, idOf(reply))
    outcomes.push(answers(answer)[0]?.cache?.outcome)
    if (outcomes.length === 1) expect(answer.summary.at(-1)).toContain('pins neither temperature 0 nor a seed')
    if (outcomes.length === 3)
      expect(
        answer.steps.map(({ kind }) => kind),
        answer.summary.join('\n'),
      ).toEqual(['cache', 'answer'])
  }
  expect(outcomes).toEqual(['bypass', 'miss', 'hit'])
})

test('a request that nobody can answer says so, and one that did not ask is not explained', async () => {
  const gateway = await openGateway({ nodes: 1 })
  gateway.app.fleet.setDraining('node-1', true)
  const refused = await explained(gateway, idOf(await ask(`${gateway.url}/api/chat`, chatBody(), why)))
  expect(answers(refused)[0]).toMatchObject({ status: 503, outcome: 'rejected', error: { code: 'no_node' } })
  gateway.app.fleet.setDraining('node-1', false)
  const silent = await ask(`${gateway.url}/api/chat`, chatBody())
  const { status, text } = await ask(`${gateway.url}/admin/requests/${idOf(silent)}/explain`, undefined, { method: 'GET' })
  expect({ status, code: JSON.parse(text).code }).toEqual({ status: 404, code: 'route_not_found' })
})

test('the header stays at the door, and only the last explanations are kept', async () => {
  const gateway = await openGateway({ nodes: 1, cache: { enabled: true } })
  const replies: Reply[] = []
  for (let time = 0; time < 260; time += 1) replies.push(await ask(`${gateway.url}/api/chat`, chatBody({ ...pinned, stream: false }), why))
  const [first] = replies
  const last = replies.at(-1)
  if (first === undefined || last === undefined) throw new Error('no answers')
  expect((await ask(`${gateway.url}/admin/requests/${idOf(first)}/explain`, undefined, { method: 'GET' })).status).toBe(404)
  await explained(gateway, idOf(last))
})
