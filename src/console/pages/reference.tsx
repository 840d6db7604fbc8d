/** The reference of the API, where each route can be tried: those of `/rag` as the gateway describes them, the others from our own list. */
import { useQuery } from '@tanstack/react-query'
import { memo, type ReactNode, useDeferredValue, useEffect, useRef, useState } from 'react'

import { getJson } from '../api/client.ts'
import { type ApiDescription, type Operation, operationsOf, type OperationOf } from '../api/openapi.ts'
import { type RouteGroup, routeGroups } from '../api/own-routes.ts'
import { atGateway } from '../api/place.ts'
import { triedOperation, triedOwnRoute } from '../api/tried-request.ts'
import { Field } from '../parts/field.tsx'
import { Loaded } from '../parts/loaded.tsx'
import { EmptyState } from '../parts/notices.tsx'
import { Page, Panel } from '../parts/page.tsx'
import { setQuery, useLocation } from '../router.tsx'
import { SchemaView } from './schema-view.tsx'
import { TryRoute } from './try-route.tsx'

export default function Reference() {
  const { query } = useLocation()
  const sought = query.get('q') ?? ''
  const read = useQuery({
    queryKey: ['openapi'],
    queryFn: ({ signal }) => getJson<ApiDescription>('/rag/openapi.json', signal),
    staleTime: Infinity,
  })
  return (
    <Page
      title="API"
      lead="Every route of this gateway, with the scope it asks for. Open one for its fields, and to try it with your session."
      actions={
        <a className="button" href={atGateway('/rag/openapi.json')} download="corral-openapi.json">
          OpenAPI file
        </a>
      }
    >
      <div className="max-w-sm">
        <Field label="Search" type="search" value={sought} onChange={({ target }) => setQuery({ q: target.value })} />
      </div>
      <Loaded read={read} what="the description">
        {() => null}
      </Loaded>
      {/* The field shows each letter at once; the routes follow when there is time. */}
      <Routes description={read.data} sought={useDeferredValue(sought)} />
    </Page>
  )
}

interface RoutesProps {
  readonly description: ApiDescription | undefined
  readonly sought: string
}

const Routes = memo(function Routes({ description, sought }: RoutesProps) {
  const words = sought.toLowerCase().split(/\s+/)
  const described = operationsOf(description).filter(({ method, path, operation }) => has(words, `${method} ${path} ${operation.summary}`))
  const groups = routeGroups.flatMap((group) => {
    const routes = group.routes.filter(([route, effect]) => has(words, `${route} ${effect}`))
    return routes.length === 0 ? [] : [{ ...group, routes }]
  })
  return (
    <>
      {described.length === 0 ? null : <DescribedRoutes operations={described} />}
      {groups.map((group) => (
        <Group key={group.title} group={group} />
      ))}
      {described.length + groups.length === 0 ? (
        <div className="panel">
          <EmptyState title="No route matches">The search looks in methods, paths and what they do.</EmptyState>
        </div>
      ) : null}
    </>
  )
})

function has(words: readonly string[], text: string): boolean {
  const lower = text.toLowerCase()
  return words.every((word) => lower.includes(word))
}

function DescribedRoutes({ operations }: { readonly operations: readonly OperationOf[] }) {
  return (
    <Panel title="Documents, search, answers" note="Reading asks for rag:read, changing for rag:write.">
      <ul>
        {operations.map((described) => (
          <Entry key={`${described.method} ${described.path}`} {...described} effect={described.operation.summary} scope="">
            {() => (
              <>
                <TryRoute route={triedOperation(described)} />
                <Fields operation={described.operation} />
              </>
            )}
          </Entry>
        ))}
      </ul>
    </Panel>
  )
}

function Group({ group: { title, note, routes } }: { readonly group: RouteGroup }) {
  return (
    <Panel title={title} note={note}>
      <ul>
        {routes.map(([route, effect, scope]) => {
          const [method = '', path = ''] = route.split(' ')
          return (
            <Entry key={route} method={method} path={path} effect={effect} scope={scope}>
              {() => <TryRoute route={triedOwnRoute(route, scope)} />}
            </Entry>
          )
        })}
      </ul>
    </Panel>
  )
}

interface EntryProps {
  readonly method: string
  readonly path: string
  readonly effect: string
  readonly scope: string
  /** What is shown of it when it is open; made only then: all of them together are most of the page. */
  readonly children: () => ReactNode
}

/** A route, which opens. The one opened last is in the address. */
function Entry({ method, path, effect, scope, children }: EntryProps) {
  const name = `${method} ${path}`
  const element = useRef<HTMLLIElement>(null)
  const [isOpen, setIsOpen] = useState(() => routeInAddress() === name)
  const wasOpen = useRef(isOpen)
  useEffect(() => {
    if (wasOpen.current) element.current?.scrollIntoView({ block: 'start' })
  }, [])
  const toggle = (now: boolean): void => {
    if (now === isOpen) return
    setIsOpen(now)
    if (now || routeInAddress() === name) setQuery({ route: now ? name : '' })
  }
  return (
    <li ref={element} className="border-b border-line last:border-b-0">
      <details className="group" open={isOpen} onToggle={({ currentTarget }) => toggle(currentTarget.open)}>
        <summary className="flex flex-wrap items-baseline gap-x-3 px-4 py-2 hover:bg-raised/50 xl:grid xl:grid-cols-[26rem_1fr_auto]">
          <code className="text-sm wrap-anywhere">
            <span aria-hidden="true" className="mr-2 inline-block text-quiet group-open:rotate-90">
              ›
            </span>
            <span className="inline-block min-w-14 font-semibold">{method}</span> {path}
          </code>
          <span className="text-sm text-quiet">{effect}</span>
          {scope === '' ? null : <span className="ml-auto text-xs whitespace-nowrap text-quiet">{scope}</span>}
        </summary>
        {isOpen ? <div className="flex flex-col gap-5 px-4 pt-2 pb-5">{children()}</div> : null}
      </details>
    </li>
  )
}

function routeInAddress(): string | null {
  return new URLSearchParams(window.location.search).get('route')
}

/** What it takes beside what it answers. */
function Fields({ operation: { requestBody, responses } }: { readonly operation: Operation }) {
  const answers = Object.entries(responses).filter(([status]) => status !== 'default')
  return (
    <div className="grid items-start gap-x-6 gap-y-4 border-t border-line pt-4 xl:grid-cols-2">
      <div className="flex min-w-0 flex-col gap-4">
        {Object.entries(requestBody?.content ?? {}).map(([type, { schema }]) => (
          <SchemaView key={type} title="Body" type={type} schema={schema} />
        ))}
      </div>
      <div className="flex min-w-0 flex-col gap-4">
        {answers.map(([status, { description, content = {} }]) =>
          Object.keys(content).length === 0 ? (
            <p key={status} className="text-sm">
              <span className="font-medium">Answer {status}</span> <span className="text-quiet">{description}</span>
            </p>
          ) : (
            Object.entries(content).map(([type, { schema }]) => (
              <SchemaView key={`${status} ${type}`} title={`Answer ${status}`} type={type} schema={schema} />
            ))
          ),
        )}
      </div>
    </div>
  )
}
