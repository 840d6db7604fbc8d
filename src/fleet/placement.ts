/** The relays of a fleet as one: each request goes the way that its route has. */
import type { Relay } from '../core/relay.ts'
import type { Placement } from '../core/route.ts'

export function byPlacement(relays: Readonly<Partial<Record<Placement, Relay>>>): Relay {
  return (request, call) => {
    const relay = relays[request.route.placement]
    if (relay === undefined) throw new Error(`no relay for placement ${request.route.placement}`)
    return relay(request, call)
  }
}
