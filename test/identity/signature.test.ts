// The way the Ollama CLI signs: made here as its client makes it, and bent in every way.
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { openPrincipal } from '../../src/core/principal.ts'
import { isSignature, type SignedParts, type UsedSignature } from '../../src/identity/signature.ts'
import { parsePublicKey } from '../../src/identity/signing-key.ts'
import { Servers } from '../store/stores.ts'
import { operatorAct, type Stand, standOn, wish } from './fixture.ts'

interface Signer {
  /** `ssh-ed25519 AAAA... name`, as in the `.pub` file. */
  readonly line: string
  readonly blob: string
  readonly privateKey: KeyObject
}

function makeSigner(): Signer {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
  const field = (bytes: Buffer): Buffer => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    return Buffer.concat([length, bytes])
  }
  const blob = Buffer.concat([field(Buffer.from('ssh-ed25519')), field(raw)]).toString('base64')
  return { line: `ssh-ed25519 ${blob} somebody@laptop`, blob, privateKey }
}

function authorization({ blob, privateKey }: Signer, text: string): string {
  return `${blob}:${sign(null, Buffer.from(text), privateKey).toString('base64')}`
}

const signer = makeSigner()
let stand: Stand
let id = ''
const servers = new Servers('embedded')
let close: () => Promise<void>

beforeAll(async () => {
  const database = await servers.open()
  stand = await standOn(database)
  const { view, text } = await stand.identity.keys.create(wish({ publicKey: parsePublicKey(signer.line), title: 'laptop' }), operatorAct)
  expect(text).toBeNull()
  id = view.id
  close = async () => {
    await stand.identity.close()
    await database.close()
  }
})
afterAll(() => close())

function seconds(): number {
  return Math.floor(stand.clock.wallMs() / 1_000)
}

async function judge(text: string, parts: SignedParts): Promise<string> {
  const verdict = await stand.identity.authenticate({ kind: 'signature', text }, parts)
  return verdict.kind === 'denied' ? verdict.reason : verdict.kind
}

/** A request as the CLI sends it, at `ts`. */
function signed(path: string, { by = signer, method = 'POST', ts = seconds() } = {}): [string, SignedParts] {
  return [authorization(by, `${method},${path}?ts=${ts}`), { method, path, query: `ts=${ts}` }]
}

