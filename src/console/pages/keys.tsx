/** Keys: who may do what, until when, used when last; made, rotated, revoked and for a while restored here. A key's text is shown once. */
import { useInfiniteQuery, useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'

import { change, getJson } from '../api/client.ts'
import type { Key } from '../api/shapes.ts'
import { formatClock, formatDateTime, formatDistance } from '../format.ts'
import { Confirm } from '../parts/dialog.tsx'
import { Loaded } from '../parts/loaded.tsx'
import { EmptyState, ErrorState } from '../parts/notices.tsx'
import { Page, Panel } from '../parts/page.tsx'
import { useIsPast } from '../parts/past.ts'
import { ShowMore, type ShowMoreProps } from '../parts/show-more.tsx'
import { StateBadge } from '../parts/state-badge.tsx'
import { Table } from '../parts/table.tsx'
import { useSession } from '../session.ts'
import { CreateKey } from './create-key.tsx'
import { KeyShown } from './key-shown.tsx'

const queryKey = ['keys']
const base = '/admin/keys?limit=200'

interface KeyPage {
  readonly keys: readonly Key[]
  readonly next: string | null
}

type Open =
  { readonly kind: 'create' } | { readonly kind: 'revoke' | 'rotate'; readonly key: Key } | { readonly kind: 'shown'; readonly key: Key }

export default function Keys() {
  const client = useQueryClient()
  const [open, setOpen] = useState<Open | null>(null)
  const read = useInfiniteQuery({
    queryKey,
    queryFn: ({ pageParam, signal }) =>
      getJson<KeyPage>(pageParam === '' ? base : `${base}&before=${encodeURIComponent(pageParam)}`, signal),
    initialPageParam: '',
    getNextPageParam: ({ next }) => next,
  })
  /** Revoked a moment ago. */
  const [gone, setGone] = useState<Key | null>(null)
  const changed = (next: Open | null): void => {
    setOpen(next)
    void client.invalidateQueries({ queryKey })
  }
  return (
    <Page
      title="Keys"
      lead="One key per application or person, with no more rights than it needs."
      actions={
        <button type="button" className="button button-strong" onClick={() => setOpen({ kind: 'create' })}>
          Create a key
        </button>
      }
    >
      {gone === null ? null : <JustRevoked key={gone.id} target={gone} onClose={() => setGone(null)} />}
      <Loaded read={read} what="keys">
        {({ pages }) => (
          <KeyList
            keys={pages.flatMap(({ keys }) => keys)}
            more={read}
            onRotate={(key) => setOpen({ kind: 'rotate', key })}
            onRevoke={(key) => setOpen({ kind: 'revoke', key })}
          />
        )}
      </Loaded>
      {open?.kind === 'create' ? <CreateKey onClose={() => setOpen(null)} onMade={(key) => changed({ kind: 'shown', key })} /> : null}
      {open?.kind === 'shown' ? <KeyShown made={open.key} onClose={() => setOpen(null)} /> : null}
      {open?.kind === 'revoke' ? (
        <Revoke
          target={open.key}
          onClose={() => setOpen(null)}
          onDone={(key) => {
            setGone(key)
            changed(null)
          }}
        />
      ) : null}
      {open?.kind === 'rotate' ? (
        <Rotate target={open.key} onClose={() => setOpen(null)} onDone={(key) => changed({ kind: 'shown', key })} />
      ) : null}
    </Page>
  )
}

interface KeyListProps {
  readonly keys: readonly Key[]
  readonly more: ShowMoreProps
  readonly onRotate: (key: Key) => void
  readonly onRevoke: (key: Key) => void
}

function KeyList({ keys, more, onRotate, onRevoke }: KeyListProps) {
  if (keys.length === 0) {
    return (
      <div className="panel">
        <EmptyState title="There is no key yet">
          In mode open nobody needs one. Create one before you set identity.mode to keys, so that you can sign in afterwards.
        </EmptyState>
      </div>
    )
  }
  return (
    <Panel title="All keys" note={`${keys.length}${more.hasNextPage ? ' shown' : ''}`}>
      <Table
        label="All keys"
        rows={keys}
        rowKey={({ id }) => id}
        columns={[
          { name: 'Key', cell: (key) => <Which of={key} /> },
          { name: 'State', cell: (key) => <KeyState of={key} /> },
          { name: 'Scopes', cell: ({ scopes }) => <span className="block max-w-56">{scopes.join(', ')}</span> },
          { name: 'Models', wideOnly: true, cell: ({ models }) => models?.join(', ') ?? 'all' },
          { name: 'Limits', wideOnly: true, cell: limitsOf },
          {
            name: 'Last used',
            wideOnly: true,
            cell: ({ lastUsedAt }) => (lastUsedAt === null ? 'never' : formatDistance(lastUsedAt, Date.now())),
          },
          { name: 'Actions', cell: (key) => <Actions of={key} onRotate={onRotate} onRevoke={onRevoke} /> },
        ]}
      />
      <ShowMore {...more} />
    </Panel>
  )
}

function Which({ of: { id, title, tenant } }: { readonly of: Key }) {
  return (
    <>
      <span className="block font-medium">{title === '' ? 'untitled' : title}</span>
      <span className="text-xs text-quiet">
        <code>{id}</code> · {tenant}
      </span>
    </>
  )
}

function isOver({ expiresAt, revokedAt }: Key): boolean {
  return revokedAt !== null || (expiresAt !== null && Date.parse(expiresAt) <= Date.now())
}

function KeyState({ of: key }: { readonly of: Key }) {
  if (key.revokedAt !== null)
    return (
      <span title={`${formatDateTime(key.revokedAt)}: ${key.revokedReason ?? ''}`}>
        <StateBadge tone="bad">revoked</StateBadge>
      </span>
    )
  if (isOver(key)) return <StateBadge tone="warn">expired</StateBadge>
  return (
    <>
      <StateBadge tone="ok">valid</StateBadge>
      <span className="block text-xs text-quiet">
        {key.expiresAt === null ? 'without end' : `ends ${formatDistance(key.expiresAt, Date.now())}`}
      </span>
    </>
  )
}

function limitsOf({ limits }: Key): string {
  const parts = [
    [limits.requestsPerMinute, 'requests/min'],
    [limits.tokensPerMinute, 'tokens/min'],
    [limits.concurrency, 'at once'],
    [limits.gpuSecondsPerDay, 'GPU s/day'],
    [limits.gpuSecondsPerMonth, 'GPU s/month'],
  ].flatMap(([value, unit]) => (value === null ? [] : [`${value} ${unit}`]))
  return parts.length === 0 ? 'none' : parts.join(', ')
}

/** After a rotation two keys have one title. */
function nameOf({ title, id }: Key): string {
  return title === '' ? id : `${title} (${id})`
}

function Actions({ of: key, onRotate, onRevoke }: { readonly of: Key } & Omit<KeyListProps, 'keys' | 'more'>) {
  if (key.revokedAt !== null) return <Restore target={key} />
  if (isOver(key)) return null
  return (
    <span className="flex flex-wrap gap-2">
      {key.kind === 'secret' ? (
        <button type="button" className="button button-small" onClick={() => onRotate(key)} aria-label={`Rotate ${nameOf(key)}`}>
          Rotate
        </button>
      ) : null}
      <button type="button" className="button button-small" onClick={() => onRevoke(key)} aria-label={`Revoke ${nameOf(key)}`}>
        Revoke
      </button>
    </span>
  )
}

function useRestoring(target: Key) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: () => change<Key>('POST', `/admin/keys/${target.id}/restore`, {}),
    onSettled: () => client.invalidateQueries({ queryKey }),
  })
}

