/**
 * Answers as they were given, and what readers think of them: the ground of analytics and of whatever learns from feedback. An answer is known by
 * the id of its request. Words (question and answer) are kept only where the operator wants it; rows go by age. Trouble with the log costs a
 * row and never an answer.
 */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'

import type { Clock } from '../base/clock.ts'
import type { Call } from '../core/call.ts'
import { CorralError } from '../core/errors.ts'
import type { Database, Transaction } from '../store/database.ts'
import type { FinishedAnswer } from './answer-stream.ts'
import type { AnswerRequest } from './answer.ts'

export interface AnswerLogDeps {
  readonly database: Database
  readonly clock: Clock
  readonly options: () => { readonly keepMs: number; readonly texts: boolean }
  readonly onTrouble: (message: string, cause: unknown) => void
}

export const feedbackWish = z.strictObject({
  rating: z.enum(['up', 'down']),
  comment: z.string().max(4_000).default(''),
  labels: z.array(z.string().min(1).max(64)).max(16).default([]),
})

export type FeedbackWish = z.infer<typeof feedbackWish>

export interface Feedback extends FeedbackWish {
  readonly id: string
  readonly answer: string
  /** Who gave it; null in open mode. */
  readonly subject: string | null
  readonly createdAtMs: number
}

const feedbackRow = z
  .object({
    id: z.string(),
    answer: z.string(),
    subject: z.string().nullable(),
    rating: z.enum(['up', 'down']),
    comment: z.string(),
    labels: z.array(z.string()),
    created_at: z.date(),
  })
  .transform(({ created_at: createdAt, ...rest }): Feedback => ({ ...rest, createdAtMs: createdAt.getTime() }))

const feedbackColumns = 'id, answer, subject, rating, comment, labels, created_at'
const feedbackPerAnswerMax = 100

export interface RatingsPage {
  readonly limit: number
  /** The last of the page before. */
  readonly after?: Pick<Feedback, 'createdAtMs' | 'id'>
}

/** By milliseconds, as what is read of a time has no more. */
const ratingsSql = `select ${feedbackColumns} from rag_feedback
  where tenant = $1 and answer = $2 and ($3::timestamptz is null or (date_trunc('milliseconds', created_at), id) < ($3::timestamptz, $4::text))
  order by date_trunc('milliseconds', created_at) desc, id desc limit $5`

/** Writes that wait for the store; more are dropped, so that a slow store holds no memory. */
const writesMax = 1_000

export class AnswerLog {
  readonly #deps: AnswerLogDeps
  readonly #writes = new Set<Promise<void>>()
  /** Answers to requests from before it are noted without their text. */
  #textsFromMs = -Infinity

  constructor(deps: AnswerLogDeps) {
    this.#deps = deps
  }

