/** Before the first test file: what many of them copy is made by one, so that none waits in a hook while three make the same. */
import { embeddedTemplate } from './embedded-template.ts'

export async function setup(): Promise<void> {
  await embeddedTemplate('migrated')
}
