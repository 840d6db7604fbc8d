// Every write below /rag, sent twice with one Idempotency-Key: the second gets the first answer, and nothing is done again.
import { afterAll, beforeAll, expect, test } from 'vitest'

import { inventory } from '../identity/route-inventory.ts'
import { mustBe, type RagGateway, startRagGateway } from './rag-gateway.ts'
import { chatModel } from './scripted-fleet.ts'

let gateway: RagGateway
beforeAll(async () => {
  gateway = await startRagGateway()
  await gateway.collection('docs', { kept: 'The weight of copper is 63 units.' })
})
afterAll(() => gateway.close())

interface Write {
  readonly path: string
  readonly body?: unknown
}

/** A write that can be made once, prepared. */
const writes: Readonly<Record<string, () => Promise<Write>>> = {
  'POST /rag/collections': async () => ({ path: '/rag/collections', body: { name: 'made' } }),
  'PATCH /rag/collections/:name': async () => ({ path: '/rag/collections/docs', body: { settings: { fusionWeight: 0.4 } } }),
  'DELETE /rag/collections/:name': async () => ({ path: await collection('removed') }),
  'POST /rag/collections/:name/purge': async () => ({ path: `${await collection('emptied')}/purge` }),
  'POST /rag/collections/:name/reingest': async () => ({ path: '/rag/collections/docs/reingest' }),
  'POST /rag/collections/:name/retry-failed': async () => ({ path: '/rag/collections/docs/retry-failed' }),
  'POST /rag/collections/:name/documents': async () => ({ path: '/rag/collections/docs/documents?id=new', body: 'A new one.' }),
  'POST /rag/collections/:name/documents/:id/reingest': async () => ({ path: '/rag/collections/docs/documents/kept/reingest' }),
  'DELETE /rag/collections/:name/documents/:id': async () => {
    await gateway.put('docs', 'doomed', 'Not for long.')
    return { path: '/rag/collections/docs/documents/doomed' }
  },
  'POST /rag/jobs/:id/pause': async () => ({ path: `/rag/jobs/${await waitingJob('pause')}/pause` }),
  'POST /rag/jobs/:id/resume': async () => {
    const id = await waitingJob('resume')
    mustBe(200, await gateway.ask('POST', `/rag/jobs/${id}/pause`))
    return { path: `/rag/jobs/${id}/resume` }
  },
  'POST /rag/jobs/:id/cancel': async () => ({ path: `/rag/jobs/${await waitingJob('cancel')}/cancel` }),
  'POST /rag/jobs/:id/retry': async () => {
    const body = Buffer.from('%PDF-1.7\nbroken')
    await gateway.ask('POST', '/rag/collections/docs/documents?id=broken.pdf&wait=true', { body })
    return { path: `/rag/jobs/${await jobOf('broken.pdf', 'failed')}/retry` }
  },
  'POST /rag/assistants': async () => ({ path: '/rag/assistants', body: assistant('maker') }),
  'PUT /rag/assistants/:name': async () => ({ path: '/rag/assistants/putter', body: assistant('putter') }),
  'DELETE /rag/assistants/:name': async () => {
    mustBe(201, await gateway.ask('POST', '/rag/assistants', { body: assistant('leaver') }))
    return { path: '/rag/assistants/leaver' }
  },
  'POST /rag/answers/:id/feedback': async () => {
    const body = { collection: 'docs', question: 'weight of copper', model: chatModel, stream: false }
    const { id } = mustBe(200, await gateway.ask('POST', '/rag/chat', { body })).json
    return { path: `/rag/answers/${String(id)}/feedback`, body: { rating: 'up' } }
  },
}

const assistant = (name: string): object => ({ name, collections: ['docs'], model: chatModel })

async function collection(name: string): Promise<string> {
  await gateway.collection(name, {})
  return `/rag/collections/${name}`
}

/** Of a document whose embedder is away. */
async function waitingJob(document: string): Promise<string> {
  gateway.fleet.embeds = false
  mustBe(202, await gateway.ask('POST', `/rag/collections/docs/documents?id=${document}`, { body: `Waits to ${document}.` }))
  return jobOf(document, 'queued')
}

async function jobOf(document: string, state: string): Promise<string> {
  const list = async () =>
    (await gateway.ask('GET', `/rag/jobs?document=${document}&state=${state}`)).json['jobs'] as { id: string; attempts: number }[]
  await expect.poll(list, { timeout: 20_000 }).toHaveLength(1)
  return (await list())[0]?.id ?? ''
}

/** Of what asks and changes nothing, each is done as often as it is sent. */
const asked = new Set(['POST /rag/search', 'POST /rag/chat'])
const routes = inventory
  .map((line) => line.split(': ')[0] ?? '')
  .filter((route) => /^(POST|PUT|PATCH|DELETE) \/rag\//.test(route) && !asked.has(route))

test.each(routes)('%s', async (route) => {
  const [method = ''] = route.split(' ')
  const write = await writes[route]?.()
  if (write === undefined) throw new Error(`no repeat of ${route} is tried`)
  const { path, ...rest } = write
  const send = () => gateway.ask(method, path, { ...rest, headers: { 'idempotency-key': `once ${route}` } })
  const [first, second] = [await send(), await send()]
  gateway.fleet.embeds = true
  expect([first.status, first.text]).toEqual([expect.toBeOneOf([200, 201, 202, 204]), expect.any(String)])
  expect(second.status).toBe(first.status)
  // Documents have keys of their own: the same job is told of as it is now.
  if (route.endsWith('/documents')) expect(ids(second)).toEqual(ids(first))
  else expect([second.text, second.headers.get('idempotent-replayed')]).toEqual([first.text, 'true'])
})

function ids({ json }: Awaited<ReturnType<RagGateway['ask']>>): string[] {
  return (json['jobs'] as { id: string }[]).map(({ id }) => id)
}
