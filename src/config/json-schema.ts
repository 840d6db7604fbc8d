/** The JSON Schema of `corral.yaml`, for editors: `config/schema.json` is its committed output. */
import { z } from 'zod'

import { configSchema } from './schema.ts'

/** What may be written in the file: durations and sizes are a number or a text with a unit. */
export function configJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(configSchema, { io: 'input', target: 'draft-2020-12' })
  return { ...schema, title: 'Corral configuration', description: 'Every key is explained in config/default.yaml.' }
}