describe('a signed request', () => {
  test('of a registered key is let in as that key', async () => {
    const [text, parts] = signed('/api/chat')
    const verdict = await stand.identity.authenticate({ kind: 'signature', text }, parts)
    expect(verdict).toMatchObject({ kind: 'granted', principal: { method: 'signature', subject: id, tenant: 'local' } })
  })

  test.each<[string, () => [string, SignedParts], string]>([
    ['of a key that nobody registered', () => signed('/api/x1', { by: makeSigner() }), 'unknown_signer'],
    ['for another path', () => [signed('/api/tags')[0], { ...signed('/api/delete')[1] }], 'bad_signature'],
    ['for another method', () => [signed('/api/x2')[0], { ...signed('/api/x2')[1], method: 'DELETE' }], 'bad_signature'],
    ['for another time', () => [signed('/api/x3')[0], { ...signed('/api/x3')[1], query: `ts=${seconds() - 1}` }], 'bad_signature'],
    [
      'with the signature of another key',
      () => [`${signer.blob}:${signed('/api/x4', { by: makeSigner() })[0].split(':')[1]}`, signed('/api/x4')[1]],
      'bad_signature',
    ],
    ['a minute and more ago', () => signed('/api/x5', { ts: seconds() - 61 }), 'stale_signature'],
    ['a minute and more ahead', () => signed('/api/x6', { ts: seconds() + 61 }), 'stale_signature'],
    ['without a time', () => [signed('/api/x7')[0], { ...signed('/api/x7')[1], query: '' }], 'malformed'],
    [
      'with more in its query than is signed',
      () => [signed('/api/x8')[0], { ...signed('/api/x8')[1], query: `ts=${seconds()}&x=1` }],
      'malformed',
    ],
    ['with a signature that is none', () => [`${signer.blob}:AAAA`, signed('/api/x9')[1]], 'malformed'],
    ['with no signature', () => [`${signer.blob}:`, signed('/api/x10')[1]], 'malformed'],
  ])('%s is refused', async (_, make, reason) => {
    const [text, parts] = make()
    expect(await judge(text, parts)).toBe(reason)
  })

  test('may come again within its second, since the CLI signs whole ones, and not later', async () => {
    const [text, parts] = signed('/api/show')
    expect(await judge(text, parts)).toBe('granted')
    stand.clock.pass(1_900)
    expect(await judge(text, parts)).toBe('granted')
    stand.clock.pass(101)
    expect(await judge(text, parts)).toBe('replayed')
    stand.clock.pass(30_000)
    expect(await judge(text, parts)).toBe('replayed')
    stand.clock.pass(40_000)
    expect(await judge(text, parts)).toBe('stale_signature')
  })

  test('that another process of this machine took is a replay here', async () => {
    const [text, parts] = signed('/api/ps')
    const used: UsedSignature[] = []
    const database = await servers.open()
    const other = await standOn(database, { mode: 'keys' }, { onSigned: (signature) => void used.push(signature) })
    other.clock.pass(stand.clock.wallMs() - other.clock.wallMs())
    await other.identity.keys.create(wish({ publicKey: parsePublicKey(signer.line) }), operatorAct)
    expect(await other.identity.authenticate({ kind: 'signature', text }, parts)).toMatchObject({ kind: 'granted' })
    expect(used).toHaveLength(1)
    for (const signature of used) stand.identity.noteSigned(signature)
    stand.clock.pass(2_001)
    expect(await judge(text, parts)).toBe('replayed')
    await other.identity.close()
    await database.close()
  })

  test('of a key that was revoked is refused at once', async () => {
    const other = makeSigner()
    const { view } = await stand.identity.keys.create(wish({ publicKey: parsePublicKey(other.line) }), operatorAct)
    expect(await judge(...signed('/api/a', { by: other }))).toBe('granted')
    await stand.identity.keys.revoke(view.id, 'laptop stolen', operatorAct)
    expect(await judge(...signed('/api/b', { by: other }))).toBe('unknown_signer')
  })

  test('of a key that was restored is taken again, unless its public key was registered anew', async () => {
    const other = makeSigner()
    const registering = { publicKey: parsePublicKey(other.line) }
    const { view } = await stand.identity.keys.create(wish(registering), operatorAct)
    await stand.identity.keys.revoke(view.id, 'a slip', operatorAct)
    expect(await judge(...signed('/api/a', { by: other }))).toBe('unknown_signer')
    await stand.identity.keys.restore(view.id, operatorAct)
    expect(await judge(...signed('/api/a', { by: other }))).toBe('granted')
    await stand.identity.keys.restore(view.id, operatorAct)
    await stand.identity.keys.revoke(view.id, 'registered anew', operatorAct)
    await stand.identity.keys.create(wish(registering), operatorAct)
    await expect(stand.identity.keys.restore(view.id, operatorAct)).rejects.toMatchObject({ code: 'conflict' })
  })

  test('of a key that has expired can be registered again, by a key of its own', async () => {
    const other = makeSigner()
    const registering = { publicKey: parsePublicKey(other.line), lifeMs: 60_000 }
    const { keys } = stand.identity
    const { view: old } = await keys.create(wish(registering), operatorAct)
    expect(await judge(...signed('/api/a', { by: other }))).toBe('granted')
    await expect(keys.create(wish(registering), operatorAct)).rejects.toMatchObject({ code: 'conflict' })
    stand.clock.pass(60_001)
    expect(await judge(...signed('/api/b', { by: other }))).toBe('expired')
    const { view } = await keys.create(wish(registering), operatorAct)
    expect(view.id).not.toBe(old.id)
    expect(await judge(...signed('/api/c', { by: other }))).toBe('granted')
    expect((await keys.get(old.id, openPrincipal)).revokedReason).toContain('registered anew')
    await expect(keys.restore(old.id, operatorAct)).rejects.toMatchObject({ code: 'conflict' })
  })

  test('is not made by sending the public key as a token', async () => {
    const [text, parts] = signed('/api/c')
    expect(await judge(text, parts)).toBe('granted')
    const verdict = await stand.identity.authenticate({ kind: 'token', text: signer.blob }, parts)
    expect(verdict.kind).toBe('denied')
  })
})

test('a public key is registered once', async () => {
  const again = stand.identity.keys.create(wish({ publicKey: parsePublicKey(signer.line) }), operatorAct)
  await expect(again).rejects.toMatchObject({ code: 'conflict' })
})

test.each([
  ['another kind', 'ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ'],
  ['a cut blob', signer.blob.slice(0, -4)],
  ['words', 'hello world'],
  ['nothing', ''],
])('%s is no public key', (_, text) => {
  expect(parsePublicKey(text)).toBeNull()
})

test('a signature is told from a token by its form', () => {
  expect(isSignature(`${signer.blob}:x`)).toBe(true)
  expect(isSignature('Bearer x:y')).toBe(false)
})
