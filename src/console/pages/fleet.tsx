/** All nodes, and one of them: state and breaker, load against its limits, models in memory, what may be done about it. */
import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'

import { change } from '../api/client.ts'
import { useLive } from '../api/live.ts'
import type { FleetNode, LiveState, NodeRates } from '../api/shapes.ts'
import { dash, formatBytes, formatDistance, formatMs, formatRate, formatShare } from '../format.ts'
import { Confirm } from '../parts/dialog.tsx'
import { EmptyState, ErrorState, Loading } from '../parts/notices.tsx'
import { Page, Panel } from '../parts/page.tsx'
import { StateBadge } from '../parts/state-badge.tsx'
import { Table } from '../parts/table.tsx'
import { Link, nameIn, navigate, useLocation } from '../router.tsx'
import { AddNode } from './add-node.tsx'
import { judgeNode } from './node-state.ts'

export default function Fleet() {
  const { state } = useLive()
  const { path } = useLocation()
  const [adding, setAdding] = useState(false)
  if (state === null) return <Loading what="the fleet" />
  const chosen = nameIn(path)
  if (chosen !== '') return <OneNode name={chosen} state={state} />
  const rates = new Map(state.nodeRates.map((rate) => [rate.node, rate]))
  return (
    <Page
      title="Fleet"
      lead="A drained node finishes what it has and gets nothing new."
      actions={
        <button type="button" className="button button-strong" onClick={() => setAdding(true)}>
          Add a node
        </button>
      }
    >
      {adding ? <AddNode onClose={() => setAdding(false)} /> : null}
      {state.fleet.nodes.length === 0 ? (
        <div className="panel">
          <EmptyState title="There is no node">Add one here, or name them in CORRAL_NODES.</EmptyState>
        </div>
      ) : null}
      <div className="grid gap-4 lg:grid-cols-2 2xl:grid-cols-3">
        {state.fleet.nodes.map((node) => (
          <NodeCard key={node.name} node={node} rates={rates.get(node.name)} />
        ))}
      </div>
      <Drift state={state} />
    </Page>
  )
}

/** The requests a node takes at once for its models in memory; null where nothing bounds them. */
function slotsOf({ runners }: FleetNode): number | null {
  const resident = runners.filter(({ resident: isIn }) => isIn)
  if (resident.length === 0 || resident.some(({ slots }) => slots === null)) return null
  return resident.reduce((sum, { slots }) => sum + (slots ?? 0), 0)
}

function NodeCard({ node, rates }: { readonly node: FleetNode; readonly rates: NodeRates | undefined }) {
  const { tone, text } = judgeNode(node)
  const slots = slotsOf(node)
  return (
    <section className="panel flex min-w-0 flex-col" aria-label={node.name}>
      <div className="flex flex-wrap items-center justify-between gap-2 px-4 pt-3">
        <h2 className="min-w-0 truncate text-lg font-semibold">
          <Link to={`fleet/${encodeURIComponent(node.name)}`} className="hover:underline">
            {node.name}
          </Link>
        </h2>
        <StateBadge tone={tone}>{text}</StateBadge>
      </div>
      <p className="truncate px-4 text-sm text-quiet">
        <code>{node.url}</code>
        {node.version === null ? '' : ` · Ollama ${node.version}`}
      </p>
      {node.downReason === null ? null : <p className="mx-4 mt-2 text-sm break-words text-bad">{node.downReason}</p>}
      {node.lastFailure === null ? null : (
        <p className="mx-4 mt-2 text-sm break-words text-quiet">
          Last failure {formatMs(node.lastFailure.agoMs)} ago: {node.lastFailure.reason}
        </p>
      )}
      <dl className="grid grid-cols-4 gap-2 px-4 py-3">
        <Figure label="Under way" value={slots === null ? String(node.inFlight) : `${node.inFlight}/${slots}`} />
        <Figure label="Requests/s" value={formatRate(rates?.requestsPerSecond ?? 0)} />
        <Figure label="Failed" value={formatShare(rates?.errorShare ?? null)} />
        <Figure label="First token" value={formatMs(rates?.ttftP95Ms ?? null)} />
      </dl>
      <div className="grow border-t border-line px-4 py-2 text-sm">
        {node.loaded.length === 0 ? <p className="text-quiet">No model in memory.</p> : <LoadedList node={node} />}
      </div>
      <div className="border-t border-line px-4 py-2">
        <NodeActions node={node} />
      </div>
    </section>
  )
}

function Figure({ label, value }: { readonly label: string; readonly value: string }) {
  return (
    <div className="min-w-0">
      <dt className="truncate text-xs text-quiet">{label}</dt>
      <dd className="font-semibold tabular-nums">{value}</dd>
    </div>
  )
}

function LoadedList({ node }: { readonly node: FleetNode }) {
  return (
    <ul>
      {node.loaded.slice(0, 4).map(({ model, vramBytes, expiresAt }) => (
        <li key={model} className="flex flex-wrap justify-between gap-x-3">
          <span className="min-w-0 truncate">{model}</span>
          <span className="text-quiet tabular-nums">
            {formatBytes(vramBytes)} · {expiresAt === null ? 'stays' : formatDistance(expiresAt, Date.now())}
          </span>
        </li>
      ))}
    </ul>
  )
}