/** In the row of a key, while its revocation can still be taken back. */
function Restore({ target }: { readonly target: Key }) {
  const restoring = useRestoring(target)
  const isLate = useIsPast(target.restorableUntil ?? null)
  if (isLate) return null
  return (
    <>
      <button
        type="button"
        className="button button-small"
        disabled={restoring.isPending}
        aria-label={`Restore ${nameOf(target)}`}
        onClick={() => restoring.mutate()}
      >
        Restore
      </button>
      {restoring.error === null ? null : <ErrorState error={restoring.error} />}
    </>
  )
}

/** What was done a moment ago, and the way back while there is one. */
function JustRevoked({ target, onClose }: { readonly target: Key; readonly onClose: () => void }) {
  const restoring = useRestoring(target)
  const restorableUntil = target.restorableUntil ?? null
  const isLate = useIsPast(restorableUntil)
  return (
    <div className="panel flex flex-wrap items-center gap-x-4 gap-y-2 px-4 py-2.5">
      <p role="status" className="min-w-0 grow wrap-anywhere">
        {restoring.isSuccess ? (
          <>
            <strong>{nameOf(target)}</strong> works again.
          </>
        ) : (
          <>
            <strong>{nameOf(target)}</strong> is revoked: whoever uses it is refused.{' '}
            {isLate || restorableUntil === null ? null : (
              <span className="text-quiet">This can be undone until {formatClock(restorableUntil)}.</span>
            )}
          </>
        )}
      </p>
      {isLate || restoring.isSuccess ? null : (
        <button type="button" className="button button-strong" disabled={restoring.isPending} onClick={() => restoring.mutate()}>
          Undo
        </button>
      )}
      <button type="button" className="button" onClick={onClose}>
        Dismiss
      </button>
      {restoring.error === null ? null : (
        <div className="w-full">
          <ErrorState error={restoring.error} />
        </div>
      )}
    </div>
  )
}

interface RevokeProps {
  readonly target: Key
  readonly onClose: () => void
  readonly onDone: (revoked: Key) => void
}

function Revoke({ target, onClose, onDone }: RevokeProps) {
  const isOwn = useSession().data?.caller?.subject === target.id
  const revoking = useMutation({
    mutationFn: () => change<Key>('POST', `/admin/keys/${target.id}/revoke`, { reason: 'revoked in the console' }),
    onSuccess: onDone,
  })
  return (
    <Confirm
      title={`Revoke ${nameOf(target)}?`}
      action="Revoke"
      busy={revoking.isPending}
      onConfirm={() => revoking.mutate()}
      onClose={onClose}
    >
      <p>
        {isOwn
          ? 'It is the key of your session: you are signed out with it, and only another admin key can take that back.'
          : 'Whoever uses it is refused from now on. For ten minutes that can be undone here; afterwards a new key is needed.'}
      </p>
      {revoking.error === null ? null : <ErrorState error={revoking.error} />}
    </Confirm>
  )
}

function Rotate({ target, onClose, onDone }: { readonly target: Key; readonly onClose: () => void; readonly onDone: (key: Key) => void }) {
  const rotating = useMutation({ mutationFn: () => change<Key>('POST', `/admin/keys/${target.id}/rotate`, {}), onSuccess: onDone })
  return (
    <Confirm
      title={`Rotate ${nameOf(target)}?`}
      action="Make a new one"
      busy={rotating.isPending}
      onConfirm={() => rotating.mutate()}
      onClose={onClose}
    >
      <p>
        A new key with the same rights is made and shown once. The old one goes on working for the overlap (identity.keys.overlapMs), then
        ends.
      </p>
      {rotating.error === null ? null : <ErrorState error={rotating.error} />}
    </Confirm>
  )
}
