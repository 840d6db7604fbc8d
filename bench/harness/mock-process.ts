/**
 * Child process with several mock Ollamas, one port each: `node mock-process.ts COUNT`. Control calls: `ports`,
 * `set` (some settings of some nodes), `counters`, `reset`.
 */
import { serveControl } from './control.ts'
import { MockNode } from './mock-node.ts'
import { mockCommand, mockSettings } from './mock-settings.ts'

const nodes = Array.from({ length: Number(process.argv[2] ?? 1) }, () => new MockNode(mockSettings.parse({})))
for (const node of nodes) await node.open()

async function set(argument: unknown): Promise<void> {
  const command = mockCommand.parse(argument)
  const chosen = command.nodes === undefined ? nodes : nodes.filter((_, index) => command.nodes?.includes(index))
  await Promise.all(chosen.map((node) => node.apply(mockSettings.parse({ ...node.settings, ...command.settings }))))
}

serveControl({
  set,
  ports: () => nodes.map((node) => node.counters().port),
  counters: () => nodes.map((node) => node.counters()),
  reset: () => {
    for (const node of nodes) node.resetCounters()
  },
})
