/**
 * Every recorded exchange through a gateway before one node: its answer is the one that the node gives, or the one that is
 * listed for it (`replay/gateway-differences.ts`).
 */
import { expect, it } from 'vitest'

import { gatewayDifferences } from './replay/gateway-differences.ts'
import { groupsOf, preludeOf } from './replay/play.ts'
import { playThroughGateway } from './replay/through-gateway.ts'
import { readTranscripts, transcriptCount } from './replay/transcript.ts'

const transcripts = readTranscripts()
const groups = groupsOf(transcripts, 1).map((group) => ({ group, title: `${group[0]?.group} on ${group[0]?.server}` }))

it('plays all exchanges, and lists differences of these alone', () => {
  expect(groups.flatMap(({ group }) => group)).toHaveLength(transcriptCount)
  const numbers = new Set(transcripts.map(({ number }) => number))
  expect([...gatewayDifferences.keys()].filter((number) => !numbers.has(number))).toEqual([])
})

it.each(groups)(
  'answers as the node in $title',
  async ({ group }) => {
    expect(await playThroughGateway(group, preludeOf(group, transcripts))).toEqual([])
  },
  60_000,
)
