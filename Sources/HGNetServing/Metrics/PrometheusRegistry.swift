import Synchronization

/// All numbers of a server, which it shows as a page in Prometheus' text format.
///
/// The server declares families of its own and keeps their handlers, which hold the values. What other packages report
/// through swift-metrics comes beside them (`PrometheusRegistry+Metrics`), mended where a name is not valid and bounded
/// in number. Whoever reads the page waits for no handler, and no handler waits for the page. Threads: safe to share.
package final class PrometheusRegistry: Sendable {
  private struct State {
    var families: [String: any PrometheusFamilyPage] = [:]
    /// The names of all samples: a histogram called `x` also takes `x_sum`.
    var takenNames: Set<String> = []
    /// Where the handlers of other packages are.
    var places: [ObjectIdentifier: (family: String, labels: [PrometheusLabel])] = [:]
  }

  /// The series of other packages that are kept.
  package let foreignLimit: Int
  /// How often another package asked for a series and got none on the page.
  package let leftOut = PrometheusCounter()
  private let state = Mutex(State())

  /// An empty registry.
  ///
  /// - Parameter foreignLimit: the series that other packages may make; labels whose values come from outside must not
  ///   fill the memory.
  package init(foreignLimit: Int = 2000) { self.foreignLimit = foreignLimit }

  /// The page at this moment, families and series in the order of their names.
  package var text: String {
    let families = state.withLock { Array($0.families.values) }
    var text = PrometheusText()
    for family in families.sorted(by: { $0.name < $1.name }) { family.write(to: &text) }
    return text.text
  }

  // MARK: - The server's own

  /// Declares a family, which is on the page from now on.
  ///
  /// - Parameter make: makes the handler of a new series.
  package func family<Handler: PrometheusHandler>(
    _ name: String, help: String, _ make: @escaping @Sendable () -> Handler
  ) -> PrometheusFamily<Handler> {
    let family = PrometheusFamily(name: name, help: help, isForeign: false, make: make)
    add(family, names: Handler.names(of: name))
    return family
  }

  /// Declares a family whose values are asked for whenever the page is read.
  ///
  /// - Parameters:
  ///   - kind: `gauge` or `counter`.
  ///   - read: the values; must not keep the registry alive.
  package func readings(
    _ name: String, kind: String = "gauge", help: String,
    _ read: @escaping @Sendable () -> [(labels: [PrometheusLabel], value: Double)]
  ) {
    add(PrometheusReadings(name: name, kind: kind, help: help, read: read), names: [name])
  }

  private func add(_ family: some PrometheusFamilyPage, names: [String]) {
    state.withLock { state in
      state.families[family.name] = family
      state.takenNames.formUnion(names)
    }
  }

  // MARK: - Those of other packages

  /// Finds or makes a series of another package.
  ///
  /// Past the limit, and where the name belongs to the server or to a family of another kind, the handler counts into
  /// nothing.
  ///
  /// - Parameters:
  ///   - label: the name, which is mended.
  ///   - suffix: what the name must end in.
  ///   - dimensions: the labels, which are mended.
  ///   - make: makes the handler of a new series.
  package func foreign<Handler: PrometheusHandler>(
    _ label: String, suffix: String = "", _ dimensions: [(String, String)], _ make: @escaping @Sendable () -> Handler
  ) -> Handler {
    let name = PrometheusName.family(label, suffix: suffix)
    let labels = PrometheusName.labels(dimensions)
    let found: Handler? = state.withLock { state in
      let family: PrometheusFamily<Handler>
      if let known = state.families[name] {
        guard let known = known as? PrometheusFamily<Handler>, known.isForeign else { return nil }
        if let handler = known.handler(of: labels) { return handler }
        family = known
      } else {
        guard state.takenNames.isDisjoint(with: Handler.names(of: name)) else { return nil }
        family = PrometheusFamily(name: name, help: label, isForeign: true, make: make)
      }
      guard state.places.count < foreignLimit else { return nil }
      let handler = family.series(labels)
      state.families[name] = family
      state.takenNames.formUnion(Handler.names(of: name))
      state.places[ObjectIdentifier(handler)] = (name, labels)
      return handler
    }
    if let found { return found }
    leftOut.increment()
    return make()
  }

  /// Takes a series of another package off the page.
  package func destroy<Handler: PrometheusHandler>(_ handler: Handler) {
    state.withLock { state in
      guard let place = state.places.removeValue(forKey: ObjectIdentifier(handler)),
        let family = state.families[place.family] as? PrometheusFamily<Handler>
      else { return }
      family.remove(place.labels)
      guard family.isEmpty else { return }
      state.families[place.family] = nil
      state.takenNames.subtract(Handler.names(of: place.family))
    }
  }
}

/// A family as the page sees it.
private protocol PrometheusFamilyPage: Sendable {
  var name: String { get }
  func write(to text: inout PrometheusText)
}

/// Series of one name, which differ by their labels.
///
/// Threads: safe to share.
package final class PrometheusFamily<Handler: PrometheusHandler>: PrometheusFamilyPage {
  private struct Series {
    let labels: [PrometheusLabel]
    let handler: Handler
    let visibility: PrometheusVisibility?
  }

  let name: String
  fileprivate let isForeign: Bool
  private let help: String
  private let make: @Sendable () -> Handler
  private let series = Mutex<[[PrometheusLabel]: Series]>([:])

  fileprivate init(name: String, help: String, isForeign: Bool, make: @escaping @Sendable () -> Handler) {
    self.name = name
    self.help = help
    self.isForeign = isForeign
    self.make = make
  }

  /// Finds or makes a series.
  ///
  /// - Parameter visibility: whether a new one is on the page; nil for always.
  package func series(_ labels: [PrometheusLabel], visibility: PrometheusVisibility? = nil) -> Handler {
    series.withLock { series in
      if let found = series[labels] { return found.handler }
      let handler = make()
      series[labels] = Series(labels: labels, handler: handler, visibility: visibility)
      return handler
    }
  }

  fileprivate var isEmpty: Bool { series.withLock { $0.isEmpty } }

  fileprivate func handler(of labels: [PrometheusLabel]) -> Handler? { series.withLock { $0[labels]?.handler } }

  fileprivate func remove(_ labels: [PrometheusLabel]) { series.withLock { $0[labels] = nil } }

  func write(to text: inout PrometheusText) {
    let shown = series.withLock { series in series.values.filter { $0.visibility?.isOn ?? true } }
    text.family(name, kind: Handler.kind, help: help)
    for series in shown.sorted(by: { $0.labels.lexicographicallyPrecedes($1.labels) }) {
      series.handler.write(to: &text, name: name, labels: series.labels)
    }
  }
}

/// A family whose values are kept elsewhere.
private struct PrometheusReadings: PrometheusFamilyPage {
  let name: String
  let kind: String
  let help: String
  let read: @Sendable () -> [(labels: [PrometheusLabel], value: Double)]

  func write(to text: inout PrometheusText) {
    text.family(name, kind: kind, help: help)
    for reading in read() { text.sample(name, reading.labels, reading.value) }
  }
}

/// Whether series are on the page.
///
/// Threads: safe to share.
package final class PrometheusVisibility: Sendable {
  private let state: Atomic<Bool>

  /// Makes a switch.
  package init(isOn: Bool) { state = Atomic(isOn) }

  /// Whether they are shown.
  package var isOn: Bool {
    get { state.load(ordering: .relaxed) }
    set { state.store(newValue, ordering: .relaxed) }
  }
}
