/**
 * Which addresses a document may be fetched from: global unicast only. Forms of IPv6 that carry an IPv4 address inside (mapped, compatible,
 * NAT64 of RFC 6052, 6to4, Teredo) are judged by what they carry, because a router on the way may take them apart.
 */
import { lookup } from 'node:dns/promises'
import ipaddr from 'ipaddr.js'

/** Addresses in public space that a cloud answers on from inside: the agent of Azure's machines. */
const cloudAddresses: ReadonlySet<string> = new Set(['168.63.129.16'])

/** All addresses of a host name. Rejects when it has none. */
export type ResolveHost = (host: string) => Promise<readonly string[]>

/** By the system: hosts file and DNS. */
export const systemResolve: ResolveHost = async (host) => {
  const found = await lookup(host, { all: true, verbatim: true })
  return found.map(({ address }) => address)
}

/** Whether packets to `address` leave for the public internet and nowhere else. */
export function isPublicAddress(address: string): boolean {
  // A zone names an interface of this machine.
  if (address.includes('%') || !ipaddr.isValid(address)) return false
  const parsed = ipaddr.parse(address)
  if (parsed instanceof ipaddr.IPv4) return isPublicV4(parsed)
  const carried = carriedV4(parsed)
  if (carried !== null) return carried.every(isPublicV4)
  const isGlobal = ((parsed.parts[0] ?? 0) & 0xe000) === 0x2000
  return isGlobal && parsed.range() === 'unicast'
}

function isPublicV4(address: ipaddr.IPv4): boolean {
  return address.range() === 'unicast' && !cloudAddresses.has(address.toString())
}

/** The IPv4 addresses inside; null when it carries none. */
function carriedV4(address: ipaddr.IPv6): ipaddr.IPv4[] | null {
  const [first = 0, second = 0, third = 0, fourth = 0, , , seventh = 0, eighth = 0] = address.parts
  const leading = address.parts.slice(0, 6)
  const isZero = (parts: readonly number[]): boolean => parts.every((part) => part === 0)
  if (address.isIPv4MappedAddress() || isZero(leading)) return [v4(seventh, eighth)]
  if (first === 0x64 && second === 0xff9b && isZero(leading.slice(2))) return [v4(seventh, eighth)]
  if (first === 0x2002) return [v4(second, third)]
  if (first === 0x2001 && second === 0) return [v4(third, fourth), v4(seventh ^ 0xffff, eighth ^ 0xffff)]
  return null
}

function v4(high: number, low: number): ipaddr.IPv4 {
  return new ipaddr.IPv4([high >> 8, high & 0xff, low >> 8, low & 0xff])
}