function NodeActions({ node }: { readonly node: FleetNode }) {
  const [removing, setRemoving] = useState(false)
  const at = `/admin/nodes/${encodeURIComponent(node.name)}`
  const drain = useMutation({ mutationFn: () => change<object>('POST', `${at}/${node.draining ? 'undrain' : 'drain'}`) })
  const remove = useMutation({
    mutationFn: () => change('DELETE', at),
    onSuccess: () => {
      setRemoving(false)
      navigate('fleet')
    },
  })
  return (
    <div className="flex flex-wrap items-center gap-2">
      <button type="button" className="button button-small" disabled={drain.isPending} onClick={() => drain.mutate()}>
        {node.draining ? 'Undrain' : 'Drain'}
      </button>
      <button type="button" className="button button-small" onClick={() => setRemoving(true)}>
        Remove
      </button>
      {drain.error === null ? null : <ErrorState error={drain.error} />}
      {removing ? (
        <Confirm
          title={`Remove ${node.name}?`}
          action="Remove"
          busy={remove.isPending}
          onConfirm={() => remove.mutate()}
          onClose={() => setRemoving(false)}
        >
          <p>
            It gets no more requests. {node.inFlight > 0 ? `${node.inFlight} under way are cut; drain it first to let them end. ` : ''}
            After a restart the configuration decides again.
          </p>
          {remove.error === null ? null : <ErrorState error={remove.error} />}
        </Confirm>
      ) : null}
    </div>
  )
}

function OneNode({ name, state }: { readonly name: string; readonly state: LiveState }) {
  const node = state.fleet.nodes.find((each) => each.name === name)
  if (node === undefined) {
    return (
      <Page title={name}>
        <div className="panel">
          <EmptyState title="There is no node of this name">
            It was removed, or renamed.{' '}
            <Link to="fleet" className="link">
              All nodes
            </Link>
          </EmptyState>
        </div>
      </Page>
    )
  }
  return (
    <Page
      title={node.name}
      lead={
        <Link to="fleet" className="link">
          All nodes
        </Link>
      }
    >
      <div className="max-w-3xl">
        <NodeCard node={node} rates={state.nodeRates.find((rate) => rate.node === name)} />
      </div>
      <Panel title="Models in memory">
        <Models node={node} />
      </Panel>
      <Panel title="Models on disk">
        <p className="px-4 py-3 text-sm">{node.models === null ? 'Not read yet.' : node.models.join(', ') || 'None.'}</p>
      </Panel>
    </Page>
  )
}

function Models({ node }: { readonly node: FleetNode }) {
  if (node.runners.length === 0) return <EmptyState title="Nothing was asked of this node yet" />
  const loaded = new Map(node.loaded.map((each) => [each.model, each]))
  return (
    <Table
      label="Models in memory"
      rows={node.runners}
      rowKey={({ model }) => model}
      columns={[
        { name: 'Model', cell: ({ model }) => model },
        {
          name: 'State',
          cell: ({ resident, loading }) =>
            loading === null ? (resident ? 'in memory' : 'not in memory') : `loading, about ${formatMs(loading.remainingMs)} more`,
        },
        {
          name: 'Under way',
          number: true,
          cell: ({ inFlight, standing }) => (standing === 0 ? inFlight : `${inFlight}, ${standing} standing still`),
        },
        { name: 'Slots', number: true, cell: ({ slots, slotsFrom }) => (slots === null ? 'no limit' : `${slots} ${slotsFrom}`) },
        { name: 'VRAM', number: true, cell: ({ model }) => formatBytes(loaded.get(model)?.vramBytes ?? 0) },
        { name: 'Context', number: true, cell: ({ model }) => loaded.get(model)?.contextLength ?? dash },
        { name: 'Unloads', cell: ({ model }) => expiryOf(loaded.get(model)?.expiresAt) },
      ]}
    />
  )
}

function expiryOf(expiresAt: string | null | undefined): string {
  if (expiresAt === undefined) return dash
  return expiresAt === null ? 'never' : formatDistance(expiresAt, Date.now())
}

function Drift({ state: { fleet } }: { readonly state: LiveState }) {
  if (fleet.drift.length === 0) return null
  return (
    <Panel title="Models that differ between nodes" note="Pull them again on all nodes, else answers depend on where a request goes.">
      <Table
        label="Models that differ between nodes"
        rows={fleet.drift}
        rowKey={({ model }) => model}
        columns={[
          { name: 'Model', cell: ({ model }) => model },
          {
            name: 'Digest: nodes',
            cell: ({ digests }) =>
              Object.entries(digests)
                .map(([digest, nodes]) => `${digest.slice(0, 12)}: ${nodes.join(', ')}`)
                .join(' · '),
          },
        ]}
      />
    </Panel>
  )
}
