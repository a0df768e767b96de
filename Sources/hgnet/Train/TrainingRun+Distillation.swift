import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetModels
import HGNetTraining

extension TrainingRun {
  /// The weights that the networks of a distillation begin with, each under its name.
  ///
  /// `Global.pretrained_model` with several networks is for all that it holds, one of a single network for the one that
  /// is evaluated; the others take what `Arch` says of them.
  func weights(of distillation: Distillation, log: TrainingLogFile) async throws -> ParameterStore {
    var result = ParameterStore()
    let common = try await configuration.text("Global.pretrained_model").asyncMap {
      try ModelSource.file(of: .file($0), isOffline: isOffline)
    }
    let parts = try common.map { (path) throws(HGNetError) in try WeightsFile.parts(of: path) } ?? []
    var randomCount = 0
    for network in distillation.networks {
      let prefix = "\(network.name)."
      let isInCommon = parts.isEmpty ? network.name == distillation.inferred : parts.contains(network.name)
      let file: String
      if let common, isInCommon {
        file = common
      } else if let source = network.weights {
        file = try ModelSource.file(of: source, isOffline: isOffline)
      } else if network.isFrozen {
        throw HGNetError(
          .invalidConfiguration,
          "\(network.name) is frozen and would keep random weights; give a file with -o \(network.key).pretrained=FILE",
          path: configuration.path, key: "\(network.key).pretrained")
      } else {
        // Two networks of one kind must not begin alike; a single one begins as it would alone.
        let seed = (settings.seed ?? 0) &+ randomCount
        randomCount += 1
        log.write("\(network.name): random weights (seed \(seed))")
        let graph = try network.model.graph(options: network.options)
        result.add(try Model.initialParameters(for: graph, seed: UInt64(truncatingIfNeeded: seed)), prefix: prefix)
        continue
      }
      let weights: WeightsFile
      do throws(HGNetError) {
        weights = try WeightsFile(
          contentsOf: file, model: network.model, options: network.options, allowsNewHead: !network.isFrozen,
          part: network.name)
      } catch {
        guard error.code == .parameterMismatch else { throw error }
        throw HGNetError(
          error.code, "expected the weights of \(network.model) for \(network.name): \(error.message)",
          path: error.context.path ?? file, key: "\(network.key).pretrained")
      }
      if let choice = weights.report.choice { warn("\(weights.path): \(choice)", log: log) }
      log.write("\(network.name): \(weights.path): \(weights.format.title): \(weights.report.summary)")
      result.add(weights.parameters, prefix: prefix)
    }
    return result
  }
}

extension Optional where Wrapped: Sendable {
  /// What becomes of the value, if there is one.
  fileprivate func asyncMap<Result>(_ transform: (Wrapped) async throws -> Result) async throws -> Result? {
    guard let value = self else { return nil }
    return try await transform(value)
  }
}
