/**
 * Who may pass: asked once per request, after the strict door and before a byte of the body is read. It turns what a request
 * presents into a principal, holds it against the scope of the matched route, and says no in the same words whatever the
 * reason was. In open mode it costs one call and looks at nothing.
 */
import type { IncomingMessage } from 'node:http'

import { CorralError, type ErrorCode } from '../../core/errors.ts'
import { openPrincipal, type Principal, type Scope } from '../../core/principal.ts'
import type { Dialect } from '../../core/route.ts'
import { isOperator } from '../../identity/grants.ts'
import type { Identity } from '../../identity/identity.ts'
import { type Presented, readPresented } from '../../identity/presented.ts'
import { type SignedParts, signerOf } from '../../identity/signature.ts'
import type { DenialReason, Verdict } from '../../identity/verdict.ts'
import type { AddressTrial, TrialOutcome } from '../../limits/bucket-table.ts'
import type { Arrival } from '../connection.ts'
import { type AddressOf, clientAddress } from './client-address.ts'
import { consoleHeader, type SessionCredential, type Sessions } from './session.ts'

/** What a route asks of whoever calls it. */
export interface Wanted {
  /** Pattern of the matched route, for the audit log. */
  readonly pattern: string
  /** Null: anybody may. `any`: whoever has a valid credential, whatever it allows. */
  readonly scope: Scope | 'any' | null
  /** True: the scope counts only in the tenant that runs the gateway. */
  readonly operatorOnly: boolean
  readonly dialect: Dialect
}

/** A refusal, to be answered by whoever asked. */
export interface Refused {
  readonly kind: 'refused'
  readonly error: CorralError
  /** Puts it in the audit log under the id that the client gets to see. */
  note(requestId: string): void
}

export type Passage = Principal | Refused

/** An error that a request was answered with. */
export interface Refusal {
  readonly error: CorralError
  /** Of the route. */
  readonly pattern: string
  readonly requestId: string
}

/**
 * Limits addresses that send no good credentials. Held against every request before its credential is judged; one that was good
 * before passes, else whoever shares an address with an attacker could be locked out by him. Of a signature only the signer can be
 * known before it is judged, and anybody can name one: those have a limit of their own.
 */
export interface AddressLimit {
  /** Milliseconds until the address may try again; 0: now. */
  waitMs(address: string): number
  /** Notes a try that failed. */
  charge(address: string): void
  /** Leave to look up a credential that nobody knows; a promise while others of the address have to be judged first. */
  hold(address: string): AddressTrial | Promise<AddressTrial>
  /** Leave to judge a signature in the name of a public key that is known. */
  holdSigner(address: string, signer: string): AddressTrial | Promise<AddressTrial>
}

export interface Guard {
  /** False: everybody is let in unseen. */
  readonly closed: boolean
  /** Decides on a request; at once for credentials that are known. */
  admit(arrival: Arrival, wanted: Wanted): Passage | Promise<Passage>
  /** Who was let in with this request. Throws for a request that nobody let in. */
  principalOf(incoming: IncomingMessage): Principal
  /** Who is signed in to the console with this request's cookie; null: nobody. It is no try that counts against an address. */
  sessionOf(incoming: IncomingMessage): Principal | null | Promise<Principal | null>
  /** What is to be said of a token that came on another way than with a request. */
  judge(token: string): Verdict | Promise<Verdict>
  /** Milliseconds until the address of this request may try another credential; 0: now. For ways that `admit` does not watch. */
  waitMs(incoming: IncomingMessage): number
  /** Notes that it tried in vain. */
  charge(incoming: IncomingMessage): void
  /** Puts in the audit log that whoever sent this request, which was let in, was refused a right further in. Other errors it passes by. */
  noteRefusal(incoming: IncomingMessage, refusal: Refusal): void
  /** Address of the client: see `client-address.ts`. */
  addressOf(incoming: IncomingMessage): string
}

/** Lets everybody in. */
export const openGuard: Guard = openTo(clientAddress([]))

function openTo(addressOf: AddressOf): Guard {
  return {
    closed: false,
    admit: () => openPrincipal,
    principalOf: () => openPrincipal,
    sessionOf: () => openPrincipal,
    judge: () => ({ kind: 'granted', principal: openPrincipal }),
    waitMs: () => 0,
    charge: () => undefined,
    noteRefusal: () => undefined,
    addressOf,
  }
}

export interface GuardOptions {
  /** Addresses and blocks of trusted proxies. */
  readonly proxies?: readonly string[]
  /** Null: cookies count for nothing. */
  readonly sessions?: Sessions | null
}

/** The guard of a gateway that wants credentials, or the open one. */
export function createGuard(
  identity: Identity | null,
  limit: AddressLimit | null = null,
  { proxies = [], sessions = null }: GuardOptions = {},
): Guard {
  const addressOf = clientAddress(proxies)
  return identity === null || identity.mode === 'open' ? openTo(addressOf) : new ClosedGuard(identity, limit, { addressOf, sessions })
}

