/** A labelled input of a form, with its hint and what is wrong with it. */
import { type InputHTMLAttributes, type ReactNode, type SelectHTMLAttributes, type TextareaHTMLAttributes, useId } from 'react'

export interface FieldProps extends InputHTMLAttributes<HTMLInputElement> {
  readonly label: string
  readonly hint?: ReactNode
}

export function Field({ label, hint, ...input }: FieldProps) {
  const id = useId()
  return (
    <Labelled id={id} label={label}>
      <input {...input} id={id} className="input" {...(hint === undefined ? {} : { 'aria-describedby': `${id}-hint` })} />
      {hint === undefined ? null : (
        <p id={`${id}-hint`} className="mt-1 text-xs text-quiet">
          {hint}
        </p>
      )}
    </Labelled>
  )
}

/** `id`: of the control among `children` that the label is for. */
function Labelled({ id, label, children }: { readonly id: string; readonly label: string; readonly children: ReactNode }) {
  return (
    <div className="min-w-0">
      <label htmlFor={id} className="mb-1 block text-sm font-medium">
        {label}
      </label>
      {children}
    </div>
  )
}

export interface SelectProps extends SelectHTMLAttributes<HTMLSelectElement> {
  readonly label: string
  readonly options: readonly { readonly value: string; readonly text: string }[]
}

export function Select({ label, options, ...select }: SelectProps) {
  const id = useId()
  return (
    <Labelled id={id} label={label}>
      <select {...select} id={id} className="input">
        {options.map(({ value, text }) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </Labelled>
  )
}

export interface TextAreaProps extends TextareaHTMLAttributes<HTMLTextAreaElement> {
  readonly label: string
}

/** For text that a program reads. */
export function CodeArea({ label, ...area }: TextAreaProps) {
  const id = useId()
  return (
    <Labelled id={id} label={label}>
      <textarea {...area} id={id} className="input block font-mono text-sm" spellCheck={false} autoCapitalize="off" autoComplete="off" />
    </Labelled>
  )
}

/** The text a form holds under `name`, without blanks around it. */
export function textOf(form: FormData, name: string): string {
  const value = form.get(name)
  return typeof value === 'string' ? value.trim() : ''
}
