/** Files that a document carries along. They are named to its owner and never read. */
import { cleanLine } from './clean-text.ts'

export interface NamedAttachment {
  readonly name: string | null
  /** Type and size, where they are known. */
  readonly details?: string
}

const namedMax = 50
const nameCharsMax = 200
const detailsCharsMax = 120

/** What to warn of, one text per attachment. */
export function attachmentWarnings(attachments: readonly NamedAttachment[]): string[] {
  return attachments.slice(0, namedMax).map(({ name, details }) => {
    const shown = details === undefined ? '' : ` (${cleanLine(details).slice(0, detailsCharsMax)})`
    return `attachment "${cleanLine(name ?? 'without a name').slice(0, nameCharsMax)}"${shown} is not read: upload it on its own`
  })
}
