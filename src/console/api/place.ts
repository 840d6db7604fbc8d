/**
 * Where the gateway is, as this browser reaches it: a proxy may have put a path before all of the gateway's own. The scripts of the console know it,
 * for each of them lies in `<gateway>/console/assets/`.
 */
const script = import.meta.url
const root = new URL('../../', script).pathname.replace(/\/$/, '')

/** The address for a path of the gateway, such as `/admin/fleet`. */
export function atGateway(path: string): string {
  return root + path
}
