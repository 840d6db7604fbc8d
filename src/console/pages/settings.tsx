/** What the gateway runs with: capabilities to switch, what it stands on, and every value in force with where it comes from. */
import { useQuery } from '@tanstack/react-query'
import { memo, type ReactNode, useDeferredValue, useMemo } from 'react'

import type { Dependency, FeatureState, SettingsPage, ShownSetting } from '../../core/operator-settings.ts'
import { getJson } from '../api/client.ts'
import { useLive } from '../api/live.ts'
import { atGateway } from '../api/place.ts'
import { dash, formatDateTime, formatMs } from '../format.ts'
import { Field } from '../parts/field.tsx'
import { Loaded } from '../parts/loaded.tsx'
import { EmptyState, Loading } from '../parts/notices.tsx'
import { Page, Panel } from '../parts/page.tsx'
import { StateBadge } from '../parts/state-badge.tsx'
import { Table } from '../parts/table.tsx'
import { setQuery, useLocation } from '../router.tsx'
import { Features } from './features.tsx'

export default function Settings() {
  return (
    <Page
      title="Settings"
      lead="What this gateway runs with, and where each value comes from. Credentials are masked here and in the support bundle."
      actions={
        <a className="button" href={atGateway('/admin/support-bundle')} download="">
          Support bundle
        </a>
      }
    >
      <LiveDependencies />
      <Part<{ readonly features: readonly FeatureState[] }> name="capabilities" path="/admin/features">
        {({ features }) => <Features features={features} />}
      </Part>
      <Part<SettingsPage> name="configuration" path="/admin/config">
        {(config) => (
          <>
            <Reload config={config} />
            <Values config={config} />
          </>
        )}
      </Part>
    </Page>
  )
}

interface PartProps<T> {
  readonly name: string
  readonly path: string
  readonly children: (data: T) => ReactNode
}

/** One of the answers, which comes and fails by itself. */
function Part<T>({ name, path, children }: PartProps<T>) {
  const read = useQuery({
    queryKey: ['settings', path],
    queryFn: ({ signal }) => getJson<T>(path, signal),
  })
  return (
    <Loaded read={read} what={name}>
      {children}
    </Loaded>
  )
}

/** Pushed, as all that is live. */
function LiveDependencies() {
  const { dependencies } = useLive()
  return dependencies === null ? <Loading what="dependencies" /> : <Dependencies all={dependencies} />
}

function stateOf({ up }: Dependency) {
  if (up === null) return <StateBadge tone="quiet">not known yet</StateBadge>
  return up ? <StateBadge tone="ok">up</StateBadge> : <StateBadge tone="bad">down</StateBadge>
}

/** `lastSeenAgo` as people write it. */
function wordsOf(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
}

function detailOf({ detail, kind }: Dependency): string {
  return Object.entries(detail)
    .filter(([name, value]) => value !== null && !(kind === 'database' && name === 'store'))
    .map(([name, value]) =>
      name.endsWith('Ms') ? `${wordsOf(name.slice(0, -2))} ${formatMs(Number(value))}` : `${wordsOf(name)} ${value}`,
    )
    .join(' · ')
}

function Dependencies({ all }: { readonly all: readonly Dependency[] }) {
  return (
    <Panel title="Dependencies" note="looked at every ten seconds">
      {all.length === 0 ? (
        <EmptyState title="It stands on nothing">No store, no Redis and no node is configured.</EmptyState>
      ) : (
        <Table
          label="Dependencies"
          rows={all}
          rowKey={({ kind, name }) => `${kind} ${name}`}
          columns={[
            {
              name: 'Name',
              cell: ({ kind, name }) => (
                <>
                  <span className="font-medium">{name}</span> {kind === name ? null : <span className="text-quiet">{kind}</span>}
                </>
              ),
            },
            { name: 'State', cell: stateOf },
            { name: 'Answered in', number: true, cell: ({ latencyMs }) => formatMs(latencyMs) },
            { name: 'Version', cell: ({ version }) => version ?? dash },
            {
              name: 'Detail',
              wideOnly: true,
              cell: (each) => <span className="text-quiet">{detailOf(each)}</span>,
            },
            {
              name: 'Last error',
              cell: ({ lastError }) =>
                lastError === null ? 'none' : <span className="block min-w-48 break-words text-bad">{lastError}</span>,
            },
          ]}
        />
      )}
    </Panel>
  )
}