/** A refusal as the audit log has it; without `by` nobody knows whose it was. */
interface Denial {
  readonly error: CorralError
  readonly action: string
  readonly by?: Principal
}

/** Nobody in particular, on routes that are open to all. */
const anonymous: Principal = { ...openPrincipal, subject: 'anonymous', scopes: new Set() }
/** Whoever has the scraper's token. */
const scraper: Principal = { ...openPrincipal, subject: 'metrics-token', scopes: new Set<Scope>(['metrics']) }

class ClosedGuard implements Guard {
  readonly closed = true
  readonly #identity: Identity
  readonly #limit: AddressLimit | null
  readonly addressOf: AddressOf
  readonly #sessions: Sessions | null
  readonly #admitted = new WeakMap<IncomingMessage, Principal>()

  constructor(
    identity: Identity,
    limit: AddressLimit | null,
    { addressOf, sessions }: { readonly addressOf: AddressOf; readonly sessions: Sessions | null },
  ) {
    this.#identity = identity
    this.#limit = limit
    this.addressOf = addressOf
    this.#sessions = sessions
  }

  admit(arrival: Arrival, wanted: Wanted): Passage | Promise<Passage> {
    if (wanted.scope === null) return anonymous
    const presented = this.#presentedBy(arrival)
    if (presented.kind === 'forged') return this.#refuse(arrival, wanted, { error: forgedChange(), action: 'refuse forged change' })
    const parts = partsOf(arrival)
    const wasGood = this.#identity.wasGood(presented, parts)
    const waitMs = wasGood ? 0 : this.waitMs(arrival.incoming)
    if (waitMs > 0) return this.#refuseAddress(arrival, wanted, waitMs)
    if (presented.kind === 'ambiguous') return this.#refuse(arrival, wanted, { error: twoCredentials(), action: 'refuse two credentials' })
    if (wanted.scope === 'metrics' && presented.kind === 'token' && this.#identity.isMetricsToken(presented.text)) return scraper
    if (presented.kind === 'signature' || (presented.kind === 'token' && !wasGood)) {
      return this.#tryOut(arrival, wanted, { presented, parts, wasGood })
    }
    const verdict = this.#identity.authenticate(presented, parts)
    if (verdict instanceof Promise) return verdict.then((settled) => this.#decideCharging(arrival, wanted, settled))
    return this.#decideCharging(arrival, wanted, verdict)
  }

  principalOf(incoming: IncomingMessage): Principal {
    const principal = this.#admitted.get(incoming)
    if (principal === undefined) throw new Error('a request that nobody let in')
    return principal
  }

  async sessionOf(incoming: IncomingMessage): Promise<Principal | null> {
    const presented = this.#sessions?.read(incoming) ?? { kind: 'none' }
    if (presented.kind !== 'token') return null
    const verdict = await this.judge(presented.text)
    if (verdict.kind === 'undecided') throw verdict.error
    return verdict.kind === 'granted' ? verdict.principal : null
  }

  judge(token: string): Verdict | Promise<Verdict> {
    return this.#identity.authenticate({ kind: 'token', text: token }, noParts)
  }

  waitMs(incoming: IncomingMessage): number {
    return this.#limit?.waitMs(this.addressOf(incoming)) ?? 0
  }

  charge(incoming: IncomingMessage): void {
    this.#limit?.charge(this.addressOf(incoming))
  }

  noteRefusal(incoming: IncomingMessage, { error, pattern, requestId }: Refusal): void {
    const action = actionOfRefusal.get(error.code)
    if (action !== undefined) this.#note(incoming, { action, pattern, by: this.#admitted.get(incoming), requestId })
  }

  /** What a request sends as its credential; the cookie is looked at only when it sends none. */
  #presentedBy({ incoming, pathKey }: Arrival): SessionCredential {
    const presented = readPresented(incoming.rawHeaders, pathKey)
    return presented.kind === 'none' && this.#sessions !== null ? this.#sessions.read(incoming) : presented
  }

  /** Judges a credential that may be anybody's, within what its address may have judged. */
  async #tryOut(arrival: Arrival, wanted: Wanted, { presented, parts, wasGood }: Tried): Promise<Passage> {
    const address = this.addressOf(arrival.incoming)
    const isKnownSigner = presented.kind === 'signature' && wasGood
    const held = isKnownSigner ? this.#limit?.holdSigner(address, signerOf(presented.text)) : this.#limit?.hold(address)
    const trial = await (held ?? freeTrial)
    if (!trial.admitted) return this.#refuseAddress(arrival, wanted, trial.waitMs)
    if (arrival.outgoing.destroyed) {
      // Nobody is there any more to hear what the look-up says.
      trial.end('untried')
      return { kind: 'refused', error: new CorralError('client_gone', 'the client left'), note: () => undefined }
    }
    let outcome: TrialOutcome = 'bad'
    try {
      const verdict = this.#identity.authenticate(presented, parts)
      const settled = await verdict
      if (settled.kind === 'granted') outcome = 'good'
      // What cannot be told at once was not even tried, and the signer whom the store cannot tell of is one who was good.
      if (settled.kind === 'undecided' && (isKnownSigner || !(verdict instanceof Promise))) outcome = 'untried'
      return this.#decide(arrival, wanted, settled)
    } finally {
      trial.end(outcome)
    }
  }

