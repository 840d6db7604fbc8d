/** The states of jobs that are not over: read page by page, newest first, and those that stand far behind one by one. */
import type { Gateway } from '../gateway.ts'
import { decodeRag, ragRequest, jobPage, jobView, type JobView } from './rag-api.ts'

const pagesMax = 3
/** Of those far behind, looked up in one round. */
const singlesMax = 32

/** Said by the one who shows how far all is. */
const quiet = (): void => {}

/** What is known now of the jobs with these ids. */
export async function lookUpJobs(gateway: Gateway, collection: string, ids: readonly string[]): Promise<readonly JobView[]> {
  const wanted = new Set(ids)
  const found: JobView[] = []
  let cursor = ''
  for (let page = 0; page < pagesMax && wanted.size > 0; page += 1) {
    const path = `/rag/jobs?collection=${encodeURIComponent(collection)}&limit=200${cursor}`
    const { jobs, next } = decodeRag(jobPage, await ragRequest(gateway, ['GET', path], quiet))
    for (const job of jobs) if (wanted.delete(job.id)) found.push(job)
    if (next === null) break
    cursor = `&cursor=${encodeURIComponent(next)}`
  }
  for (const id of [...wanted].slice(0, singlesMax))
    found.push(decodeRag(jobView, await ragRequest(gateway, ['GET', `/rag/jobs/${encodeURIComponent(id)}`], quiet)))
  return found
}
