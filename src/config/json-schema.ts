/** The JSON Schema of `corral.yaml`, for editors: `config/schema.json` is its committed output. */
import { z } from 'zod'

import { configSchema } from './schema.ts'

type JsonSchema = z.core.JSONSchema.BaseSchema

/** Every text can come from a file: beside `name` stands `nameFile`. */
function allowFiles(schema: JsonSchema): void {
  const { properties = {} } = schema
  const texts = Object.entries(properties).filter(([, child]) => typeof child === 'object' && child.type === 'string')
  if (texts.length === 0) return
  const names = texts.map(([key]) => key).join('|')
  schema.patternProperties = { [`^(${names})File$`]: { type: 'string', description: 'file that holds the value' } }
}

/** What may be written in the file: durations and sizes are a number or a text with a unit. */
export function configJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(configSchema, {
    io: 'input',
    target: 'draft-2020-12',
    override: ({ jsonSchema }) => allowFiles(jsonSchema),
  })
  return { ...schema, title: 'Corral configuration', description: 'Every key is explained in config/default.yaml.' }
}
