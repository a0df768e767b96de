#if Serving
  import HGNetServing
  import Metrics
  import Testing

  @Suite("What other packages report through swift-metrics")
  struct MetricsBackendTests {
    let registry = PrometheusRegistry()

    private func expect(_ lines: String..., place: SourceLocation = #_sourceLocation) {
      let page = registry.text.split(separator: "\n").map(String.init)
      for line in lines { #expect(page.contains(line), "\(line)", sourceLocation: place) }
    }

    @Test("Every kind appears with its unit")
    func kinds() {
      Counter(label: "my.requests", dimensions: [("b", "2"), ("a-b", "1")], factory: registry).increment(by: 3)
      // The same series, whatever the order of its labels, and with fractions.
      FloatingPointCounter(label: "my.requests", dimensions: [("a-b", "1"), ("b", "2")], factory: registry)
        .increment(by: 0.5)
      Gauge(label: "my-gauge", factory: registry).record(-2.5)
      let meter = Meter(label: "my meter", factory: registry)
      meter.set(5)
      meter.increment(by: 2)
      meter.decrement(by: 0.5)
      Recorder(label: "single", dimensions: [], aggregate: false, factory: registry).record(4)
      let sizes = Recorder(label: "sizes", dimensions: [], aggregate: true, factory: registry)
      sizes.record(50)
      sizes.record(0.05)
      let timer = Timer(label: "my.time", factory: registry)
      timer.recordMilliseconds(30)
      timer.recordNanoseconds(500_000)
      expect(
        "# TYPE my_requests_total counter", "# HELP my_requests_total my.requests",
        "my_requests_total{a_b=\"1\",b=\"2\"} 3.5", "# TYPE my_gauge gauge", "my_gauge -2.5", "my_meter 6.5",
        "single 4",
        "# TYPE sizes histogram", "sizes_bucket{le=\"0.1\"} 1", "sizes_bucket{le=\"100.0\"} 2", "sizes_sum 50.05",
        "sizes_count 2", "# TYPE my_time_seconds histogram", "my_time_seconds_bucket{le=\"0.0005\"} 1",
        "my_time_seconds_bucket{le=\"0.05\"} 2", "my_time_seconds_sum 0.0305")
    }

    @Test("No increment is lost between threads, nor while the page is read")
    func concurrency() async {
      await withTaskGroup(of: Void.self) { group in
        for _ in 0..<8 {
          group.addTask {
            for _ in 0..<2000 {
              Counter(label: "steps", factory: registry).increment()
              FloatingPointCounter(label: "halves", factory: registry).increment(by: 0.5)
              Meter(label: "level", factory: registry).increment()
              Timer(label: "time", factory: registry).recordSeconds(1)
            }
          }
        }
        group.addTask { for _ in 0..<200 { _ = registry.text } }
      }
      expect(
        "steps_total 16000", "halves_total 8000", "level 16000", "time_seconds_count 16000", "time_seconds_sum 16000")
    }

    @Test("What is destroyed leaves the page and begins anew; what is reset begins at nothing")
    func destruction() {
      let counter = Counter(label: "steps", factory: registry)
      counter.increment(by: 7)
      counter.reset()
      expect("steps_total 0")
      counter.destroy()
      counter.increment()
      let gauge = Gauge(label: "gauge", factory: registry)
      let meter = Meter(label: "meter", factory: registry)
      let recorder = Recorder(label: "recorder", factory: registry)
      let timer = Timer(label: "timer", factory: registry)
      let floating = FloatingPointCounter(label: "floating", factory: registry)
      gauge.destroy()
      meter.destroy()
      recorder.destroy()
      timer.destroy()
      floating.destroy()
      #expect(registry.text == "")
      Counter(label: "steps", factory: registry).increment()
      expect("steps_total 1")
    }

    @Test("The server's own families are not written by others, and their handlers are those of swift-metrics")
    func own() {
      let metrics = ServingMetrics(registry: registry)
      Counter(label: "hgnet.pictures", factory: registry).increment(by: 9)
      #expect(!registry.text.contains("hgnet_pictures_total 9"))
      #expect(registry.text.contains("hgnet_metrics_left_out_total 1\n"))
      metrics.otherRequests.note(transport: "http", operation: "page", refusal: nil)
      expect("hgnet_other_requests_total{protocol=\"http\",operation=\"page\",outcome=\"ok\"} 1")
      let handler: any CounterHandler = PrometheusCounter()
      handler.increment(by: 2)
      registry.destroyCounter(handler)
    }
  }
#endif