  /** Notes a finished answer; does not wait for the store. */
  note(finished: FinishedAnswer, asked: AnswerRequest, call: Call): void {
    if (this.#writes.size >= writesMax) return
    const write = this.#write(finished, asked, call)
      .catch((error: unknown) => this.#deps.onTrouble('an answer could not be noted', error))
      .finally(() => this.#writes.delete(write))
    this.#writes.add(write)
  }

  async #write({ summary, outcome }: FinishedAnswer, asked: AnswerRequest, { id, tenant, principal, receivedAtMs }: Call): Promise<void> {
    const { database, clock, options } = this.#deps
    const { texts } = options()
    const cited = summary.citations.map(({ collection, document, chunk }) => ({ collection, document, chunk }))
    const values = [
      tenant,
      id,
      principal.subject,
      asked.collections,
      asked.model,
      texts ? asked.question : null,
      texts && receivedAtMs > this.#textsFromMs ? summary.text : null,
      outcome.kind,
      summary.refused,
      summary.strength.probability,
      JSON.stringify(cited),
      summary.unsupported.length,
      Math.round(clock.nowMs() - receivedAtMs),
    ]
    const text = `insert into rag_answers
        (tenant, id, subject, collections, model, question, text, outcome, refused, strength, cited, unsupported, took_ms)
      values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb, $12, $13) on conflict do nothing`
    await database.tx({ tenant }, (transaction) => transaction.query(text, values), { name: 'write_answers' })
  }

  /** Keeps what somebody thinks of an answer; a subject's later word replaces its earlier one. Throws `answer_not_found`. */
  async rate(
    place: { readonly tenant: string; readonly answer: string; readonly subject: string | null },
    wish: FeedbackWish,
  ): Promise<Feedback> {
    await this.idle()
    const { tenant, answer, subject } = place
    return this.#deps.database.tx(
      { tenant },
      async (transaction) => {
        await this.#mustBe(transaction, place)
        const { rows } = await transaction.query(
          `insert into rag_feedback (tenant, id, answer, subject, rating, comment, labels)
          select $1, $2, $3, $4, $5, $6, $7::jsonb
          where (select count(*) from rag_feedback where tenant = $1 and answer = $3 and subject is distinct from $4) < $8
          on conflict (tenant, answer, subject) do update
            set rating = excluded.rating, comment = excluded.comment, labels = excluded.labels, created_at = now()
          returning ${feedbackColumns}`,
          [tenant, randomUUID(), answer, subject, wish.rating, wish.comment, JSON.stringify(wish.labels), feedbackPerAnswerMax],
        )
        if (rows[0] === undefined)
          throw new CorralError('conflict', `this answer has ${feedbackPerAnswerMax} ratings, which is all it may have`)
        return feedbackRow.parse(rows[0])
      },
      { name: 'rate_answer' },
    )
  }

  /** A page of what was said of an answer, newest first. Throws `answer_not_found`. */
  async ratings(place: { readonly tenant: string; readonly answer: string }, { after, limit }: RatingsPage): Promise<Feedback[]> {
    await this.idle()
    const { tenant, answer } = place
    const ended = after === undefined ? [null, null] : [new Date(after.createdAtMs).toISOString(), after.id]
    return this.#deps.database.tx(
      { tenant },
      async (transaction) => {
        await this.#mustBe(transaction, place)
        const { rows } = await transaction.query(ratingsSql, [tenant, answer, ...ended, limit])
        return rows.map((row) => feedbackRow.parse(row))
      },
      { name: 'read_ratings', readOnly: true },
    )
  }

  async #mustBe(transaction: Transaction, { tenant, answer }: { readonly tenant: string; readonly answer: string }): Promise<void> {
    const { rows } = await transaction.query('select 1 from rag_answers where tenant = $1 and id = $2', [tenant, answer])
    if (rows.length === 0)
      throw new CorralError('answer_not_found', `no answer ${answer.slice(0, 80)} is known: its id is the answer's "id"`)
  }

  /** Removes the texts of a tenant's answers, those under way here included; what was asked and what readers think stays. */
  async forgetTexts(tenant: string): Promise<void> {
    this.#textsFromMs = this.#deps.clock.nowMs()
    await this.idle()
    const text = 'update rag_answers set text = null where tenant = $1 and text is not null'
    await this.#deps.database.tx({ tenant }, (transaction) => transaction.query(text, [tenant]), { name: 'forget_answer_texts' })
  }

  /** Removes what is older than the operator keeps it. */
  async sweep(): Promise<void> {
    const before = new Date(this.#deps.clock.wallMs() - this.#deps.options().keepMs).toISOString()
    await this.#deps.database.tx(
      'system',
      (transaction) =>
        transaction.query(
          'delete from rag_answers where ctid = any(array(select ctid from rag_answers where created_at < $1 limit 10000))',
          [before],
        ),
      { name: 'sweep_answers' },
    )
  }

  /** Resolves when all that was noted is written. */
  async idle(): Promise<void> {
    await Promise.all(this.#writes)
  }
}
