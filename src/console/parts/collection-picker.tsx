/** Which collections to look in: one button each, several at once. */
import type { Collection } from '../api/rag-shapes.ts'
import { formatCount } from '../format.ts'

export interface CollectionPickerProps {
  readonly collections: readonly Collection[]
  readonly chosen: readonly string[]
  readonly onChange: (chosen: readonly string[]) => void
}

export function CollectionPicker({ collections, chosen, onChange }: CollectionPickerProps) {
  const toggle = (name: string): void => onChange(chosen.includes(name) ? chosen.filter((each) => each !== name) : [...chosen, name])
  return (
    <fieldset className="min-w-0">
      <legend className="mb-1 text-sm font-medium">Collections</legend>
      <div className="flex flex-wrap gap-2">
        {collections.map(({ name, documents }) => (
          <label key={name} className="button button-small max-w-full cursor-pointer has-checked:border-ink has-checked:bg-raised">
            <input type="checkbox" checked={chosen.includes(name)} onChange={() => toggle(name)} />
            <span className="truncate">{name}</span>
            <span className="text-quiet" aria-label={`${documents} documents`}>
              {formatCount(documents)}
            </span>
          </label>
        ))}
      </div>
    </fieldset>
  )
}
