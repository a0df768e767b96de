import Dispatch
import HGNet
import HGNetCore
import Synchronization

/// The models that a server answers for: named ones, or those of a folder, which may come, change and go while it runs.
///
/// A model that changes is loaded beside the old one and then takes its place; requests that have begun finish with the
/// old one. A change that cannot be loaded leaves the old one in place. Threads: safe to share.
package final class ModelRepository: Sendable {
  /// Where the models come from.
  package enum Source: Sendable {
    /// Fixed names, each with one version, 1.
    case models([(name: String, source: ModelLocation)])
    /// A folder `NAME/VERSION/`.
    case folder(ModelFolder)
  }

  /// One version as the index tells it.
  package struct Entry: Sendable {
    package let name: String
    package let version: String
    package let isReady: Bool
    /// Why it is not ready.
    package let reason: String
  }

  private struct Key: Hashable, Comparable {
    let name: String
    let version: Int

    static func < (left: Key, right: Key) -> Bool { (left.name, left.version) < (right.name, right.version) }
  }

  private struct Slot {
    var model: ServedModel?
    var fingerprint = ""
    var reason = ""
  }

  private struct State {
    var slots: [Key: Slot] = [:]
    var statistics: [Key: ModelStatistics] = [:]
    /// Models that a client has unloaded; nothing but a client loads them again.
    var unloaded: Set<String> = []
    var hasLoaded = false
    /// Fingerprints of files that somebody may still be writing.
    var seen: [Key: String] = [:]

    /// Lets go of versions; their numbers stay for when they come back.
    mutating func remove(where isGone: (Key) -> Bool) {
      for key in slots.keys where isGone(key) {
        slots[key] = nil
        statistics[key]?.isShown = false
      }
    }
  }

  private let source: Source
  private let device: Device
  private let limits: Batcher.Limits
  private let log: ServingLog
  /// The numbers for Prometheus.
  package let metrics: ServingMetrics
  private let state = Mutex(State())
  /// Loading takes long and must not hold a thread that answers requests; one model at a time.
  private let loading = DispatchQueue(label: "models")

  /// Names the models; nothing is loaded yet.
  package init(
    source: Source, device: Device, limits: Batcher.Limits, log: ServingLog,
    metrics: ServingMetrics = ServingMetrics()
  ) {
    self.source = source
    self.device = device
    self.limits = limits
    self.log = log
    self.metrics = metrics
  }

  /// Whether every model that should be there is: at least one, and none that failed.
  package var isReady: Bool {
    state.withLock { state in
      state.hasLoaded && !state.slots.isEmpty && state.slots.values.allSatisfy { $0.model != nil }
    }
  }

  /// Finds a model.
  ///
  /// - Parameter version: nil or empty for the highest that is ready.
  /// - Throws: `notFound` naming what there is, `unavailable` for one that is not ready.
  package func model(named name: String, version: String? = nil) throws(ServingError) -> ServedModel {
    let slots = state.withLock { $0.slots }
    let versions = slots.filter { $0.key.name == name }.sorted { $0.key < $1.key }
    guard !versions.isEmpty else {
      let names = Set(slots.keys.map(\.name)).sorted().prefix(20).joined(separator: ", ")
      throw ServingError(
        .notFound, "unknown model \"\(name)\"; " + (names.isEmpty ? "none is loaded" : "there are: \(names)"))
    }
    if let version, !version.isEmpty {
      guard let found = versions.first(where: { String($0.key.version) == version }) else {
        let known = versions.map { String($0.key.version) }.joined(separator: ", ")
        throw ServingError(.notFound, "model \"\(name)\" has no version \"\(version)\"; there are: \(known)")
      }
      guard let model = found.value.model else {
        throw ServingError(
          .unavailable, "model \"\(name)\" version \(version) is not ready: \(found.value.reason)", retryAfter: 1)
      }
      return model
    }
    guard let model = versions.last(where: { $0.value.model != nil })?.value.model else {
      throw ServingError(.unavailable, "model \"\(name)\" is not ready: \(versions[0].value.reason)", retryAfter: 1)
    }
    return model
  }

  /// The only model, or the first by name, for requests that name none.
  ///
  /// - Throws: `unavailable` when there is none.
  package func defaultModel() throws(ServingError) -> ServedModel {
    let names = state.withLock { $0.slots.filter { $0.value.model != nil }.keys.map(\.name) }
    guard let name = names.min() else { throw ServingError(.unavailable, "no model is ready", retryAfter: 1) }
    return try model(named: name)
  }

  /// Whether there is a model of this name, ready or not.
  package func hasModel(named name: String) -> Bool { state.withLock { $0.slots.keys.contains { $0.name == name } } }

  /// The versions of a model that are ready, ascending.
  package func versions(of name: String) -> [String] {
    state.withLock { state in
      state.slots.filter { $0.key.name == name && $0.value.model != nil }.keys.sorted().map { String($0.version) }
    }
  }

  /// All versions of all models, by name and version.
  package var index: [Entry] {
    let (slots, unloaded) = state.withLock { ($0.slots, $0.unloaded) }
    let present = slots.sorted { $0.key < $1.key }.map { key, slot in
      Entry(name: key.name, version: String(key.version), isReady: slot.model != nil, reason: slot.reason)
    }
    let gone = unloaded.sorted().map { Entry(name: $0, version: "", isReady: false, reason: "unloaded") }
    return present + gone
  }

  /// The models that are ready.
  package var models: [ServedModel] {
    state.withLock { state in state.slots.sorted { $0.key < $1.key }.compactMap(\.value.model) }
  }

  // MARK: - Loading

  /// Loads what is new or changed and lets go of what is gone.
  ///
  /// - Parameter isSettling: whether files count only once they are as they were the last time, because somebody may
  ///   still be writing them.
  /// - Returns: what could not be loaded.
  @discardableResult
  package func refresh(isSettling: Bool = false) async -> [HGNetError] {
    var failures: [HGNetError] = []
    for name in await wantedNames() {
      guard !state.withLock({ $0.unloaded.contains(name) }) else { continue }
      failures += await update(name, isSettling: isSettling)
    }
    state.withLock { $0.hasLoaded = true }
    return failures
  }

  /// Loads a model, or again what has changed of it.
  ///
  /// - Throws: `notFound` for a model that is not in the folder, `invalidRequest` with the reason for one that cannot be
  ///   loaded.
  package func load(_ name: String) async throws(ServingError) {
    guard await wantedNames().contains(name) else {
      throw ServingError(.notFound, "unknown model \"\(name)\": it is not among the models of this server")
    }
    state.withLock { _ = $0.unloaded.remove(name) }
    if let failure = await update(name, isSettling: false).first {
      throw ServingError(.invalidRequest, "model \"\(name)\" cannot be loaded: \(failure)")
    }
  }

  /// Lets go of all versions of a model; requests that have begun still finish.
  ///
  /// - Throws: `notFound`.
  package func unload(_ name: String) throws(ServingError) {
    let isKnown = state.withLock { state in
      if state.slots.keys.contains(where: { $0.name == name }) { state.unloaded.insert(name) }
      state.remove { $0.name == name }
      return state.unloaded.contains(name)
    }
    guard isKnown else { throw ServingError(.notFound, "unknown model \"\(name)\"") }
    log.write(.info, "model unloaded", [("model", name)])
  }

  private func wantedNames() async -> [String] {
    switch source {
    case .models(let models): return models.map(\.name)
    case .folder(let folder):
      let names = await onLoadingQueue { Result { () throws(HGNetError) in try folder.names() } }
      switch names {
      case .success(let names):
        let gone = state.withLock { state in
          let gone = Set(state.slots.keys.map(\.name)).subtracting(names)
          state.remove { gone.contains($0.name) }
          state.unloaded.formIntersection(names)
          return gone
        }
        for name in gone.sorted() { log.write(.info, "model removed", [("model", name)]) }
        return names
      case .failure(let error):
        log.write(.error, "the folder of models cannot be read", [("error", error.description)])
        return []
      }
    }
  }

  /// Brings the versions of one model up to date.
  private func update(_ name: String, isSettling: Bool) async -> [HGNetError] {
    var versions: [(Int, Result<ModelLocation, HGNetError>)]
    switch source {
    case .models(let models):
      versions = models.filter { $0.name == name }.map { (1, .success($0.source)) }
    case .folder(let folder):
      versions = await onLoadingQueue {
        let numbers = (try? folder.versions(of: name)) ?? []
        return numbers.map { number in
          (number, Result { () throws(HGNetError) in try folder.source(of: name, version: number) })
        }
      }
      let numbers = Set(versions.map(\.0))
      state.withLock { state in state.remove { $0.name == name && !numbers.contains($0.version) } }
    }
    var failures: [HGNetError] = []
    for (version, source) in versions {
      if let failure = await update(Key(name: name, version: version), source, isSettling: isSettling) {
        failures.append(failure)
      }
    }
    return failures
  }

  /// Says what was chosen where the precision was left to the device.
  private func tellPrecision(of model: ServedModel) {
    guard device.precision == nil else { return }
    let precision = model.network.model.precision
    log.write(
      .info, "precision chosen",
      [
        ("model", model.name), ("version", model.version), ("precision", precision.rawValue),
        ("reason", device.reason(for: precision)),
      ])
  }

  private func update(
    _ key: Key, _ source: Result<ModelLocation, HGNetError>, isSettling: Bool
  ) async -> HGNetError? {
    let fingerprint: String
    switch source {
    case .success(let source): fingerprint = await onLoadingQueue { source.fingerprint }
    case .failure(let error): fingerprint = error.description
    }
    let (known, hasLoaded) = state.withLock { ($0.slots[key], $0.hasLoaded) }
    guard known == nil || known?.fingerprint != fingerprint else { return nil }
    let isSettled = state.withLock { state in
      let isSettled = !isSettling || state.seen[key] == fingerprint
      state.seen[key] = isSettled ? nil : fingerprint
      return isSettled
    }
    guard isSettled else { return nil }
    let started = ContinuousClock.now
    do {
      let source = try source.get()
      let statistics = state.withLock { state in
        let found =
          state.statistics[key]
          ?? ModelStatistics(name: key.name, version: String(key.version), metrics: metrics)
        state.statistics[key] = found
        return found
      }
      // While requests run, their threads stay theirs.
      let (device, isAlone, limits, log) = (device, !hasLoaded, limits, log)
      let loaded = await onLoadingQueue {
        Result { () throws(HGNetError) -> ServedModel in
          let network = try source.load(device: device, isAlone: isAlone) {
            log.write(.warning, $0, [("model", key.name)])
          }
          return try ServedModel(
            name: key.name, version: String(key.version), network: network, limits: limits,
            statistics: statistics)
        }
      }
      let model = try loaded.get()
      do { try await model.warmUp() } catch {
        // The server ends.
        guard error.kind != .cancelled else { return nil }
        throw HGNetError(.malformedData, error.message, path: source.path)
      }
      let isWanted = state.withLock { state in
        guard !state.unloaded.contains(key.name) else { return false }
        state.slots[key] = Slot(model: model, fingerprint: fingerprint)
        statistics.isShown = true
        return true
      }
      guard isWanted else { return nil }
      log.write(
        .info, known?.model == nil ? "model loaded" : "model replaced",
        [
          ("model", key.name), ("version", String(key.version)), ("network", model.network.modelName),
          ("precision", model.network.model.precision.rawValue),
          ("seconds", FixedPoint.text((ContinuousClock.now - started).inSeconds, digits: 3)),
        ])
      tellPrecision(of: model)
      return nil
    } catch {
      let failure = error as? HGNetError ?? HGNetError(.internalInconsistency, "\(error)")
      state.withLock { state in
        var slot = state.slots[key] ?? Slot()
        slot.fingerprint = fingerprint
        slot.reason = failure.description
        state.slots[key] = slot
      }
      log.write(
        .error, known?.model == nil ? "model cannot be loaded" : "model cannot be replaced; the old one stays",
        [("model", key.name), ("version", String(key.version)), ("error", failure.description)])
      return failure
    }
  }

  /// Runs what blocks on a thread of its own.
  private func onLoadingQueue<Result: Sendable>(_ body: @escaping @Sendable () -> Result) async -> Result {
    await withCheckedContinuation { continuation in
      loading.async { continuation.resume(returning: body()) }
    }
  }
}
