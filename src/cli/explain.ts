/** `corral explain ID`: why a request that asked for it went where it went. */
import { z } from 'zod'

import { formatDuration } from '../base/units.ts'
import { gatewayOf, type GatewayOptions } from './gateway.ts'
import { decode } from './keys.ts'
import { printable, printData, printJson, table } from './output.ts'

const explained = z.looseObject({
  summary: z.array(z.string()),
  steps: z.array(z.looseObject({ atMs: z.number() })),
})

export async function explainCommand(id: string, options: GatewayOptions): Promise<void> {
  const told = decode(explained, await (await gatewayOf(options)).request('GET', `/admin/requests/${encodeURIComponent(id)}/explain`))
  if (options.json === true) {
    printJson(told)
    return
  }
  printData(
    table(
      told.summary.map((sentence, index) => {
        const atMs = told.steps[index]?.atMs
        return [atMs === undefined ? '' : formatDuration(atMs), printable(sentence)]
      }),
    ),
  )
}
