#if Serving
  import CoreMetrics

  extension PrometheusCounter: CounterHandler, FloatingPointCounterHandler {}
  extension PrometheusGauge: RecorderHandler, MeterHandler {}
  extension PrometheusHistogram: RecorderHandler, TimerHandler {}

  extension PrometheusRegistry: MetricsFactory {
    /// Takes what all packages of the process report through swift-metrics; once in a process.
    package func bootstrap() { MetricsSystem.bootstrap(self) }

    package func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
      counter(label, dimensions)
    }

    package func makeFloatingPointCounter(
      label: String, dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler {
      counter(label, dimensions)
    }

    package func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
      gauge(label, dimensions)
    }

    package func makeRecorder(
      label: String, dimensions: [(String, String)], aggregate: Bool
    ) -> any RecorderHandler {
      guard aggregate else { return gauge(label, dimensions) }
      return foreign(label, dimensions) { PrometheusHistogram(bounds: Histogram.decades) }
    }

    package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
      foreign(label, suffix: "_seconds", dimensions) { PrometheusHistogram(bounds: Histogram.latencyBounds) }
    }

    package func destroyCounter(_ handler: any CounterHandler) { destroyAny(handler) }
    package func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) { destroyAny(handler) }
    package func destroyMeter(_ handler: any MeterHandler) { destroyAny(handler) }
    package func destroyRecorder(_ handler: any RecorderHandler) { destroyAny(handler) }
    package func destroyTimer(_ handler: any TimerHandler) { destroyAny(handler) }

    private func counter(_ label: String, _ dimensions: [(String, String)]) -> PrometheusCounter {
      foreign(label, suffix: "_total", dimensions) { PrometheusCounter() }
    }

    private func gauge(_ label: String, _ dimensions: [(String, String)]) -> PrometheusGauge {
      foreign(label, dimensions) { PrometheusGauge() }
    }

    private func destroyAny(_ handler: AnyObject) {
      switch handler {
      case let counter as PrometheusCounter: destroy(counter)
      case let gauge as PrometheusGauge: destroy(gauge)
      case let histogram as PrometheusHistogram: destroy(histogram)
      default: break
      }
    }
  }
#endif
