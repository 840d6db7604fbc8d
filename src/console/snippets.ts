/** The request of the playground in other people's tools: exactly what the page itself sends. */
import { curl, quoted, type ShellPlace } from './api/shell.ts'
import { type ChatWish, requestFor } from './chat-stream.ts'

export interface NamedSnippet {
  readonly name: string
  readonly text: string
}

export function snippetsFor(wish: ChatWish, place: ShellPlace): readonly NamedSnippet[] {
  return [
    { name: 'curl', text: asCurl(wish, place) },
    { name: 'Python', text: python(wish, place) },
    { name: 'JavaScript', text: javascript(wish, place) },
    { name: 'ollama', text: ollama(wish, place) },
  ]
}

function asCurl(wish: ChatWish, place: ShellPlace): string {
  const { path, body } = requestFor(wish)
  const headers = { 'content-type': 'application/json' }
  return curl({ method: 'POST', target: path, headers, body: [`-d ${quoted(JSON.stringify(body))}`] }, place)
}

function python(wish: ChatWish, { origin, needsKey }: ShellPlace): string {
  const { path, body } = requestFor(wish)
  const key = needsKey ? '\n    "authorization": "Bearer " + os.environ["CORRAL_API_KEY"],' : ''
  return `import json, os, urllib.request

body = json.loads(${JSON.stringify(JSON.stringify(body))})
request = urllib.request.Request("${origin}${path}", json.dumps(body).encode(), {
    "content-type": "application/json",${key}
})
with urllib.request.urlopen(request) as answer:
    for line in answer:
        print(line.decode(), end="")`
}

function javascript(wish: ChatWish, { origin, needsKey }: ShellPlace): string {
  const { path, body } = requestFor(wish)
  const key = needsKey ? ', authorization: `Bearer ${process.env.CORRAL_API_KEY}`' : ''
  return `const answer = await fetch('${origin}${path}', {
  method: 'POST',
  headers: { 'content-type': 'application/json'${key} },
  body: JSON.stringify(${JSON.stringify(body, null, 2).replaceAll('\n', '\n  ')}),
})
for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) process.stdout.write(piece)`
}

/** Ollama's client knows of no documents: an assistant stands for model and collections there. */
function ollama({ model, collections, system, turns }: ChatWish, place: ShellPlace): string {
  const { origin, needsKey } = place
  const host = `OLLAMA_HOST=${origin}${needsKey ? '/k/$CORRAL_API_KEY' : ''}`
  const question = quoted(turns.findLast(({ role }) => role === 'user')?.content ?? '')
  if (collections.length === 0) return `${host} ollama run ${quoted(model)} ${question}`
  const assistant = JSON.stringify({ name: 'playground', collections, model, prompt: system })
  const making = { method: 'PUT', target: '/rag/assistants/playground', headers: { 'content-type': 'application/json' } }
  return `${curl({ ...making, body: [`-d ${quoted(assistant)}`] }, place)}
${host} ollama run playground ${question}`
}
