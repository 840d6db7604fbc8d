/**
 * How one gauge is made of what several processes say of it. Every gauge of the list stands here (a test holds it), so that a new one does not
 * hide a fault by taking the wrong way.
 */

/**
 * `sum`: each process holds a part. `max`: all tell the same of something outside, or the largest is what matters. `min`: the least is what
 * matters: 1 is well, or what ends first. `worst`: one of several states, of which the worst stands.
 */
export type GaugeWay = 'sum' | 'max' | 'min' | 'worst'

/** By the way. Those of the process itself, whose names are the library's, follow a pattern. */
export const gaugesByWay: Readonly<Record<GaugeWay, readonly string[]>> = {
  sum: [
    'corral_workers',
    'corral_http_requests_in_flight',
    'corral_requests_in_flight',
    'corral_inflight_requests',
    'corral_node_concurrency_limit',
    'corral_concurrency_limit',
    'corral_queue_depth',
    'corral_cache_bytes',
    'corral_cache_entries',
    'corral_cache_flights',
    'corral_db_pool_connections',
    'corral_sse_clients',
  ],
  min: [
    'corral_redis_up',
    'corral_dependency_up',
    'corral_dependency_certificate_expiry_timestamp_seconds',
    'corral_dependency_certificate_lifetime_seconds',
    'corral_node_certificate_expiry_timestamp_seconds',
    'corral_node_certificate_lifetime_seconds',
    'corral_key_earliest_expiry_timestamp_seconds',
    'corral_config_last_reload_successful',
    // Of a reload that only some took: since when the oldest configuration in force is there.
    'corral_config_last_reload_timestamp_seconds',
  ],
  worst: ['corral_node_circuit_state'],
  max: [
    // A node is down, and drained, as the alerts read it of several instances: down when nobody reaches it.
    'corral_node_up',
    'corral_node_draining',
    'corral_node_last_seen_timestamp_seconds',
    'corral_node_probe_duration_seconds',
    'corral_node_model_loaded',
    'corral_node_model_vram_bytes',
    'corral_node_model_expiry_timestamp_seconds',
    'corral_model_digest_drift',
    // What all read from one database.
    'corral_keys_expiring',
    'corral_index_documents',
    'corral_index_chunks',
    'corral_index_bytes',
    'corral_jobs',
    'corral_job_oldest_age_seconds',
    'corral_memory_pressure_level',
    'corral_last_scrape_timestamp_seconds',
    'corral_build_info',
    'corral_config_info',
  ],
}

/** Memory and handles of a process and of Node, which each process has for itself. */
const ofProcess = /^(process|nodejs)_\w*(bytes|memory|handles|requests|resources|fds)/

/** The way of a gauge by its name; `max` for one that is not known. */
export function wayOf(name: string): GaugeWay {
  if (ofProcess.test(name) || gaugesByWay.sum.includes(name)) return 'sum'
  if (gaugesByWay.min.includes(name)) return 'min'
  return gaugesByWay.worst.includes(name) ? 'worst' : 'max'
}
