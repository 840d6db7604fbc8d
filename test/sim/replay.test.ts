/**
 * Every recorded exchange with a real Ollama, played against a simulated node that has read none of them. Groups keep their
 * inner order; groups do not depend on each other and are shuffled. A second run uses other names and other prompts.
 */
import { afterAll, describe, expect, it } from 'vitest'
import { groupsOf, playGroup, runs } from './replay/play.ts'
import { readTranscripts } from './replay/transcript.ts'

const transcripts = readTranscripts()
const created = transcripts.filter((transcript) => transcript.group === 'create')
const afterCreate = new Set(['chat', 'openai', 'anthropic', 'registry', 'cors', 'failure'])

describe.each(runs)('the recorded exchanges, $title', (run) => {
  let passed = 0
  afterAll(() => {
    process.stdout.write(`replay ${run.title}: ${passed} of ${transcripts.length} exchanges\n`)
  })

  it.each(groupsOf(transcripts, run.seed).map((group) => ({ group, title: `${group[0]?.group} on ${group[0]?.server}` })))(
    'match in $title',
    async ({ group }) => {
      const variants = group[0]?.server === 'default' && afterCreate.has(group[0].group)
      const problems = await playGroup(group, variants ? created : [], run)
      passed += group.length - problems.length
      expect(problems).toEqual([])
    },
    60_000,
  )
})
