/**
 * Fetches an issuer's key set: https (http only to this machine), exactly the configured URL, no redirects, 3 seconds and
 * 256 KB at most. A document that is no JSON is refused by whoever reads it.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'

const timeoutMs = 3_000
const bytesMax = 262_144

/** The body of a 200 answer. Rejects with a sentence for the log that names the host, never more of the URL. */
export function fetchText(address: string): Promise<string> {
  const url = new URL(address)
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void => reject(new Error(`${url.host}: ${reason}`))
    const signal = AbortSignal.timeout(timeoutMs)
    const request = send(url, { method: 'GET', headers: { accept: 'application/json' }, signal, agent: false }, (response) => {
      readBody(response).then(resolve, (error: unknown) => {
        request.destroy()
        fail(error instanceof Error ? error.message : String(error))
      })
    })
    request.on('error', (error) => fail(signal.aborted ? `no answer within ${timeoutMs} ms` : error.message))
    request.end()
  })
}

async function readBody(response: IncomingMessage): Promise<string> {
  if (response.statusCode !== 200) throw new Error(`answered ${response.statusCode}`)
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of response) {
    const buffer = Buffer.from(piece)
    bytes += buffer.length
    if (bytes > bytesMax) throw new Error(`more than ${bytesMax} bytes`)
    pieces.push(buffer)
  }
  return Buffer.concat(pieces).toString()
}
