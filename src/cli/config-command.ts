/** `corral config show` and `corral config schema`. */
import { configJsonSchema } from '../config/json-schema.ts'
import { masked, shownValues } from '../config/show.ts'
import { painter, printData, printJson, printMessage, table } from './output.ts'
import { type ConfigOptions, settingsOf } from './settings.ts'

export interface ShowOptions extends ConfigOptions {
  readonly origin?: boolean
  readonly json?: boolean
}

/** Prints the effective configuration: YAML, or one value per line with its origin, or JSON. Secrets are masked. */
export async function configShowCommand(options: ShowOptions): Promise<void> {
  const { config, origins, file } = await settingsOf(options)
  if (options.origin !== true) {
    if (options.json === true) return printJson(masked(config))
    const { stringify } = await import('yaml')
    printMessage(`# ${file === null ? 'no configuration file' : `file: ${file}`}; --origin says where each value came from`)
    return printData(stringify(masked(config), { lineWidth: 120, aliasDuplicateObjects: false }))
  }
  const values = shownValues(config, origins)
  if (options.json === true) return printJson(values)
  const paint = painter(process.stdout)
  const tone = (origin: string) => (origin === 'default' ? paint('dim', origin) : paint('cyan', origin))
  printData(table(values.map(({ key, value, origin }) => [key, JSON.stringify(value), tone(origin)])))
}

/** Prints the JSON Schema of the file. */
export function configSchemaCommand(): void {
  printJson(configJsonSchema())
}
