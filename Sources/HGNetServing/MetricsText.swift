import Foundation

/// The numbers of a server in the text format of Prometheus, version 0.0.4.
package enum MetricsText {
  /// All metrics at this moment.
  package static func text(of state: ServingState) -> String {
    var page = Lines()
    let models = state.repository.models.map { model in
      (labels: [("model", model.name), ("version", model.version)], model: model, totals: model.statistics.current)
    }
    page.family("hgnet_ready", "gauge", "Whether every model is ready and the server is not about to end.")
    page.sample("hgnet_ready", [], state.isReady ? 1 : 0)

    page.family("hgnet_inference_requests_total", "counter", "Answered inference requests by outcome.")
    for entry in models {
      for (outcome, count) in entry.totals.requests.sorted(by: { $0.key < $1.key }) {
        page.sample(
          "hgnet_inference_requests_total",
          entry.labels + [("protocol", outcome.transport), ("outcome", outcome.code)], Double(count))
      }
    }
    page.family("hgnet_other_requests_total", "counter", "Requests that reached no model, by outcome.")
    for (name, count) in state.otherRequests.current.sorted(by: { $0.key < $1.key }) {
      page.sample(
        "hgnet_other_requests_total",
        [("protocol", name.transport), ("operation", name.operation), ("outcome", name.code)], Double(count))
    }
    page.family("hgnet_pictures_total", "counter", "Pictures that went through the network.")
    for entry in models { page.sample("hgnet_pictures_total", entry.labels, Double(entry.totals.pictureCount)) }
    page.family("hgnet_queue_pictures", "gauge", "Pictures that wait for the network.")
    for entry in models { page.sample("hgnet_queue_pictures", entry.labels, Double(entry.model.queueLength)) }

    page.family("hgnet_batch_pictures", "histogram", "Pictures of the batch that a request was part of.")
    for entry in models { page.histogram("hgnet_batch_pictures", entry.labels, entry.totals.batchSizes) }
    page.family("hgnet_request_seconds", "histogram", "Time from the whole request to its answer.")
    for entry in models { page.histogram("hgnet_request_seconds", entry.labels, entry.totals.requestSeconds) }
    page.family("hgnet_stage_seconds", "histogram", "Time of a request in a stage: waiting, decoding, network.")
    for entry in models {
      let stages = [
        ("queue", entry.totals.queueSeconds), ("decode", entry.totals.prepareSeconds),
        ("network", entry.totals.computeSeconds),
      ]
      for (stage, histogram) in stages {
        page.histogram("hgnet_stage_seconds", entry.labels + [("stage", stage)], histogram)
      }
    }
    if let bytes = residentBytes {
      page.family("process_resident_memory_bytes", "gauge", "Memory of the process.")
      page.sample("process_resident_memory_bytes", [], Double(bytes))
    }
    return page.text
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

  /// The page as it grows.
  private struct Lines {
    var text = ""

    mutating func family(_ name: String, _ type: String, _ help: String) {
      text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    }

    mutating func sample(_ name: String, _ labels: [(String, String)], _ value: Double) {
      text += name
      if !labels.isEmpty {
        text += "{" + labels.map { "\($0.0)=\"\(Lines.escaped($0.1))\"" }.joined(separator: ",") + "}"
      }
      text += value == value.rounded() && abs(value) < 1e15 ? " \(Int(value))\n" : " \(value)\n"
    }

    mutating func histogram(_ name: String, _ labels: [(String, String)], _ histogram: Histogram) {
      var count = 0
      for (index, bound) in histogram.bounds.enumerated() {
        count += histogram.counts[index]
        sample("\(name)_bucket", labels + [("le", "\(bound)")], Double(count))
      }
      count += histogram.counts[histogram.bounds.count]
      sample("\(name)_bucket", labels + [("le", "+Inf")], Double(count))
      sample("\(name)_sum", labels, histogram.sum)
      sample("\(name)_count", labels, Double(count))
    }

    private static func escaped(_ text: String) -> String {
      text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }
  }
}
