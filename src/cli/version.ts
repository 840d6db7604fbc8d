/** The version of this Corral and what it runs on. */
import manifest from '../../package.json' with { type: 'json' }
import { printData, printJson } from './output.ts'

export const corralVersion: string = manifest.version

export function versionCommand({ json = false }: { json?: boolean }): void {
  if (json) printJson({ corral: corralVersion, node: process.versions.node, platform: `${process.platform}-${process.arch}` })
  else printData(`corral ${corralVersion}`)
}
