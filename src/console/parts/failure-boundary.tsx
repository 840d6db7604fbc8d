/**
 * Says so where a page cannot be shown, because its script did not come (the gateway was upgraded meanwhile, or is gone) or has a bug. The
 * way around stays, and another page is tried afresh. A class: React has no other way to catch what rendering throws.
 */
import { Component, type ReactNode } from 'react'

import { ErrorState } from './notices.tsx'

export interface FailureBoundaryProps {
  readonly path: string
  readonly children: ReactNode
}

interface FailureState {
  readonly path: string
  readonly failure: { readonly error: unknown } | null
}

export class FailureBoundary extends Component<FailureBoundaryProps, FailureState> {
  override state: FailureState = { path: this.props.path, failure: null }

  static getDerivedStateFromError(error: unknown): Partial<FailureState> {
    return { failure: { error } }
  }

  static getDerivedStateFromProps({ path }: FailureBoundaryProps, state: FailureState): FailureState | null {
    return path === state.path ? null : { path, failure: null }
  }

  override render() {
    const { failure } = this.state
    if (failure === null) return this.props.children
    return (
      <>
        <h1 className="mb-4 text-xl font-semibold">This page cannot be shown</h1>
        <ErrorState error={failure.error} onRetry={() => window.location.reload()} />
      </>
    )
  }
}
