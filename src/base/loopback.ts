/** True for a host, as in a URL or to bind to, that only this machine can reach. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '').toLowerCase()
  if (bare === 'localhost' || bare.endsWith('.localhost') || bare === '::1') return true
  return /^127(?:\.\d{1,3}){3}$/.test(bare) || bare.startsWith('::ffff:127.')
}
