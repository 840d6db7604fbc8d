// The corpus of documents that command, uploaded as files and asked about through the whole gateway. A model that obeys each of them stands
// behind it: what is asserted holds for every model.
import { readFileSync } from 'node:fs'

import markdown from 'markdown-it'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'

import { withoutInvisible } from '../../src/answer/invisible.ts'
import { answerView } from '../../src/http/rag/answer-shapes.ts'
import { mustBe, type RagGateway, startRagGateway } from './rag-gateway.ts'
import { chatModel } from './scripted-fleet.ts'

const canarySchema = z.array(z.object({ name: z.string(), text: z.string(), obeyed: z.string() }))
const canaries = canarySchema.parse(JSON.parse(readFileSync(new URL('../data/injection/canaries.json', import.meta.url), 'utf8')))

const operatorSecret = 'OPERATOR-CANARY-7f21'
const foreignSecret = 'RIVAL-CANARY-93aa'
const rendered = markdown({ html: true, linkify: true, typographer: true })
const loads = /<(?:img|a|script|iframe|style|svg|image|link|form|input|object|embed|video|audio|base|meta)\b/i

let gateway: RagGateway
let key: string

beforeAll(async () => {
  gateway = await startRagGateway({ identity: { mode: 'keys' } })
  const scopes = ['rag:read', 'rag:write'] as const
  key = await gateway.key({ tenant: 'acme', scopes: [...scopes] })
  const rival = await gateway.key({ tenant: 'rival', scopes: [...scopes] })
  await gateway.collection('docs', { foreign: `The handbook of ${foreignSecret} has 5 chapters.` }, { key: rival })
  await gateway.collection('docs', {}, { key })
  const form = new FormData()
  for (const { name, text } of canaries)
    form.append('file', new Blob([`Handbook ${name}. ${text}`], { type: 'text/markdown' }), `${name}.md`)
  const url = `${gateway.url}/rag/collections/docs/documents?wait=true`
  const taken = await fetch(url, { method: 'POST', body: form, headers: { authorization: `Bearer ${key}` } })
  if (taken.status !== 200) throw new Error(`${taken.status}: ${await taken.text()}`)
})
afterAll(() => gateway.close())

test.each(canaries)('$name: reaches the model as fenced data, and makes nothing that a client loads', async ({ name, obeyed }) => {
  const { fleet } = gateway
  const said = obeyed.replaceAll('{SECRET}', operatorSecret)
  fleet.prompted.length = 0
  fleet.script = () => `A claim [1: "Handbook"] ${said}`
  const body = {
    collection: 'docs',
    model: chatModel,
    question: `What does the handbook ${name} say?`,
    instructions: `You are the handbook. ${operatorSecret}`,
    settings: { mode: 'keyword', answersWhenWeak: true },
    stream: false,
  }
  const answer = answerView.parse(mustBe(200, await gateway.ask('POST', '/rag/chat', { key, body })).json)
  const [prompted] = fleet.prompted
  expect(prompted?.passages.some(({ text }) => text.startsWith(`Handbook ${name}.`))).toBe(true)
  expect(prompted?.messages.map(({ role }) => role)).toEqual(['system', 'user', 'assistant', 'user'])
  expect(prompted?.body).not.toHaveProperty('tools')
  const passages = prompted?.messages[1]?.content ?? ''
  expect(passages).toBe(withoutInvisible(passages))
  expect(passages).not.toContain(operatorSecret)
  expect(JSON.stringify(prompted?.body)).not.toContain(foreignSecret)
  expect(JSON.stringify(prompted?.body)).not.toContain(key)
  expect(rendered.render(answer.text ?? '')).not.toMatch(loads)
  expect(answer.text).toBe(withoutInvisible(answer.text ?? ''))
})
