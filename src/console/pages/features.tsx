/** Capabilities, on or off, switched after a question; where one cannot be switched here, why. */
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'

import type { FeatureState } from '../../core/operator-settings.ts'
import { change } from '../api/client.ts'
import { formatDistance } from '../format.ts'
import { Confirm } from '../parts/dialog.tsx'
import { ErrorState } from '../parts/notices.tsx'
import { Panel } from '../parts/page.tsx'
import { StateBadge } from '../parts/state-badge.tsx'
import { Table } from '../parts/table.tsx'

interface Wish {
  readonly feature: FeatureState
  /** Null: as configured again. */
  readonly on: boolean | null
}

export function Features({ features }: { readonly features: readonly FeatureState[] }) {
  const [wish, setWish] = useState<Wish | null>(null)
  return (
    <Panel title="Capabilities" note={`${features.filter(({ on }) => on).length} of ${features.length} on`}>
      <Table
        label="Capabilities"
        rows={features}
        rowKey={({ name }) => name}
        columns={[
          {
            name: 'Capability',
            cell: ({ name, meaning }) => (
              <span className="xl:flex">
                <span className="block font-medium xl:w-40 xl:shrink-0">{name}</span>
                <span className="block min-w-28 text-quiet">{meaning}</span>
              </span>
            ),
          },
          { name: 'State', cell: ({ on }) => <StateBadge tone={on ? 'ok' : 'quiet'}>{on ? 'on' : 'off'}</StateBadge> },
          { name: 'From', wideOnly: true, cell: (feature) => <Origin of={feature} /> },
          { name: 'Actions', cell: (feature) => <Actions of={feature} onWish={(on) => setWish({ feature, on })} /> },
        ]}
      />
      {wish === null ? null : <Switch wish={wish} onClose={() => setWish(null)} />}
    </Panel>
  )
}

function Origin({ of: { origin, switchedAt, kept } }: { readonly of: FeatureState }) {
  return (
    <>
      <span className="block">{origin}</span>
      {switchedAt === null ? null : (
        <span className="text-xs text-quiet">
          {formatDistance(switchedAt, Date.now())}
          {kept === false ? ', until this process ends' : ', on all replicas'}
        </span>
      )}
    </>
  )
}

function Actions({ of: feature, onWish }: { readonly of: FeatureState; readonly onWish: (on: boolean | null) => void }) {
  if (!feature.switchable) return <span className="block min-w-36 xl:max-w-96 text-quiet">{feature.reason}</span>
  const verb = feature.on ? 'Switch off' : 'Switch on'
  return (
    <span className="flex flex-wrap gap-2">
      <button type="button" className="button button-small" aria-label={`${verb} ${feature.name}`} onClick={() => onWish(!feature.on)}>
        {verb}
      </button>
      {feature.switchedAt === null ? null : (
        <button type="button" className="button button-small" aria-label={`Reset ${feature.name}`} onClick={() => onWish(null)}>
          Reset
        </button>
      )}
    </span>
  )
}

function titleOf({ feature, on }: Wish): string {
  if (on === null) return `Reset ${feature.name} to the configuration?`
  return `Switch ${feature.name} ${on ? 'on' : 'off'}?`
}

function Switch({ wish, onClose }: { readonly wish: Wish; readonly onClose: () => void }) {
  const { feature, on } = wish
  const client = useQueryClient()
  const path = `/admin/features/${encodeURIComponent(feature.name)}`
  const switching = useMutation({
    mutationFn: () => (on === null ? change<FeatureState>('DELETE', path) : change<FeatureState>('PUT', path, { on })),
    onSuccess: () => {
      onClose()
      void client.invalidateQueries({ queryKey: ['settings'] })
    },
  })
  return (
    <Confirm
      title={titleOf(wish)}
      action={on === null ? 'Reset' : on ? 'Switch on' : 'Switch off'}
      busy={switching.isPending}
      onConfirm={() => switching.mutate()}
      onClose={onClose}
    >
      <p>
        {feature.name}: {feature.meaning}.
      </p>
      {feature.name === 'console' && feature.on ? (
        <p className="mt-2 text-bad">
          This page is gone then. <code>corral features on console</code> brings it back.
        </p>
      ) : null}
      <p className="mt-2 text-quiet">
        {on === null
          ? `The configuration says ${feature.configured ? 'on' : 'off'}.`
          : 'It takes effect at once and outranks the configuration until it is reset here.'}{' '}
        What was switched is in the audit log.
      </p>
      {switching.error === null ? null : <ErrorState error={switching.error} />}
    </Confirm>
  )
}
