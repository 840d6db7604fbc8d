/** An OpenID provider on loopback: discovery, a sign-in that lets everybody pass, and a token endpoint that holds the client to PKCE (RFC 7636). */
import { createHash, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'

import { encode, makeIssuer, signParts, type TestIssuer } from '../identity/issuer.ts'
import { portOf } from '../../bench/harness/port-of.ts'

export interface TestProvider {
  readonly issuer: TestIssuer
  /** What the access token says besides the usual. */
  claims: Record<string, unknown>
  /** Whether it answers nothing but 503. */
  isDown: boolean
  /** What the next sign-in ends with instead of a code; null: a code. */
  refusal: string | null
  close(): Promise<void>
}

interface Asked {
  readonly challenge: string
  readonly nonce: string
}

function json(response: ServerResponse, status: number, value: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

export async function startProvider(clientId: string): Promise<TestProvider> {
  const codes = new Map<string, Asked>()
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const name = `http://127.0.0.1:${portOf(server)}`
  const issuer = makeIssuer(name)
  const provider: TestProvider = {
    issuer,
    claims: {},
    isDown: false,
    refusal: null,
    close: async () => {
      server.close()
      server.closeAllConnections()
    },
  }
  const tokensFor = ({ nonce }: Asked): object => {
    const now = Math.floor(Date.now() / 1_000)
    const times = { iat: now, exp: now + 600 }
    const head = encode({ alg: 'RS256', typ: 'JWT', kid: 'key-1' })
    const idToken = signParts(head, encode({ iss: name, aud: clientId, sub: 'user-1', nonce, ...times }), issuer.privateKey)
    return { token_type: 'Bearer', id_token: idToken, access_token: issuer.token({ ...times, ...provider.claims }) }
  }
  server.on('request', (request, response) => {
    const url = new URL(request.url ?? '/', name)
    if (provider.isDown) json(response, 503, {})
    else if (url.pathname === '/.well-known/openid-configuration') {
      const endpoints = { authorization_endpoint: `${name}/authorize`, token_endpoint: `${name}/token`, jwks_uri: issuer.url }
      json(response, 200, { issuer: name, ...endpoints, response_types_supported: ['code'], subject_types_supported: ['public'] })
    } else if (url.pathname === '/authorize') {
      const { searchParams } = url
      const back = new URL(searchParams.get('redirect_uri') ?? '')
      back.searchParams.set('state', searchParams.get('state') ?? '')
      if (provider.refusal === null) {
        const code = randomUUID()
        codes.set(code, { challenge: searchParams.get('code_challenge') ?? '', nonce: searchParams.get('nonce') ?? '' })
        back.searchParams.set('code', code)
      } else back.searchParams.set('error', provider.refusal)
      response.writeHead(302, { location: back.href }).end()
    } else if (url.pathname === '/token') {
      void text(request).then((body) => {
        const form = new URLSearchParams(body)
        const asked = codes.get(form.get('code') ?? '')
        codes.delete(form.get('code') ?? '')
        const challenge = createHash('sha256')
          .update(form.get('code_verifier') ?? '')
          .digest('base64url')
        if (asked?.challenge === challenge && form.get('client_id') === clientId) json(response, 200, tokensFor(asked))
        else json(response, 400, { error: 'invalid_grant' })
      })
    } else if (`${name}${url.pathname}` === issuer.url) json(response, 200, { keys: [issuer.publicJwk] })
    else json(response, 404, {})
  })
  return provider
}
