/** What a stream of events says while it has nothing to tell. */

/** Many proxies end a connection on which nothing comes for a minute, some after half of it. */
export const keepAliveMs = 15_000

/** No event to any client. */
export const keepAliveComment = Buffer.from(': keep-alive\n\n')
