/** The reference of the API: the routes of `/rag` as the gateway describes them, those of Ollama and the operator from our own list. */
import { useQuery } from '@tanstack/react-query'
import { memo, useDeferredValue, useState } from 'react'

import { getJson } from '../api/client.ts'
import { type ApiDescription, type Operation, operationsOf, type OperationOf } from '../api/openapi.ts'
import { type RouteGroup, routeGroups } from '../api/own-routes.ts'
import { Snippet } from '../parts/copy.tsx'
import { Field } from '../parts/field.tsx'
import { Loaded } from '../parts/loaded.tsx'
import { EmptyState } from '../parts/notices.tsx'
import { Page, Panel } from '../parts/page.tsx'
import { Table } from '../parts/table.tsx'
import { setQuery, useLocation } from '../router.tsx'
import { SchemaView } from './schema-view.tsx'

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
      lead="Every route of this gateway. With keys, each asks for the scope named here."
      actions={
        <a className="button" href="/rag/openapi.json" download="corral-openapi.json">
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
    <Panel title="Documents, search, answers" note="Reading asks for rag:read, changing for rag:write. Open a route for its fields.">
      <ul>
        {operations.map(({ method, path, operation }) => (
          <li key={`${method} ${path}`} className="border-b border-line last:border-b-0">
            <DescribedRoute method={method} path={path} operation={operation} />
          </li>
        ))}
      </ul>
    </Panel>
  )
}

/** What a route takes and answers is made when it is opened: all of them together are most of the page. */
function DescribedRoute({ method, path, operation }: OperationOf) {
  const [open, setOpen] = useState(false)
  return (
    <details open={open} onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary className="flex flex-wrap items-baseline gap-x-3 px-4 py-2 hover:bg-raised/50">
        <RouteName method={method} path={path} />
        <span className="text-sm text-quiet">{operation.summary}</span>
      </summary>
      {open ? <Details method={method} path={path} operation={operation} /> : null}
    </details>
  )
}

function RouteName({ method, path }: { readonly method: string; readonly path: string }) {
  return (
    <code className="text-sm wrap-anywhere">
      <span className="inline-block min-w-14 font-semibold">{method}</span> {path}
    </code>
  )
}

function curlOf(method: string, path: string, operation: Operation): string {
  const content = Object.keys(operation.requestBody?.content ?? {})
  const verb = method === 'GET' ? '' : `-X ${method} `
  const body = content.includes('application/json') ? " \\\n  -H 'Content-Type: application/json' -d '{}'" : ''
  return `curl ${verb}'${window.location.origin}${path}' -H 'Authorization: Bearer corral_…'${body}`
}

function Details({ method, path, operation }: OperationOf) {
  const { parameters = [], requestBody, responses } = operation
  return (
    <div className="flex flex-col gap-4 px-4 pt-1 pb-4">
      <Snippet title="Request" text={curlOf(method, path, operation)} />
      {parameters.length === 0 ? null : (
        <div>
          <h3 className="text-sm font-medium">Parameters</h3>
          <dl className="grid gap-x-4 gap-y-1 text-sm sm:grid-cols-[max-content_1fr]">
            {parameters.map(({ name, in: place, description }) => (
              <div key={`${place} ${name}`} className="contents">
                <dt>
                  <code>{name}</code> <span className="text-quiet">{place}</span>
                </dt>
                <dd className="text-quiet">{description ?? 'Part of the path.'}</dd>
              </div>
            ))}
          </dl>
        </div>
      )}
      {Object.entries(requestBody?.content ?? {}).map(([type, { schema }]) => (
        <SchemaView key={type} title="Body" type={type} schema={schema} />
      ))}
      {Object.entries(responses)
        .filter(([status]) => status !== 'default')
        .map(([status, { description, content = {} }]) =>
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
  )
}

function Group({ group: { title, note, routes } }: { readonly group: RouteGroup }) {
  return (
    <Panel title={title} note={note}>
      <Table
        label={title}
        rows={routes}
        rowKey={([route]) => route}
        columns={[
          { name: 'Route', cell: ([route]) => <RouteName method={route.split(' ')[0] ?? ''} path={route.split(' ')[1] ?? ''} /> },
          { name: 'What it does', cell: ([, effect]) => effect },
          { name: 'Scope', cell: ([, , scope]) => <span className="whitespace-nowrap text-quiet">{scope}</span> },
        ]}
      />
    </Panel>
  )
}
