/** Documents, searches and cited answers. */
import type { DashboardHead } from './dashboard.ts'
import { p95, rateBy, rates } from './of-metric.ts'
import { figure, heatmap, lines, type Panel, row, stack } from './panel.ts'
import { heat, perSecond, pick, quantile, share } from './promql.ts'

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
    ...outcomes(),
    ...progress(),
  ]
}

function outcomes(): Panel[] {
  return [
    stack({
      title: 'Documents by outcome',
      description: 'Per second. `unchanged` and `duplicate` cost no embedding.',
      queries: [rateBy('outcome', 'corral_documents_total')],
    }),
    stack({
      title: 'Documents by kind',
      description: 'Per second, whatever became of them.',
      queries: [rateBy('kind', 'corral_documents_total')],
    }),
    rates('reason', 'corral_job_failures_total', {
      title: 'Failures by reason',
      description: 'Attempts per second that did not reach the end; each code has its section in docs/errors.md. Some are tried again.',
    }),
  ]
}

function progress(): Panel[] {
  return [
    lines({
      title: 'Until the queue is empty',
      description: 'Jobs that wait or run over documents a second. Nothing is shown while none is done.',
      queries: [
        {
          expr: share(`sum(max by (state) (${pick('corral_jobs', 'state=~"queued|running"')}))`, perSecond('', 'corral_documents_total')),
          legend: 'left',
        },
      ],
      unit: 's',
    }),
    p95('state', 'corral_job_duration_seconds', {
      title: 'Attempts p95',
      description: 'At ingest jobs, by how they left the job.',
    }),
    lines({
      title: 'Wait for the first attempt',
      description: 'From the upload on.',
      queries: [0.5, 0.95].map((at) => ({ expr: quantile(at, '', 'corral_job_wait_seconds'), legend: `p${at * 100}` })),
      unit: 's',
    }),
    lines({
      title: 'Chunks written',
      description: 'Per second.',
      queries: [{ expr: perSecond('', 'corral_chunks_total'), legend: 'chunks' }],
    }),
    lines({
      title: 'Bytes of documents written',
      description: 'Per second.',
      queries: [{ expr: perSecond('', 'corral_ingest_bytes_total'), legend: 'bytes' }],
      unit: 'Bps',
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
    heatmap({
      title: 'Score of the first hit',
      description: 'Of searches that the cache did not answer. A cloud that sinks: questions drift away from the documents.',
      queries: [{ expr: heat('corral_retrieval_top_score'), legend: '{{le}}' }],
    }),
    heatmap({
      title: 'Hits of a search',
      description: 'Of searches that the cache did not answer.',
      queries: [{ expr: heat('corral_retrieval_results'), legend: '{{le}}' }],
    }),
    lines({
      title: 'Bytes of the index',
      description: 'Tables of documents with their indexes.',
      queries: [{ expr: `max(${pick('corral_index_bytes')})`, legend: 'bytes' }],
      unit: 'bytes',
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
    stack({
      title: 'Passages that command',
      description:
        'Per second: passages given to a model that look as if they commanded it, and places where an answer would have told its instructions.',
      queries: [
        { expr: perSecond('', 'corral_rag_passages_total', 'injection="suspected"'), legend: 'suspected' },
        { expr: perSecond('', 'corral_prompt_withheld_total'), legend: 'withheld' },
      ],
      unit: 'cps',
    }),
  ]
}