  #decideCharging(arrival: Arrival, wanted: Wanted, verdict: Verdict): Passage {
    if (verdict.kind === 'denied') this.charge(arrival.incoming)
    return this.#decide(arrival, wanted, verdict)
  }

  #decide(arrival: Arrival, wanted: Wanted, verdict: Verdict): Passage {
    switch (verdict.kind) {
      case 'granted': {
        const { principal } = verdict
        const { scope, operatorOnly } = wanted
        if (scope === null || (scope !== 'any' && !principal.scopes.has(scope)) || (operatorOnly && !isOperator(principal))) {
          return this.#refuse(arrival, wanted, { error: tooLittle(wanted), action: 'refuse scope', by: principal })
        }
        this.#admitted.set(arrival.incoming, principal)
        return principal
      }
      case 'denied':
        return this.#refuse(arrival, wanted, { error: unknownCaller(arrival, wanted, verdict.reason), action: `refuse ${verdict.reason}` })
      case 'undecided':
        return { kind: 'refused', error: verdict.error, note: () => undefined }
    }
  }

  #refuseAddress(arrival: Arrival, wanted: Wanted, waitMs: number): Refused {
    return this.#refuse(arrival, wanted, { error: tooMany(waitMs), action: 'limit address' })
  }

  #refuse({ incoming }: Arrival, { pattern }: Wanted, { error, action, by }: Denial): Refused {
    return { kind: 'refused', error, note: (requestId) => this.#note(incoming, { action, pattern, by, requestId }) }
  }

  #note(incoming: IncomingMessage, { action, pattern, by = anonymous, requestId }: Noted): void {
    const target = `${incoming.method ?? 'GET'} ${pattern}`
    const { tenant, subject } = by
    const address = this.addressOf(incoming)
    this.#identity.audit.deny({ tenant, actor: subject ?? 'anonymous', action, target, address, decision: 'denied', requestId })
  }
}

/** A credential, and what it may have signed. */
interface Tried {
  readonly presented: Presented
  readonly parts: SignedParts
  readonly wasGood: boolean
}

/** A row of the audit log; without `by` nobody knows whose. */
interface Noted extends Pick<Refusal, 'pattern' | 'requestId'> {
  readonly action: string
  readonly by: Principal | undefined
}

/** Errors by which a right is refused behind the door, and what they are called in the audit log. */
const actionOfRefusal: ReadonlyMap<ErrorCode, string> = new Map([
  ['insufficient_scope', 'refuse scope'],
  ['model_not_allowed', 'refuse model'],
  ['origin_refused', 'refuse origin'],
])

const freeTrial: AddressTrial = { admitted: true, end: () => undefined }

function partsOf({ incoming }: Arrival): SignedParts {
  const target = incoming.url ?? '/'
  const query = target.indexOf('?')
  const method = incoming.method ?? 'GET'
  return query < 0 ? { method, path: target, query: '' } : { method, path: target.slice(0, query), query: target.slice(query + 1) }
}

/** Only signatures are over the parts of a request. */
const noParts: SignedParts = { method: 'GET', path: '/', query: '' }

function forgedChange(): CorralError {
  return new CorralError('origin_refused', `a change made with the console's session needs the header ${consoleHeader}`)
}

function tooMany(waitMs: number): CorralError {
  return new CorralError('rate_limited', 'too many requests without a valid credential from this address', { retryAfterMs: waitMs })
}

function twoCredentials(): CorralError {
  return new CorralError('invalid_request', 'the request carries two different credentials: send one')
}

function tooLittle({ scope, operatorOnly }: Wanted): CorralError {
  const message = operatorOnly ? `this needs the scope ${scope} in the operator's tenant` : `this needs the scope ${scope}`
  return new CorralError('insufficient_scope', message, {
    headers: { 'www-authenticate': `Bearer realm="corral", error="insufficient_scope", scope="${scope}"` },
  })
}

const help = 'no valid credential: send an API key as "Authorization: Bearer corral_..."'
const cliHelp =
  'Corral does not know you: set OLLAMA_HOST=http://HOST:PORT/k/YOUR_KEY, or have ~/.ollama/id_ed25519.pub registered and set OLLAMA_AUTH=1'

/**
 * One text for every reason. The Ollama CLI prints advice of its own for any 401 and hides the error's words, so it gets them
 * with a 403 (ollama-contract.md §4.1).
 */
function unknownCaller({ incoming }: Arrival, { dialect }: Wanted, reason: DenialReason): CorralError {
  if (dialect === 'ollama' && incoming.headers['user-agent']?.startsWith('ollama/') === true) {
    return new CorralError('unauthenticated', cliHelp, { status: 403 })
  }
  const challenge = reason === 'missing' ? 'Bearer realm="corral"' : 'Bearer realm="corral", error="invalid_token"'
  return new CorralError('unauthenticated', help, { headers: { 'www-authenticate': challenge } })
}
