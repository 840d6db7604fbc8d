/** `corral features ls|on|off|reset`: what a running gateway can do, and switching it while it runs. */
import { z } from 'zod'

import { gatewayOf, type GatewayOptions } from './gateway.ts'
import { decode } from './keys.ts'
import { painter, printable, printData, printJson, table } from './output.ts'

const feature = z.object({
  name: z.string(),
  meaning: z.string(),
  on: z.boolean(),
  origin: z.string(),
  switchable: z.boolean(),
  kept: z.boolean().nullable(),
})

export async function featuresLsCommand(options: GatewayOptions): Promise<void> {
  const { features } = decode(z.object({ features: z.array(feature) }), await (await gatewayOf(options)).request('GET', '/admin/features'))
  if (options.json === true) {
    printJson(features)
    return
  }
  const paint = painter(process.stdout)
  const rows = features.map(({ name, on, origin, switchable, meaning }) => [
    printable(name),
    on ? paint('green', 'on') : paint('yellow', 'off'),
    `${printable(origin)}${switchable ? '' : ' (fixed)'}`,
    printable(meaning),
  ])
  printData(table([['NAME', 'STATE', 'FROM', 'MEANING'], ...rows]))
}

/** `on` null: as configured again. */
export async function featureSwitchCommand(name: string, on: boolean | null, options: GatewayOptions): Promise<void> {
  const gateway = await gatewayOf(options)
  const path = `/admin/features/${encodeURIComponent(name)}`
  const state = decode(feature, on === null ? await gateway.request('DELETE', path) : await gateway.request('PUT', path, { on }))
  if (options.json === true) {
    printJson(state)
    return
  }
  const lasting = state.kept === false ? '; it is not kept, and holds until this gateway stops' : ''
  printData(`${printable(state.name)} is ${state.on ? 'on' : 'off'} (${printable(state.origin)})${lasting}`)
}
