/** What the main thread and the worker of the embedded store say to each other. One request is under way at a time. */

export type WorkerRequest = { readonly kind: 'exchange'; readonly bytes: Uint8Array<ArrayBuffer> } | { readonly kind: 'close' }

export type WorkerReply =
  { readonly kind: 'open' } | { readonly kind: 'answer'; readonly bytes: Uint8Array<ArrayBuffer> } | { readonly kind: 'closed' }