const reloadWords = { started: 'Read at the start', applied: 'Last change applied', kept: 'A change was refused and the old values kept' }

/** Only when there is something to do about it. */
function Reload({ config: { lastReload, waitingForRestart } }: { readonly config: SettingsPage }) {
  if (lastReload.problems.length === 0 && waitingForRestart.length === 0) return null
  return (
    <Panel title="Needs you">
      <div className="flex flex-col gap-3 px-4 py-3">
        {lastReload.problems.length === 0 ? null : (
          <div>
            <p className="font-medium text-bad">
              {reloadWords[lastReload.kind]}, {formatDateTime(lastReload.at)}
            </p>
            <ul className="list-disc pl-5 text-sm">
              {lastReload.problems.map((problem) => (
                <li key={problem} className="break-words">
                  {problem}
                </li>
              ))}
            </ul>
          </div>
        )}
        {waitingForRestart.length === 0 ? null : (
          <p>
            <StateBadge tone="warn">restart</StateBadge> takes effect at the next start: <code>{waitingForRestart.join(', ')}</code>
          </p>
        )}
      </div>
    </Panel>
  )
}

function shownValue(value: unknown): string {
  return typeof value === 'string' && value !== '' ? value : JSON.stringify(value)
}

function matches({ key, value, origin }: ShownSetting, words: readonly string[]): boolean {
  const text = `${key} ${shownValue(value)} ${origin}`.toLowerCase()
  return words.every((word) => text.includes(word))
}

function Values({ config }: { readonly config: SettingsPage }) {
  const { query } = useLocation()
  const sought = query.get('q') ?? ''
  const onlyChanged = query.get('set') === 'yes'
  // The field shows each letter at once; the rows follow when there is time.
  const deferred = useDeferredValue(sought)
  const found = useMemo(() => {
    const words = deferred.toLowerCase().split(/\s+/)
    return config.values.filter((setting) => (!onlyChanged || setting.origin !== 'default') && matches(setting, words))
  }, [config.values, deferred, onlyChanged])
  return (
    <Panel
      title="Configuration"
      note={`${found.length} of ${config.values.length} · ${config.file ?? 'no file'} · ${reloadWords[config.lastReload.kind].toLowerCase()}, ${formatDateTime(config.lastReload.at)}`}
    >
      <div className="flex flex-wrap items-end gap-x-6 gap-y-2 border-b border-line px-4 py-3">
        <div className="w-full max-w-sm">
          <Field label="Search" type="search" value={sought} onChange={({ target }) => setQuery({ q: target.value })} />
        </div>
        <label className="flex min-h-8 items-center gap-2 text-sm">
          <input type="checkbox" checked={onlyChanged} onChange={({ target }) => setQuery({ set: target.checked ? 'yes' : '' })} />
          Only what is not the default
        </label>
      </div>
      {found.length === 0 ? (
        <EmptyState title="No setting matches">The search looks in names, values and origins.</EmptyState>
      ) : (
        <SettingRows rows={found} />
      )}
    </Panel>
  )
}

const SettingRows = memo(function SettingRows({ rows }: { readonly rows: readonly ShownSetting[] }) {
  return (
    <Table
      label="Configuration"
      rows={rows}
      rowKey={({ key }) => key}
      columns={[
        { name: 'Key', cell: ({ key }) => <code className="break-all">{key}</code> },
        { name: 'Value', cell: ({ value }) => <code className="block max-w-xl break-words">{shownValue(value)}</code> },
        {
          name: 'From',
          cell: ({ origin }) => <span className={origin === 'default' ? 'text-quiet' : 'font-medium break-words'}>{origin}</span>,
        },
      ]}
    />
  )
})
