/** Documents, searches and cited answers. */
import type { DashboardHead } from './dashboard.ts'
import { p95, rateBy, rates } from './of-metric.ts'
import { figure, lines, type Panel, row, stack } from './panel.ts'
import { perSecond, pick, share } from './promql.ts'

export const documents: DashboardHead = {
  uid: 'corral-documents',
  title: 'Corral / Documents and search',
  description: 'Ingest jobs, searches, and how well answers are grounded.',
  panels: [row('Ingest'), ...ingest(), row('Search'), ...search(), row('Answers'), ...answers()],
}

function ingest(): Panel[] {
  return [
    figure(
      {
        title: 'Failed jobs',
        description: 'Jobs that ended without their document. `corral jobs` tells why, and tries again.',
        queries: [{ expr: `max(${pick('corral_jobs', 'state="failed"')})` }],
      },
      [['green', 0], ['orange', 1]], // prettier-ignore
    ),
    figure(
      {
        title: 'Oldest waiting job',
        description: 'Older than minutes: the workers are behind, or no node embeds.',
        queries: [{ expr: `max(${pick('corral_job_oldest_age_seconds', 'state="queued"')})` }],
        unit: 's',
      },
      [['green', 0], ['orange', 300], ['red', 900]], // prettier-ignore
    ),
    lines({
      title: 'Jobs by state',
      description: 'Ingest jobs that are not over, or failed. Replicas on one store all report the same.',
      queries: [{ expr: `max by (state) (${pick('corral_jobs')})`, legend: '{{state}}' }],
      width: 16,
    }),
    stack({
      title: 'Documents by outcome',
      description:
        'Per second. `unchanged` and `duplicate` cost no embedding; why some `failed` is in `corral_job_failures_total` by reason.',
      queries: [rateBy('outcome', 'corral_documents_total')],
    }),
    p95('stage', 'corral_ingest_stage_seconds', {
      title: 'Ingest stages p95',
      description: 'Of jobs that passed them, the wait for their turn included.',
    }),
    rates('outcome', 'corral_embeddings_total', {
      title: 'Texts embedded',
      description: 'Per second, for documents.',
    }),
  ]
}

function search(): Panel[] {
  return [
    stack({
      title: 'Searches by result',
      description: 'Per second. `degraded`: one leg failed and the other answered alone.',
      queries: [rateBy('result', 'corral_searches_total')],
      unit: 'reqps',
    }),
    p95('stage', 'corral_retrieval_seconds', {
      title: 'Stages p95',
      description: 'Of searches that the cache did not answer.',
    }),
    lines({
      title: 'Size of the index',
      description: 'Documents and chunks that can be found.',
      queries: [
        { expr: `max(${pick('corral_index_documents')})`, legend: 'documents' },
        { expr: `max(${pick('corral_index_chunks')})`, legend: 'chunks' },
      ],
    }),
    lines(
      {
        title: 'Searches that found nothing',
        description: 'Share of searches. A rise: users ask what the documents do not tell, or an index is empty.',
        queries: [
          {
            expr: share(perSecond('', 'corral_searches_total', 'result="empty"'), perSecond('', 'corral_searches_total')),
            legend: 'empty',
          },
        ],
        unit: 'percentunit',
      },
      { max: 1 },
    ),
  ]
}

function answers(): Panel[] {
  return [
    stack({
      title: 'Grounded answers',
      description: 'Per second, by how they came about. `refused`: nothing that was found supports an answer.',
      queries: [rateBy('result', 'corral_rag_answers_total')],
      unit: 'reqps',
    }),
    rates('origin', 'corral_citations_total', {
      title: 'Citations',
      description: 'Per second, by how they got their place in the answer.',
    }),
    rates('reason', 'corral_citations_dropped_total', {
      title: 'Citations taken out',
      description: 'Per second, by reason: what the model claimed and its sources do not.',
    }),
  ]
}
