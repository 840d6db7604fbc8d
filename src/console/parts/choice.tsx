/** One of a few, as a row of buttons of which one is pressed. */

export interface ChoiceProps {
  readonly label: string
  readonly options: readonly { readonly value: string; readonly text: string }[]
  readonly chosen: string
  readonly onChoose: (value: string) => void
}

export function Choice({ label, options, chosen, onChoose }: ChoiceProps) {
  return (
    <div className="flex flex-wrap gap-2" role="group" aria-label={label}>
      {options.map(({ value, text }) => (
        <button
          key={value}
          type="button"
          className={`button button-small ${value === chosen ? 'button-strong' : ''}`}
          aria-pressed={value === chosen}
          onClick={() => onChoose(value)}
        >
          {text}
        </button>
      ))}
    </div>
  )
}
