/** The models of the fleet, for every page that asks one. */
import { useQuery } from '@tanstack/react-query'

import { getJson } from '../api/client.ts'

interface Tags {
  readonly models: readonly { readonly name: string; readonly details?: { readonly family?: string } }[]
}

export interface ModelsByUse {
  readonly talking: readonly string[]
  readonly embedding: readonly string[]
}

/** Families that make vectors and cannot talk. */
const silent = /bert/i

async function readModels(signal: AbortSignal): Promise<ModelsByUse> {
  const { models } = await getJson<Tags>('/api/tags', signal)
  const sorted = models.toSorted((a, b) => a.name.localeCompare(b.name))
  const isSilent = ({ name, details }: Tags['models'][number]): boolean => silent.test(details?.family ?? '') || /embed/i.test(name)
  return {
    talking: sorted.filter((model) => !isSilent(model)).map(({ name }) => name),
    embedding: sorted.filter(isSilent).map(({ name }) => name),
  }
}

const reading = { queryKey: ['models'], queryFn: ({ signal }: { readonly signal: AbortSignal }) => readModels(signal) }

/** Those one can talk to; all, where there are only others. */
export function useModels() {
  return useQuery({ ...reading, select: ({ talking, embedding }) => (talking.length === 0 ? embedding : talking) })
}

export function useModelsByUse({ enabled }: { readonly enabled: boolean }) {
  return useQuery({ ...reading, enabled })
}
