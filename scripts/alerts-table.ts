// Renders the alerts as the markdown table of docs/observe.md.

import { alertsFor } from '../src/observe/alerts/rule-file.ts'
import { markersOf, replacePart } from './written-part.ts'

const markers = markersOf('alerts', 'monitoring')

function spanText(seconds: number): string {
  return seconds === 0 ? 'at once' : seconds % 3_600 === 0 ? `${seconds / 3_600} h` : `${seconds / 60} min`
}

/** Every alert: its runbook, how urgent it is, and how long it must hold. */
function renderAlertTable(): string {
  const rows = alertsFor().map(
    ({ name, severity, forSeconds, summary }) =>
      `| [${name}](runbooks/${name}.md) | ${severity} | ${spanText(forSeconds)} | ${summary.replaceAll(/\{\{ ?\$labels\.(\w+) ?\}\}/g, '*$1*').replaceAll(/\{\{[^}]*\}\}/g, '…')} |`,
  )
  return ['| Alert | Severity | Holds for | Says |', '|---|---|---|---|', ...rows].join('\n')
}

/** The page with the table between its markers; throws when a marker is missing. */
export function withAlertTable(page: string): string {
  return replacePart(page, renderAlertTable(), markers)
}
