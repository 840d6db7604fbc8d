/**
 * The address of whoever sends a request, for the limit per address and the audit log: the peer of the connection. What a client
 * writes about itself in `X-Forwarded-For` counts for nothing (B54), unless the peer is a proxy that the operator trusts: each
 * trusted proxy appends whom it heard from, so the right-most entry that is none of them is the client, and what stands further
 * left is the client's own invention. `X-Real-IP` and `Forwarded` are never read.
 */
import type { IncomingMessage } from 'node:http'
import { BlockList, isIP } from 'node:net'

export type AddressOf = (incoming: IncomingMessage) => string

/** Entries looked at; a chain of proxies is short. */
const hopsMax = 32
const mappedPattern = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i
const withPortPattern = /^(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}$/
const bracketedPattern = /^\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?$/

/** Whether a text is an address or a block such as `10.0.0.0/8`. */
export function isAddressBlock(text: string): boolean {
  return parseBlock(text) !== null
}

/** How addresses are found behind `proxies` (addresses and blocks). None: the peer itself, always. */
export function clientAddress(proxies: readonly string[]): AddressOf {
  if (proxies.length === 0) return peerOf
  const trusted = new BlockList()
  for (const text of proxies) {
    const block = parseBlock(text)
    if (block === null) throw new Error(`no address or block: ${text}`)
    trusted.addSubnet(block.address, block.bits, block.family)
  }
  const isTrusted = (address: string): boolean => trusted.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
  return (incoming) => {
    const peer = peerOf(incoming)
    const forwarded = incoming.headers['x-forwarded-for']
    if (forwarded === undefined || isIP(peer) === 0 || !isTrusted(peer)) return peer
    return furthest(peer, String(forwarded), isTrusted)
  }
}

/** From the right: past trusted hops, up to the first that is not, or to where the text makes no sense. */
function furthest(peer: string, forwarded: string, isTrusted: (address: string) => boolean): string {
  let last = peer
  let end = forwarded.length
  for (let hop = 0; hop < hopsMax && end >= 0; hop += 1) {
    const comma = forwarded.lastIndexOf(',', end - 1)
    const address = readEntry(forwarded.slice(comma + 1, end).trim())
    if (address === null) return last
    last = address
    if (comma < 0 || !isTrusted(address)) return last
    end = comma
  }
  return last
}

function readEntry(text: string): string | null {
  const bare = withPortPattern.exec(text)?.[1] ?? bracketedPattern.exec(text)?.[1] ?? text
  return isIP(bare) === 0 || bare.includes('%') ? null : plain(bare)
}

function peerOf({ socket }: IncomingMessage): string {
  return socket.remoteAddress === undefined ? 'unknown' : plain(socket.remoteAddress)
}

/** An IPv4 address in the clothes of IPv6 is the IPv4 address: one client has one name. */
function plain(address: string): string {
  return address.includes(':') ? (mappedPattern.exec(address)?.[1] ?? address) : address
}

interface Block {
  readonly address: string
  readonly bits: number
  readonly family: 'ipv4' | 'ipv6'
}

function parseBlock(text: string): Block | null {
  const [address = '', bits, ...rest] = text.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0 || address.includes('%')) return null
  const most = version === 6 ? 128 : 32
  const count = bits === undefined ? most : /^\d{1,3}$/.test(bits) ? Number(bits) : Infinity
  return count > most ? null : { address, bits: count, family: version === 6 ? 'ipv6' : 'ipv4' }
}
