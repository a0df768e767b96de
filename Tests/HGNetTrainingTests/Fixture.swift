import Foundation
import HGNetCore
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

/// Parameters in memory for the tests of optimisers.
final class PlainParameters: TrainableParameters {
  let declarations: [ParameterDeclaration]
  var isFrozen: [Bool]
  private let values: [UnsafeMutableBufferPointer<Float>]
  private let gradients: [UnsafeMutableBufferPointer<Float>]

  init(_ declarations: [ParameterDeclaration], values: [[Float]]) {
    self.declarations = declarations
    isFrozen = declarations.map { _ in false }
    self.values = values.map {
      let buffer = UnsafeMutableBufferPointer<Float>.allocate(capacity: $0.count)
      _ = buffer.initialize(fromContentsOf: $0)
      return buffer
    }
    gradients = values.map {
      let buffer = UnsafeMutableBufferPointer<Float>.allocate(capacity: $0.count)
      buffer.initialize(repeating: 0)
      return buffer
    }
  }

  deinit {
    values.forEach { $0.deallocate() }
    gradients.forEach { $0.deallocate() }
  }

  func withValue<Result>(_ index: Int, _ body: (UnsafeMutableBufferPointer<Float>) -> Result) -> Result {
    body(values[index])
  }

  func withGradient<Result>(_ index: Int, _ body: (UnsafeMutableBufferPointer<Float>) -> Result) -> Result {
    body(gradients[index])
  }

  subscript(index: Int) -> [Float] { Array(values[index]) }

  func setGradient(_ index: Int, _ new: [Float]) { _ = gradients[index].update(fromContentsOf: new) }
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
