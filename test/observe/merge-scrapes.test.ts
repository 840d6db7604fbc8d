// Several scrapes as one: no series twice, counts added, states told once.

import { expect, test } from 'vitest'

import { gaugesByWay } from '../../src/observe/gauge-ways.ts'
import { mergeScrapes } from '../../src/observe/merge-scrapes.ts'
import { createFamilies } from '../../src/observe/metric-list.ts'

const scrape = (requests: number, more = ''): string => `# HELP corral_requests_total Requests.
# TYPE corral_requests_total counter
corral_requests_total{model="a b",outcome="ok"} ${requests}
# HELP corral_wait_seconds Wait.
# TYPE corral_wait_seconds histogram
corral_wait_seconds_bucket{le="0.1"} ${requests}
corral_wait_seconds_bucket{le="+Inf"} ${requests}
corral_wait_seconds_sum 0.5
corral_wait_seconds_count ${requests}
# HELP corral_node_up Up.
# TYPE corral_node_up gauge
corral_node_up{node="n"} 1
# HELP corral_queue_depth Depth.
# TYPE corral_queue_depth gauge
corral_queue_depth{pool="m"} 2
${more}`

test('counts are added, what is outside is told once, what each holds is added', () => {
  const lines = mergeScrapes([scrape(3), scrape(4)], [], 'text').split('\n')
  expect(lines).toEqual(scrape(7).replace('sum 0.5', 'sum 1').replace('depth{pool="m"} 2', 'depth{pool="m"} 4').split('\n'))
})

test('a series that only one of them has stands with its family', () => {
  const other = scrape(1).replace('outcome="ok"} 1', 'outcome="ok"} 1\ncorral_requests_total{model="z",outcome="ok"} 9')
  const lines = mergeScrapes([scrape(3), other]).split('\n')
  expect(lines.slice(2, 4)).toEqual([
    'corral_requests_total{model="a b",outcome="ok"} 4',
    'corral_requests_total{model="z",outcome="ok"} 9',
  ])
  expect(lines.filter((line) => line.startsWith('# TYPE corral_requests_total'))).toHaveLength(1)
})

test('of one that is gone only the counts stay', () => {
  const lines = mergeScrapes([scrape(3)], [scrape(4)]).split('\n')
  expect(lines).toContain('corral_requests_total{model="a b",outcome="ok"} 7')
  expect(lines).toContain('corral_wait_seconds_count 7')
  expect(lines).toContain('corral_queue_depth{pool="m"} 2')
})

test('one alone says the same', () => {
  const only = scrape(5, '# EOF\n')
  expect(mergeScrapes([only])).toBe(only)
  expect(mergeScrapes([only, only]).endsWith('# EOF\n')).toBe(true)
})

const gaugeScrape = (name: string, series: readonly string[]): string =>
  [`# TYPE ${name} gauge`, ...series.map((each) => `${name}${each}`), ''].join('\n')

/** The series that are left, without their name. */
function mergedGauge(name: string, ...scrapes: readonly (readonly string[])[]): string[] {
  const lines = mergeScrapes(scrapes.map((series) => gaugeScrape(name, series))).split('\n')
  return lines.filter((line) => line.startsWith(name)).map((line) => line.slice(name.length))
}

const circuit = (node: string, now: string): string[] =>
  ['closed', 'half_open', 'open'].map((state) => `{node="${node}",state="${state}"} ${state === now ? 1 : 0}`)

test.each([
  [['closed', 'open', 'closed'], 'open'],
  [['half_open', 'closed', 'closed'], 'half_open'],
  [['half_open', 'open', 'closed'], 'open'],
  [['closed', 'closed', 'closed'], 'closed'],
])('of circuit states %j one stands, the worst: %s', (states, worst) => {
  const scrapes = states.map((state) => [...circuit('a,state=\\"open\\"', 'closed'), ...circuit('b', state)])
  expect(mergedGauge('corral_node_circuit_state', ...scrapes)).toEqual([...circuit('a,state=\\"open\\"', 'closed'), ...circuit('b', worst)])
})

test.each(['corral_redis_up', 'corral_config_last_reload_successful', 'corral_dependency_up{dependency="database"}'])(
  '%s is 0 as soon as one process says so, whichever is asked',
  (series) => {
    const [name = '', labels = ''] = series.split(/(?=\{)/)
    expect(mergedGauge(name, [`${labels} 1`], [`${labels} 0`], [`${labels} 1`])).toEqual([`${labels} 0`])
    expect(mergedGauge(name, [`${labels} 0`], [`${labels} 1`])).toEqual([`${labels} 0`])
  },
)

test('a node is up as soon as one process reaches it', () => {
  expect(mergedGauge('corral_node_up', ['{node="a"} 0'], ['{node="a"} 1'])).toEqual(['{node="a"} 1'])
})

test('every gauge of the list has its way, once', () => {
  const gauges = Object.values(createFamilies()).filter(({ type }) => type === 'gauge')
  expect(Object.values(gaugesByWay).flat().toSorted()).toEqual(gauges.map(({ name }) => name).toSorted())
})
