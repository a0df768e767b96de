import Foundation
import HGNetCore
import HGNetTraining

/// A folder that goes away with the value, and contents of checkpoints.
final class CheckpointWorkspace {
  let url = FileManager.default.temporaryDirectory.appendingPathComponent("hgnet-checkpoint-\(UUID().uuidString)")

  init() throws { try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true) }

  deinit { try? FileManager.default.removeItem(at: url) }

  func path(_ name: String) -> String { url.appendingPathComponent(name).path }

  /// The files, sorted.
  var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []).sorted() }

  private static let parameters: [(name: String, internalName: String, shape: Shape, isTrained: Bool)] = [
    ("conv.weight", "conv2d_0.w_0", [4, 3, 3, 3], true), ("bn.weight", "batch_norm2d_0.w_0", [4], true),
    ("bn.bias", "batch_norm2d_0.b_0", [4], true), ("bn._mean", "batch_norm2d_0.w_1", [4], false),
    ("bn._variance", "batch_norm2d_0.w_2", [4], false), ("fc.weight", "linear_0.w_0", [4, 2], true),
    ("fc.bias", "linear_0.b_0", [2], true),
  ]

  private static func tensor(_ shape: Shape, offset: Float) -> Parameter {
    Parameter(Tensor(shape: shape, values: (0..<shape.count).map { Float($0) / 8 + offset }))
  }

  /// The parameters of a small network; number i of parameter p is i / 8 + p + offset.
  static func store(offset: Float) -> ParameterStore {
    var store = ParameterStore()
    for (index, parameter) in parameters.enumerated() {
      store[parameter.name] = tensor(parameter.shape, offset: Float(index) + offset)
    }
    return store
  }

  /// A checkpoint; `scale` tells several apart.
  static func contents(scale: Float) -> CheckpointContents {
    var velocities = ParameterStore()
    for (index, parameter) in parameters.filter(\.isTrained).enumerated() {
      velocities["\(parameter.internalName)_velocity_0"] = tensor(parameter.shape, offset: 100 * scale + Float(index))
    }
    var progress = TrainingProgress(epoch: 5)
    progress.metric = 0.75
    return CheckpointContents(
      parameters: store(offset: scale - 1),
      internalNames: Dictionary(uniqueKeysWithValues: parameters.map { ($0.name, $0.internalName) }),
      optimizer: OptimizerState(
        tensors: velocities,
        schedule: Schedule.State(
          step: 7, learningRate: 0.0875, inner: Schedule.State.Inner(step: 4, learningRate: 0.0875))),
      progress: progress)
  }

  /// Names and encoded elements in order.
  static func bytes(_ store: ParameterStore) -> [[UInt8]] {
    store.names.map { name in
      Array(name.utf8) + (store[name]?.withUnsafeBytes { Array($0) } ?? [])
    }
  }
}
