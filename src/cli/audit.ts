/** `corral audit verify`: whether the audit log of a running gateway is as it was written. */
import { z } from 'zod'

import { CliError, exitCodes } from './exit-code.ts'
import { gatewayOf, type GatewayOptions } from './gateway.ts'
import { decode } from './keys.ts'
import { printJson, printMessage } from './output.ts'

const verified = z.object({ intact: z.boolean(), brokenAt: z.number().nullable() })

/** Ends with a failure when an entry was changed, taken out or put in. */
export async function auditVerifyCommand(options: GatewayOptions): Promise<void> {
  const answer = decode(verified, await (await gatewayOf(options)).request('GET', '/admin/audit/verify'))
  if (options.json === true) printJson(answer)
  if (!answer.intact) {
    throw new CliError(exitCodes.failure, `the audit log was changed: entry ${answer.brokenAt} does not follow from the one before it`)
  }
  printMessage('the audit log is whole: each entry follows from the one before it')
}
