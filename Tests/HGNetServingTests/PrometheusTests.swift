import HGNetServing
import Testing

@Suite("The page for Prometheus")
struct PrometheusTests {
  @Test("Families, labels, histograms and numbers are written as version 0.0.4 has them")
  func text() {
    let registry = PrometheusRegistry()
    let counters = registry.family("a_total", help: "One\\two\nthree.") { PrometheusCounter() }
    counters.series([PrometheusLabel("x", "say \"\\\"\nand more")]).increment()
    counters.series([PrometheusLabel("x", "b"), PrometheusLabel("y", "ä")]).increment(by: 0.25)
    let histograms = registry.family("b", help: "Sizes.") { PrometheusHistogram(bounds: [0.5, 2]) }
    for value in [0.5, 0.6, 2, 7, .nan, .infinity] { histograms.series([]).record(value) }
    registry.readings("c", help: "Ends.") { [([], .infinity), ([PrometheusLabel("n", "1")], -.infinity)] }
    registry.readings("d", help: "None.") { [([], .nan)] }
    #expect(
      registry.text == """
        # HELP a_total One\\\\two\\nthree.
        # TYPE a_total counter
        a_total{x="b",y="ä"} 0.25
        a_total{x="say \\"\\\\\\"\\nand more"} 1
        # HELP b Sizes.
        # TYPE b histogram
        b_bucket{le="0.5"} 1
        b_bucket{le="2.0"} 3
        b_bucket{le="+Inf"} 4
        b_sum 10.1
        b_count 4
        # HELP c Ends.
        # TYPE c gauge
        c +Inf
        c{n="1"} -Inf
        # HELP d None.
        # TYPE d gauge
        d NaN

        """)
  }

  @Test("Names and labels of others are mended")
  func names() {
    #expect(PrometheusName.family("http.server-requests", suffix: "_total") == "http_server_requests_total")
    #expect(PrometheusName.family("http_total", suffix: "_total") == "http_total")
    #expect(PrometheusName.family("2 ä:b") == "_2__:b")
    #expect(PrometheusName.family("") == "_")
    #expect(PrometheusName.family(String(repeating: "a", count: 5000)).utf8.count == 256)
    let labels = PrometheusName.labels([
      ("b.c", "1"), ("b-c", "2"), ("__name__", "3"), ("le", "4"), ("a:b", String(repeating: "v", count: 5000)),
    ])
    #expect(labels.map(\.name) == ["_name__", "a_b", "b_c", "b_c_", "le_"])
    #expect(labels[1].value.utf8.count == 256)
    #expect(PrometheusName.labels((0..<100).map { ("n\($0)", "") }).count == 32)
  }

  @Test("Counters never go back, and stay at the highest number")
  func counters() {
    let counter = PrometheusCounter()
    counter.increment(by: Int64.max)
    counter.increment(by: Int64.max)
    counter.increment(by: Int64(-3))
    #expect(counter.stepCount == Int.max)
    counter.reset()
    for amount in [-1, .nan, .infinity, 0.5] { counter.increment(by: amount) }
    #expect(counter.value == 0.5)
  }

  @Test("Series of others are bounded in number and keep out of the names that are taken")
  func limits() {
    let registry = PrometheusRegistry(foreignLimit: 3)
    let own = registry.family("own_total", help: "Own.") { PrometheusCounter() }.series([])
    _ = registry.family("sizes", help: "Own.") { PrometheusHistogram(bounds: [1]) }.series([])
    func counter(_ label: String, _ dimensions: [(String, String)] = []) -> PrometheusCounter {
      registry.foreign(label, suffix: "_total", dimensions) { PrometheusCounter() }
    }
    counter("own").increment()
    #expect(own.value == 0)
    // What a histogram writes beside its name is taken, too.
    registry.foreign("sizes.count", []) { PrometheusGauge() }.set(7.5)
    #expect(registry.leftOut.value == 2)
    for index in 0..<1000 { counter("many", [("user", "\(index)")]).increment() }
    #expect(registry.leftOut.value == 2 + 997)
    let lines = registry.text.split(separator: "\n")
    #expect(lines.filter { $0.hasPrefix("many_total{") }.count == 3)
    #expect(!registry.text.contains("7.5"))
    // The same name and labels, in whatever order, are the same series; another kind is none.
    let found = counter("many", [("user", "1")])
    found.increment()
    #expect(found.value == 2)
    let gauge = registry.foreign("many_total", [("user", "1")]) { PrometheusGauge() }
    gauge.set(99.0)
    #expect(!registry.text.contains(" 99"))
    // A series that is destroyed makes room, and the name is free once the last has gone.
    for index in 0..<3 { registry.destroy(counter("many", [("user", "\(index)")])) }
    #expect(!registry.text.contains("many"))
    registry.foreign("many_total", [("user", "1")]) { PrometheusGauge() }.set(99.0)
    #expect(registry.text.contains("many_total{user=\"1\"} 99\n"))
  }

  @Test("A model's numbers are counted once, go with it, and come back with it")
  func models() async throws {
    let fixture = ServingFixture()
    try fixture.place("shapes", version: 1, seed: 5)
    let routes = HTTPRoutes(state: await fixture.state())
    let call = HTTPCall(method: "POST", path: "/v1/classify", body: .init(try fixture.picture()))
    var broken = call
    broken.body = .init([1, 2, 3])
    for _ in 0..<3 { #expect(await routes.answer(call).status == 200) }
    #expect(await routes.answer(broken).status == 400)
    let statistics = try routes.state.repository.model(named: "shapes").statistics
    let totals = statistics.current
    #expect(totals.success.count == 3 && totals.success.nanoseconds > 0)
    #expect(totals.failure.count == 1 && totals.failure.nanoseconds > 0)
    // The first picture is the one that warms the model up.
    #expect(totals.pictureCount == 5 && totals.batchCount == 5)
    #expect(totals.queue.count == 5 && totals.compute.count == 5)
    func page() async -> [String] {
      let answer = await routes.answer(HTTPCall(method: "GET", path: "/metrics"))
      return String(decoding: answer.body, as: UTF8.self).split(separator: "\n").map(String.init)
    }
    let labels = "model=\"shapes\",version=\"1\""
    func expect(succeeded: Int, _ place: SourceLocation = #_sourceLocation) async {
      let lines = await page()
      for line in [
        "hgnet_inference_requests_total{\(labels),protocol=\"http\",outcome=\"ok\"} \(succeeded)",
        "hgnet_inference_requests_total{\(labels),protocol=\"http\",outcome=\"invalidRequest\"} 1",
        "hgnet_queue_pictures{\(labels)} 0", "hgnet_request_seconds_count{\(labels)} \(succeeded + 1)", "hgnet_ready 1",
      ] {
        #expect(lines.contains(line), "\(line)", sourceLocation: place)
      }
      for stage in ["queue", "decode", "network"] {
        #expect(
          lines.contains { $0.hasPrefix("hgnet_stage_seconds_bucket{\(labels),stage=\"\(stage)\",le=\"0.0005\"} ") })
      }
      #expect(lines.contains { $0.hasPrefix("hgnet_batch_pictures_bucket{\(labels),le=\"1.0\"} ") })
    }
    await expect(succeeded: 3)
    try routes.state.repository.unload("shapes")
    #expect(await !page().contains { $0.contains(labels) })
    try await routes.state.repository.load("shapes")
    #expect(await routes.answer(call).status == 200)
    await expect(succeeded: 4)
    #expect(try routes.state.repository.model(named: "shapes").statistics === statistics)
    #expect(
      await page().contains("hgnet_other_requests_total{protocol=\"http\",operation=\"metrics\",outcome=\"ok\"} 3"))
  }
}
