// Answers from more than the chunks that were found: the section around them, or their neighbours, with citations that point into the document.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'

import { answerView } from '../../src/http/rag/answer-shapes.ts'
import { mustBe, type RagGateway, startRagGateway } from './rag-gateway.ts'
import { chatModel, type Prompted } from './scripted-fleet.ts'

const filler = 'The posts are made of oak, and the wires are drawn each spring by two people of the farm. '
const document = `# Fences

## North gate

The north gate carries the number 4711. ${filler}

It is locked at nine in the evening. ${filler}

The key hangs behind the green door. ${filler}

## South gate

The south gate is never locked at all. ${filler}
`

let gateway: RagGateway
beforeAll(async () => {
  gateway = await startRagGateway()
  mustBe(
    201,
    await gateway.ask('POST', '/rag/collections', {
      body: { name: 'farm', settings: { chunking: { targetTokens: 32, maxTokens: 48, overlapTokens: 0 } } },
    }),
  )
  await gateway.put('farm', 'fences', document, { type: 'text/markdown' })
})
afterAll(() => gateway.close())
beforeEach(() => (gateway.fleet.prompted.length = 0))

const quote = 'The key hangs behind the green door'

/** Quotes the sentence about the key where a passage holds it. */
function tellKey({ passages }: Prompted): string {
  const number = passages.find(({ text }) => text.includes(quote))?.number
  return number === undefined ? 'Nothing about a key.' : `The key is behind the green door [${number}: "${quote}"].`
}

async function ask(settings: object, headers: Readonly<Record<string, string>> = { 'cache-control': 'no-store' }) {
  gateway.fleet.script = tellKey
  const body = {
    collection: 'farm',
    model: chatModel,
    question: '4711',
    settings: { mode: 'keyword', strengthMin: 0, ...settings },
    stream: false,
  }
  const answer = answerView.parse(mustBe(200, await gateway.ask('POST', '/rag/chat', { body, headers })).json)
  const passages = gateway.fleet.prompted.at(-1)?.passages.map(({ text }) => text) ?? []
  return { answer, passages }
}

test('of itself an answer is made from the chunk alone', async () => {
  const { answer, passages } = await ask({})
  expect(passages).toHaveLength(1)
  expect(passages[0]).not.toContain('key hangs')
  expect(answer.citations).toEqual([])
})

test.each(['section', 2] as const)(
  'expand %s: the model reads what stands around, and a citation there has the offsets of the document',
  async (expand) => {
    const { answer, passages } = await ask({ expand })
    expect(passages).toHaveLength(1)
    expect(passages[0]).toContain('4711')
    const { text } = mustBe(200, await gateway.ask('GET', '/rag/collections/farm/documents/fences/text'))
    const [source] = answer.sources
    expect(text.slice(source?.start, source?.end)).toContain(quote)
    const [citation] = answer.citations
    expect(citation).toMatchObject({ quote, document: 'fences', origin: 'quoted' })
    expect(text.slice(citation?.start, citation?.end)).toBe(quote)
  },
)

test('a section does not reach into the next one, and is given once for all of its hits', async () => {
  gateway.fleet.script = tellKey
  const body = {
    collection: 'farm',
    model: chatModel,
    question: 'north gate 4711 locked at nine key green door',
    settings: { mode: 'keyword', strengthMin: 0, expand: 'section' },
    stream: false,
  }
  mustBe(200, await gateway.ask('POST', '/rag/chat', { body }))
  const passages = gateway.fleet.prompted.at(-1)?.passages.map(({ text }) => text) ?? []
  expect(passages.filter((text) => text.includes('4711'))).toHaveLength(1)
  expect(passages.join('\n').split(quote)).toHaveLength(2)
  expect(passages.find((text) => text.includes('4711'))).not.toContain('south gate')
})

test('answers by another reach are other answers of the cache', async () => {
  await ask({ expand: 1 }, {})
  expect((await ask({ expand: 1 }, {})).answer.cached).toBe(true)
  expect((await ask({ expand: 3 }, {})).answer.cached).toBe(false)
})

test.each([0, 6, 1.5, 'all', null])('expand %s is refused', async (expand) => {
  const body = { collection: 'farm', model: chatModel, question: '4711', settings: { expand } }
  expect((await gateway.ask('POST', '/rag/chat', { body })).status).toBe(400)
})
