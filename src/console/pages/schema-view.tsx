/** The fields of a body or an answer, those of inner objects indented below theirs. */
import { objectsIn, type Schema, typeOf } from '../api/openapi.ts'

const depthMax = 4

export interface SchemaViewProps {
  readonly title: string
  readonly type: string
  readonly schema: Schema | undefined
}

export function SchemaView({ title, type, schema }: SchemaViewProps) {
  return (
    <div className="min-w-0">
      <h3 className="text-sm font-medium">
        {title} <code className="font-normal text-quiet">{type === '*/*' ? 'any type' : type}</code>
      </h3>
      {schema === undefined ? <p className="text-sm text-quiet">Bytes.</p> : <Fields schema={schema} depth={0} />}
    </div>
  )
}

function rangeOf({ minimum, maximum, maxLength, default: initial }: Schema): string {
  const limits = [
    minimum === undefined || minimum <= Number.MIN_SAFE_INTEGER ? '' : `from ${minimum}`,
    maximum === undefined || maximum >= Number.MAX_SAFE_INTEGER ? '' : `to ${maximum}`,
    maxLength === undefined ? '' : `at most ${maxLength} characters`,
    initial === undefined ? '' : `else ${JSON.stringify(initial)}`,
  ]
  return limits.filter((limit) => limit !== '').join(', ')
}

function Fields({ schema, depth }: { readonly schema: Schema; readonly depth: number }) {
  const objects = objectsIn(schema)
  if (objects.length === 0) return depth === 0 ? <p className="text-sm text-quiet">{typeOf(schema)}</p> : null
  return (
    <>
      {objects.map((object, index) => (
        // The order of the alternatives is that of the description, which does not change.
        <ul key={index} className={depth === 0 ? 'mt-1' : 'my-1.5 border-l border-line pl-3'}>
          {Object.entries(object.properties ?? {}).map(([name, field]) => (
            <li key={name} className="text-sm">
              <code>{name}</code>
              {object.required?.includes(name) === true ? null : <span className="text-quiet"> optional</span>}{' '}
              <code className="break-words text-quiet">{typeOf(field)}</code> <span className="text-xs text-quiet">{rangeOf(field)}</span>
              {depth < depthMax ? <Fields schema={field} depth={depth + 1} /> : null}
            </li>
          ))}
        </ul>
      ))}
    </>
  )
}
