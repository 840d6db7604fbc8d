/** The request of the playground in other people's tools: exactly what the page itself sends. */
import { curl, quoted, type ShellPlace } from './api/shell.ts'
import { answerSettingsFor, type ChatWish, messagesFor, requestFor } from './chat-request.ts'

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
  return posted({ method: 'POST', target: path, body }, place)
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

/**
 * Ollama's client sends a model and a question and has no flags for the rest. With documents an assistant stands for all of it there; without,
 * what else is wished goes to Ollama's own API.
 */
function ollama(wish: ChatWish, place: ShellPlace): string {
  const { model, collections, system, temperature, outputTokens, turns } = wish
  if (collections.length > 0) return askedAssistant(wish, place)
  const isPlain = system === '' && temperature === null && outputTokens === null && turns.length === 1
  if (isPlain) return `${hostOf(place)} ollama run ${quoted(model)} ${quoted(lastQuestion(wish))}`
  const options = {
    ...(temperature === null ? {} : { temperature }),
    ...(outputTokens === null ? {} : { num_predict: outputTokens }),
  }
  const body = { model, messages: messagesFor(wish), options }
  return `# ollama run takes no settings: Ollama's own API does\n${posted({ method: 'POST', target: '/api/chat', body }, place)}`
}

function askedAssistant(wish: ChatWish, place: ShellPlace): string {
  const { model, collections, system } = wish
  const body = { name: 'playground', collections, model, prompt: system, settings: answerSettingsFor(wish) }
  const making = posted({ method: 'PUT', target: '/rag/assistants/playground', body }, place)
  return `${making}\n${hostOf(place)} ollama run playground ${quoted(lastQuestion(wish))}`
}

const hostOf = ({ origin, needsKey }: ShellPlace): string => `OLLAMA_HOST=${origin}${needsKey ? '/k/$CORRAL_API_KEY' : ''}`

const lastQuestion = ({ turns }: ChatWish): string => turns.findLast(({ role }) => role === 'user')?.content ?? ''

function posted(
  { method, target, body }: { readonly method: string; readonly target: string; readonly body: object },
  place: ShellPlace,
): string {
  const headers = { 'content-type': 'application/json' }
  return curl({ method, target, headers, body: [`-d ${quoted(JSON.stringify(body))}`] }, place)
}
