/** Instead of the overview while no node has ever answered: which URLs were tried, why each failed, and what to do about it. */
import { isLoopback } from '../../base/loopback.ts'
import type { FleetNode, LiveState } from '../api/shapes.ts'
import { Snippet } from '../parts/copy.tsx'
import { Page, Panel } from '../parts/page.tsx'
import { Table } from '../parts/table.tsx'
import { Link } from '../router.tsx'

export function FirstRun({ state: { fleet } }: { readonly state: LiveState }) {
  return (
    <Page
      title="No Ollama answers yet"
      lead="Corral runs and tries each node again every second. As soon as one answers, this page turns into the overview."
    >
      <Panel title="What was tried">
        {fleet.nodes.length === 0 ? (
          <p className="px-4 py-3">No node is configured.</p>
        ) : (
          <Table
            label="What was tried"
            rows={fleet.nodes}
            rowKey={({ name }) => name}
            columns={[
              { name: 'URL', cell: ({ url }) => <code>{url}</code> },
              { name: 'What happened', cell: ({ downReason }) => downReason ?? 'not tried yet' },
              { name: 'What helps', cell: adviceFor },
            ]}
          />
        )}
      </Panel>
      <Panel title="Next steps">
        <div className="grid gap-4 p-4 lg:grid-cols-2">
          <Snippet title="Start an Ollama on this machine" text="ollama serve" />
          <Snippet title="Or name the nodes you have" text="CORRAL_NODES=http://gpu-1:11434,http://gpu-2:11434 npm start" />
          <Snippet title="Check from where Corral runs" text={`curl ${fleet.nodes[0]?.url ?? 'http://127.0.0.1:11434'}/api/version`} />
          <p className="self-end text-quiet">
            A node can also be{' '}
            <Link to="fleet" className="link">
              added on the fleet page
            </Link>{' '}
            until the next restart.
          </p>
        </div>
      </Panel>
    </Page>
  )
}

function adviceFor({ downReason, url }: FleetNode): string {
  const reason = downReason ?? ''
  if (/refused/i.test(reason)) {
    const advice = 'Nothing listens there: start Ollama, or check the port.'
    return isLoopback(new URL(url).hostname)
      ? `${advice} In a container this address is the container itself: use http://host.docker.internal:11434.`
      : advice
  }
  if (/host name|getaddrinfo/i.test(reason)) return 'The name is unknown here: check its spelling and DNS.'
  if (/timeout|timed out/i.test(reason))
    return 'No answer in time: a firewall, or an Ollama that listens on 127.0.0.1 only (set OLLAMA_HOST=0.0.0.0 there).'
  if (/unreach/i.test(reason)) return 'There is no way to that network from here.'
  return 'Ask the URL with the command below from where Corral runs.'
}
