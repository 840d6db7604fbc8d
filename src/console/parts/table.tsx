/** Rows under named columns. A wide one scrolls inside its panel, also by keyboard; the page itself never does. */
import type { ReactNode } from 'react'

export interface Column<T> {
  readonly name: string
  readonly cell: (row: T) => ReactNode
  /** Numbers stand to the right, under each other. */
  readonly number?: boolean
  /** Left out on narrow screens. */
  readonly wideOnly?: boolean
}

export interface TableProps<T> {
  readonly label: string
  readonly columns: readonly Column<T>[]
  readonly rows: readonly T[]
  readonly rowKey: (row: T) => string
}

function classOf<T>({ number = false, wideOnly = false }: Column<T>): string {
  return `${number ? 'number' : ''} ${wideOnly ? 'hidden md:table-cell' : ''}`
}

export function Table<T>({ label, columns, rows, rowKey }: TableProps<T>) {
  return (
    <div className="overflow-x-auto" role="group" aria-label={label} tabIndex={0}>
      <table className="cells w-full border-collapse">
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.name} scope="col" className={classOf(column)}>
                {column.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={rowKey(row)} className="hover:bg-raised/50">
              {columns.map((column) => (
                <td key={column.name} className={classOf(column)}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
