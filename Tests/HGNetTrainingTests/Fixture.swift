import Foundation
import HGNetCPU
import HGNetCore
import HGNetProgram
import HGNetTraining

/// The committed numbers of other systems.
enum Fixture {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/training")

  static func decode<Value: Decodable>(_ name: String, as type: Value.Type = Value.self) throws -> Value {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(type, from: Data(contentsOf: folder.appendingPathComponent(name)))
  }
}

/// The largest difference, as a share of the largest expected magnitude.
func relativeDifference(_ found: [Float], _ expected: [Float]) -> Float {
  guard found.count == expected.count else { return .infinity }
  let scale = max(expected.reduce(0) { max($0, abs($1)) }, 1e-20)
  return zip(found, expected).reduce(0) { largest, pair in
    let difference = abs(pair.0 - pair.1)
    return difference.isNaN ? .infinity : max(largest, difference)
  } / scale
}

/// Parameters with given values on the processor.
func plainState(
  _ declarations: [ParameterDeclaration], values: [[Float]], frozen: Set<String> = [], threads: Int = 2
) throws(HGNetError) -> any TrainingState {
  var store = ParameterStore()
  for (declaration, values) in zip(declarations, values) {
    store[declaration.name] = Parameter(Tensor(shape: declaration.shape, values: values))
  }
  return try CPUEngine(pool: ThreadPool(threads: threads))
    .trainingState(of: declarations, parameters: store) { frozen.contains($0.name) }
}

extension TrainingState {
  /// The values of a parameter.
  func values(_ index: Int) throws(HGNetError) -> [Float] { try read(.value, of: index).values }

  /// Replaces the gradient of a parameter.
  func setGradient(_ index: Int, _ values: [Float]) throws(HGNetError) {
    try write(Tensor(shape: declarations[index].shape, values: values), to: .gradient, of: index)
  }
}
