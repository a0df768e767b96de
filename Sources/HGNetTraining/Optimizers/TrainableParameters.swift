import HGNetCore

/// Parameters that an optimiser changes: values and gradients by index.
///
/// Threads: one task changes them at a time; ranges of one parameter may be written from several threads.
package protocol TrainableParameters {
  /// Names, shapes and roles; the index of a parameter is its position here.
  var declarations: [ParameterDeclaration] { get }
  /// Whether each parameter is kept as it is.
  var isFrozen: [Bool] { get }
  /// Calls `body` with the values of a parameter, C order of its declared shape; the pointer must not escape.
  func withValue<Result>(_ index: Int, _ body: (UnsafeMutableBufferPointer<Float>) -> Result) -> Result
  /// Calls `body` with the gradient of a parameter, in the same order; the pointer must not escape.
  func withGradient<Result>(_ index: Int, _ body: (UnsafeMutableBufferPointer<Float>) -> Result) -> Result
}

extension TrainableParameters {
  /// The indices that an optimiser changes: learned and not frozen.
  package var trainedIndices: [Int] {
    declarations.indices.filter {
      declarations[$0].role.isLearned && !($0 < isFrozen.count && isFrozen[$0])
    }
  }
}
