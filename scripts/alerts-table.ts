// Renders the alerts as the markdown table of docs/observe.md.

import { alertsFor } from '../src/observe/alerts/rule-file.ts'
import { markersOf, replacePart } from './written-part.ts'

const markers = markersOf('alerts', 'monitoring')

/** A summary with the names of labels for their values, and dots for figures. */
function textOf(summary: string): string {
  return summary
    .replaceAll(/\{\{ ?\$labels\.(\w+) ?\}\}/g, '*$1*')
    .replaceAll(/\{\{ ?or \$labels\.(\w+) \$labels\.(\w+) ?\}\}/g, '*$1* or *$2*')
    .replaceAll(/\{\{[^}]*\}\}/g, '…')
}

function spanText(seconds: number): string {
  return seconds === 0 ? 'at once' : seconds % 3_600 === 0 ? `${seconds / 3_600} h` : `${seconds / 60} min`
}

/** Every alert: its runbook, how urgent it is, and how long it must hold. */
function renderAlertTable(): string {
  const rows = alertsFor().map(
    ({ name, severity, forSeconds, summary }) =>
      `| [${name}](runbooks/${name}.md) | ${severity} | ${spanText(forSeconds)} | ${textOf(summary)} |`,
  )
  return ['| Alert | Severity | Holds for | Says |', '|---|---|---|---|', ...rows].join('\n')
}

/** The page with the table between its markers; throws when a marker is missing. */
export function withAlertTable(page: string): string {
  return replacePart(page, renderAlertTable(), markers)
}
