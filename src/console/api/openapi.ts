/** The part of an OpenAPI 3.1 description that the reference shows. */

export interface Schema {
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly default?: unknown
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly minimum?: number
  readonly maximum?: number
  readonly maxLength?: number
}

type Content = Readonly<Record<string, { readonly schema?: Schema; readonly example?: unknown }>>

export interface Operation {
  readonly summary: string
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly description?: string }[]
  readonly requestBody?: { readonly content: Content }
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: Content }>>
}

export interface ApiDescription {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}

export interface OperationOf {
  readonly method: string
  readonly path: string
  readonly operation: Operation
}

export function operationsOf(description: ApiDescription | undefined): OperationOf[] {
  return Object.entries(description?.paths ?? {}).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  )
}

const optionsOf = ({ anyOf, oneOf }: Schema): readonly Schema[] => anyOf ?? oneOf ?? []

/** A type as one writes it: `string | null`, `object[]`, `"low" | "high"`. */
export function typeOf(schema: Schema): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(' | ')
  const options = optionsOf(schema)
  if (options.length > 0) return [...new Set(options.map(typeOf))].join(' | ')
  if (schema.items !== undefined) {
    const item = typeOf(schema.items)
    return item.includes(' ') ? `(${item})[]` : `${item}[]`
  }
  if (schema.type === undefined) return 'any'
  return typeof schema.type === 'string' ? schema.type : schema.type.join(' | ')
}

/** The objects within, whose fields are shown below. */
export function objectsIn(schema: Schema): readonly Schema[] {
  if (schema.properties !== undefined) return [schema]
  if (schema.items !== undefined) return objectsIn(schema.items)
  return optionsOf(schema).flatMap(objectsIn)
}
