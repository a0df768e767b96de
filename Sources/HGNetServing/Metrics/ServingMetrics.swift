import Foundation

/// The families of a server's own numbers.
///
/// Threads: safe to share.
package final class ServingMetrics: Sendable {
  /// What shows them.
  package let registry: PrometheusRegistry
  /// Requests that reached no model.
  package let otherRequests: RequestCounts
  let requests: PrometheusFamily<PrometheusCounter>
  let pictures: PrometheusFamily<PrometheusCounter>
  let batchPictures: PrometheusFamily<PrometheusHistogram>
  let requestSeconds: PrometheusFamily<PrometheusHistogram>
  let stageSeconds: PrometheusFamily<PrometheusHistogram>

  /// Declares the families in a registry.
  package init(registry: PrometheusRegistry = PrometheusRegistry()) {
    self.registry = registry
    requests = registry.family("hgnet_inference_requests_total", help: "Answered inference requests by outcome.") {
      PrometheusCounter()
    }
    otherRequests = RequestCounts(
      family: registry.family("hgnet_other_requests_total", help: "Requests that reached no model, by outcome.") {
        PrometheusCounter()
      })
    pictures = registry.family("hgnet_pictures_total", help: "Pictures that went through the network.") {
      PrometheusCounter()
    }
    batchPictures = registry.family(
      "hgnet_batch_pictures", help: "Pictures of the batch that a request was part of."
    ) { PrometheusHistogram(bounds: [1, 2, 4, 8, 16, 32, 64]) }
    requestSeconds = registry.family(
      "hgnet_request_seconds", help: "Time from the whole request to its answer."
    ) { PrometheusHistogram(bounds: Histogram.latencyBounds) }
    stageSeconds = registry.family(
      "hgnet_stage_seconds", help: "Time of a request in a stage: waiting, decoding, network."
    ) { PrometheusHistogram(bounds: Histogram.latencyBounds) }
    let leftOut = registry.leftOut
    registry.readings(
      "hgnet_metrics_left_out_total", kind: "counter",
      help: "Series of other packages that found no room, or their name taken."
    ) { [([], leftOut.value)] }
    if ServingMetrics.residentBytes != nil {
      registry.readings("process_resident_memory_bytes", help: "Memory of the process.") {
        ServingMetrics.residentBytes.map { [([], Double($0))] } ?? []
      }
    }
  }

  /// The memory of this process; nil where the system does not tell it so.
  private static var residentBytes: Int? {
    guard let file = fopen("/proc/self/statm", "r") else { return nil }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    guard fgets(&line, 256, file) != nil else { return nil }
    let words = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).split(
      separator: " ")
    guard words.count > 1, let pages = Int(words[1]) else { return nil }
    return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
  }
}

/// Counts of requests under a few names.
///
/// Threads: safe to share.
package final class RequestCounts: Sendable {
  private let family: PrometheusFamily<PrometheusCounter>

  fileprivate init(family: PrometheusFamily<PrometheusCounter>) { self.family = family }

  /// Counts a request.
  package func note(transport: String, operation: String, refusal: ServingError.Kind?) {
    family.series([
      PrometheusLabel("protocol", transport), PrometheusLabel("operation", operation),
      PrometheusLabel("outcome", refusal?.rawValue ?? "ok"),
    ]).increment()
  }
}
