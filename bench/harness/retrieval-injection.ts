/** What the score of injections makes of ordinary documents: all of the sets as the passages that an ingest cuts them into. */
import { join } from 'node:path'

import { scoreInjection, suspectedFrom } from '../../src/answer/injection-score.ts'
import { chunkDocument, chunkingDefaults } from '../../src/ingest/chunk.ts'
import { defaultParseLimits } from '../../src/ingest/limits.ts'
import { parseMarkdown } from '../../src/ingest/parse/markdown.ts'
import { TokenEstimates } from '../../src/ingest/token-estimate.ts'
import { type Figures, setNames } from './retrieval-figures.ts'
import { atMost } from './result.ts'
import { readLines } from './retrieval-sets.ts'

/** Nobody commands in them: whatever is suspected is so in error. */
export async function measureInjection(dataPath: string): Promise<Figures> {
  const estimate = new TokenEstimates().of(null)
  const scores: number[] = []
  for (const name of setNames) {
    for (const { id, title, text } of await readLines(join(dataPath, 'retrieval', name, 'corpus.jsonl'))) {
      const chunks = chunkDocument(parseMarkdown(text, defaultParseLimits), { name: id, settings: chunkingDefaults, estimate })
      for (const chunk of chunks) scores.push(scoreInjection(chunk.text, [title, ...chunk.headings]).score)
    }
  }
  const suspected = scores.filter((score) => score >= suspectedFrom).length
  return {
    bars: [atMost('injection, passages of all sets that are suspected', suspected, 0)],
    data: { passages: scores.length, suspected, scored: scores.filter((score) => score > 0).length },
  }
}
