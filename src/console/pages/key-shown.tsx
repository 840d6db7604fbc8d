/** A new key, for the one time it is shown, ready for the clients it goes to. */
import type { Key } from '../api/shapes.ts'
import { Snippet } from '../parts/copy.tsx'
import { Dialog } from '../parts/dialog.tsx'
import { usePlace } from '../session.ts'

export function KeyShown({ made, onClose }: { readonly made: Key; readonly onClose: () => void }) {
  const key = made.key ?? ''
  const { origin } = usePlace()
  return (
    <Dialog title={`Key of ${made.title || made.id}`} onClose={onClose}>
      <p>Copy it now: only its digest is kept, so it can never be shown again.</p>
      <Snippet title="The key" text={key} />
      <Snippet title="Ollama command line" text={`OLLAMA_HOST=${origin}/k/${key} ollama ls`} />
      <Snippet title="curl" text={`curl ${origin}/v1/models -H 'Authorization: Bearer ${key}'`} />
      <Snippet title="Python, openai" text={`from openai import OpenAI\nclient = OpenAI(base_url="${origin}/v1", api_key="${key}")`} />
      <Snippet
        title="JavaScript, openai"
        text={`import OpenAI from 'openai'\nconst client = new OpenAI({ baseURL: '${origin}/v1', apiKey: '${key}' })`}
      />
    </Dialog>
  )
}
