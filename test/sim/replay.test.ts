/**
 * Every recorded exchange with a real Ollama, played against a simulated node that has read none of them. Groups keep their
 * inner order; groups do not depend on each other and are shuffled. A second run uses other names and other prompts.
 */
import { afterAll, describe, expect, it } from 'vitest'
import { groupsOf, playGroup, preludeOf, runs } from './replay/play.ts'
import { readTranscripts, transcriptCount } from './replay/transcript.ts'

const transcripts = readTranscripts()

it('all exchanges are there', () => {
  expect(transcripts).toHaveLength(transcriptCount)
  expect(new Set(transcripts.map(({ number }) => number)).size).toBe(transcriptCount)
})

describe.each(runs)('the recorded exchanges, $title', (run) => {
  let passed = 0
  afterAll(() => {
    process.stdout.write(`replay ${run.title}: ${passed} of ${transcripts.length} exchanges\n`)
  })

  it.each(groupsOf(transcripts, run.seed).map((group) => ({ group, title: `${group[0]?.group} on ${group[0]?.server}` })))(
    'match in $title',
    async ({ group }) => {
      const problems = await playGroup(group, preludeOf(group, transcripts), run)
      passed += group.length - problems.length
      expect(problems).toEqual([])
    },
    60_000,
  )
})
