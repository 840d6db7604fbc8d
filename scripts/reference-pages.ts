// The pages with a part that is made from the source, and what makes it.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { renderCliReference } from './cli-reference.ts'
import { renderConfigReference } from './config-reference.ts'
import { renderMetricsReference } from './metrics-reference.ts'
import { renderErrorTable } from './errors-table.ts'

const manual = join(import.meta.dirname, '../config/default.yaml')

export const referencePages: readonly { readonly page: string; readonly render: () => string }[] = [
  { page: 'docs/errors.md', render: renderErrorTable },
  { page: 'docs/reference/configuration.md', render: () => renderConfigReference(readFileSync(manual, 'utf8')) },
  { page: 'docs/reference/cli.md', render: renderCliReference },
  { page: 'docs/reference/metrics.md', render: renderMetricsReference },
]
