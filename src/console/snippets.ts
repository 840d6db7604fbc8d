/** The request of the playground in other people's tools: exactly what the page itself sends. */
import { quoted } from './api/shell.ts'
import { type ChatWish, requestFor } from './chat-stream.ts'

export interface SnippetPlace {
  readonly origin: string
  readonly needsKey: boolean
}

export interface NamedSnippet {
  readonly name: string
  readonly text: string
}

export function snippetsFor(wish: ChatWish, place: SnippetPlace): readonly NamedSnippet[] {
  return [
    { name: 'curl', text: curl(wish, place) },
    { name: 'Python', text: python(wish, place) },
    { name: 'JavaScript', text: javascript(wish, place) },
    { name: 'ollama', text: ollama(wish, place) },
  ]
}

function curl(wish: ChatWish, { origin, needsKey }: SnippetPlace): string {
  const { path, body } = requestFor(wish)
  const key = needsKey ? ['-H "authorization: Bearer $CORRAL_API_KEY"'] : []
  return [`curl -N ${origin}${path}`, ...key, "-H 'content-type: application/json'", `-d ${quoted(JSON.stringify(body))}`].join(' \\\n  ')
}

function python(wish: ChatWish, { origin, needsKey }: SnippetPlace): string {
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

function javascript(wish: ChatWish, { origin, needsKey }: SnippetPlace): string {
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
function ollama({ model, collections, system, turns }: ChatWish, { origin, needsKey }: SnippetPlace): string {
  const host = `OLLAMA_HOST=${origin}${needsKey ? '/k/$CORRAL_API_KEY' : ''}`
  const question = quoted(turns.findLast(({ role }) => role === 'user')?.content ?? '')
  if (collections.length === 0) return `${host} ollama run ${quoted(model)} ${question}`
  const key = needsKey ? ' -H "authorization: Bearer $CORRAL_API_KEY"' : ''
  const assistant = JSON.stringify({ name: 'playground', collections, model, prompt: system })
  return `curl -X PUT ${origin}/rag/assistants/playground${key} -H 'content-type: application/json' \\
  -d ${quoted(assistant)}
${host} ollama run playground ${question}`
}
