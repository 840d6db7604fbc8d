/** The collection `bench` of a gateway: documents of random words about topics, sent through `/rag` as anybody would send them. */
import { systemClock } from '../../src/base/clock.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import { topicWords } from './workload.ts'

const sectionsPerDocument = 5
const filesPerRequest = 50
export const embedder = 'nomic-embed-text'

export interface CollectionSize {
  readonly documents: number
  readonly topics: number
}

async function mustBeOk(answer: Response): Promise<void> {
  if (!answer.ok) throw new Error(`${answer.url}: ${answer.status} ${await answer.text()}`)
  await answer.arrayBuffer()
}

/** Makes a collection of a gateway whose database may still be being prepared. */
export async function makeCollection(url: string, name: string, settings: object): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ name, settings })
  const make = (): Promise<Response> => fetch(`${url}/rag/collections`, { method: 'POST', headers, body })
  let made = await make()
  while (made.status === 503) {
    await systemClock.sleep(250)
    made = await make()
  }
  await mustBeOk(made)
}

/** Gives files in one request; resolves when they are taken in. */
export async function sendFiles(
  url: string,
  collection: string,
  files: readonly { readonly name: string; readonly text: string }[],
): Promise<void> {
  const form = new FormData()
  for (const { name, text } of files) form.append('files', new Blob([text]), name)
  await mustBeOk(await fetch(`${url}/rag/collections/${collection}/documents`, { method: 'POST', body: form }))
}

/** Makes the collection and waits until all its documents can be found. */
async function upload(url: string, { documents, topics }: CollectionSize): Promise<void> {
  await makeCollection(url, 'bench', { embedder })
  const random = randomSequence(3)
  for (let first = 0; first < documents; first += filesPerRequest) {
    const files: { name: string; text: string }[] = []
    for (let at = first; at < Math.min(first + filesPerRequest, documents); at += 1) {
      const sections = Array.from(
        { length: sectionsPerDocument },
        (_, part) => `## Part ${part}\n\n${topicWords(at % topics, random, 160)}`,
      )
      files.push({ name: `${at}.md`, text: `# Document ${at}\n\n${sections.join('\n\n')}` })
    }
    await sendFiles(url, 'bench', files)
  }
  for (;;) {
    const found: unknown = await (await fetch(`${url}/rag/collections/bench`)).json()
    if (typeof found === 'object' && found !== null && 'documents' in found && found.documents === documents) return
    await systemClock.sleep(250)
  }
}

/** Waits for upkeep: a large collection is first compared vector by vector, until its index is there. */
async function untilIndexed(url: string): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ collection: 'bench', query: 'w1 w2', explain: true })
  for (;;) {
    const answer = await fetch(`${url}/rag/search`, { method: 'POST', headers, body })
    if (!(await answer.text()).includes('no index yet')) return
    await systemClock.sleep(1_000)
  }
}

/** Makes the collection and resolves when all its documents are found, and its index, if it needs one, is there. */
export async function fillCollection(url: string, size: CollectionSize): Promise<void> {
  await upload(url, size)
  await untilIndexed(url)
}
