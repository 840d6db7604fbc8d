/**
 * `/v1/audio/transcriptions`: reads the form far enough to refuse it as the real server does; no simulated model hears.
 */
import type { Answer } from './answer.ts'
import type { NodeContext } from './context.ts'
import { parseModelName } from './model-name.ts'
import { openAiError } from './reply-openai.ts'

interface Part {
  readonly name: string
  readonly isFile: boolean
  readonly value: string
}

function partsOf(body: Buffer, boundary: string): Part[] {
  return body
    .toString('latin1')
    .split(`--${boundary}`)
    .slice(1, -1)
    .map((text) => {
      const split = text.indexOf('\r\n\r\n')
      const head = text.slice(0, split)
      return {
        name: /\bname="([^"]*)"/.exec(head)?.[1] ?? '',
        isFile: /\bfilename="/.test(head),
        value: text.slice(split + 4).replace(/\r\n$/, ''),
      }
    })
}

export function transcriptions(context: NodeContext, answer: Answer, body: Buffer): void {
  const early = (message: string): void => answer.whole(400, openAiError(400, message), 'application/json; charset=utf-8')
  const boundary = /^multipart\/form-data\b.*\bboundary="?([^";]+)/.exec(answer.request.headers['content-type'] ?? '')?.[1]
  if (boundary === undefined) return early("failed to parse multipart form: request Content-Type isn't multipart/form-data")
  const parts = partsOf(body, boundary)
  const model = parts.find((part) => part.name === 'model')?.value ?? ''
  if (!parts.some((part) => part.name === 'file' && part.isFile)) return early('file is required: http: no such file')
  if (model === '') return early('model is required')
  const parsed = parseModelName(model)
  if (parsed === null || context.store.get(parsed) === null) {
    return answer.whole(404, `${openAiError(404, `model '${model}' not found`)}\n`, 'application/json')
  }
  const message = 'Multimodal data provided, but model does not support multimodal requests.'
  const inner = JSON.stringify({ error: { code: 400, message, type: 'invalid_request_error' } })
  answer.whole(400, `${openAiError(400, inner)}\n`, { streamed: 'application/json' })
}
