import HGNetCore

/// Takes tensors `[N, 3, H, W]` through a network, of which results come out as `[N, C, H, W]`.
///
/// Threads: safe to share; calls take turns.
package final class TensorRun: Sendable {
  private let model: InferenceModel
  private let sessions: ForkSafeLock<SessionKeeper<Session>>

  /// Pictures per run of the network: bounds the memory, and the results do not depend on it.
  private static let batchLimit = 16

  /// Shares a compiled network.
  package init(model: InferenceModel) {
    self.model = model
    sessions = ForkSafeLock(SessionKeeper(model: model))
  }

  /// The shapes of the outputs for one picture of a size.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch`, `limitExceeded`.
  package func shapes(inputSize: Size) throws(HGNetError) -> [ActivationShape] {
    try model.outputShapes(inputSize: inputSize)
  }

  /// Runs the network.
  ///
  /// - Parameters:
  ///   - input: `batch × 3 × H × W` values in that order of axes.
  ///   - batch: the number of pictures.
  ///   - size: height and width.
  ///   - output: the index of the output.
  ///   - target: room for exactly `batch` outputs, which are written as `[N, C, H, W]`.
  /// - Throws: `HGNetError.Code.shapeMismatch` for an unfit size or room, `limitExceeded`.
  package func run(
    _ input: UnsafeBufferPointer<Float>, batch: Int, size: Size, output: Int,
    into target: UnsafeMutableBufferPointer<Float>
  ) throws(HGNetError) {
    try run(input, batch: batch, size: size) { (pictures, session) throws(HGNetError) in
      let count = target.count / batch
      try session.copyPlanes(
        of: output,
        into: UnsafeMutableBufferPointer(
          rebasing: target[pictures.lowerBound * count..<pictures.upperBound * count]))
    }
  }

  /// Runs the network and gives all its outputs.
  ///
  /// - Parameter input: `[N, 3, H, W]`.
  /// - Returns: `[N, C, H, W]` each.
  /// - Throws: as the other form.
  package func run(_ input: Tensor) throws(HGNetError) -> [Tensor] {
    guard input.shape.rank == 4, input.shape[1] == 3, input.shape.count > 0 else {
      throw HGNetError(.shapeMismatch, "expected a tensor [N, 3, H, W], found \(input.shape)")
    }
    let (batch, size) = (input.shape[0], Size(height: input.shape[2], width: input.shape[3]))
    var results: [Tensor] = []
    for shape in try shapes(inputSize: size) {
      results.append(
        try Tensor(
          allocating: [batch, shape.channels, shape.height, shape.width], for: "a result of the network"
        ) { _ in })
    }
    try input.withUnsafeBufferPointer { (values) throws(HGNetError) in
      try run(values, batch: batch, size: size) { (pictures, session) throws(HGNetError) in
        for index in results.indices {
          let count = results[index].count / batch
          try results[index].withUnsafeMutableBufferPointer { (target) throws(HGNetError) in
            try session.copyPlanes(
              of: index,
              into: UnsafeMutableBufferPointer(
                rebasing: target[pictures.lowerBound * count..<pictures.upperBound * count]))
          }
        }
      }
    }
    return results
  }

  /// Runs some pictures after the other, and lets `read` take the results of each run.
  private func run(
    _ input: UnsafeBufferPointer<Float>, batch: Int, size: Size,
    read: (_ pictures: Range<Int>, borrowing Session) throws(HGNetError) -> Void
  ) throws(HGNetError) {
    let count = 3 * size.height * size.width
    guard batch > 0, input.count == batch * count else {
      throw HGNetError(.shapeMismatch, "expected \(batch) × 3 × \(size) values, found \(input.count)")
    }
    try sessions.withLock { (sessions) throws(HGNetError) in
      for first in stride(from: 0, to: batch, by: TensorRun.batchLimit) {
        let pictures = first..<min(first + TensorRun.batchLimit, batch)
        let kept = try sessions.session(batch: pictures.count, size: size)
        kept.session.withInput { target in
          for (place, picture) in pictures.enumerated() {
            ChannelOrder.pixels(
              fromPlanes: UnsafeBufferPointer(rebasing: input[picture * count..<(picture + 1) * count]), channels: 3,
              into: UnsafeMutableBufferPointer(rebasing: target[place * count..<(place + 1) * count]))
          }
        }
        try kept.session.execute()
        try read(pictures, kept.session)
      }
    }
  }
}

extension Session {
  /// Copies a result of the last run as `[N, C, H, W]`.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` for another room, and as `result(_:)`.
  fileprivate borrowing func copyPlanes(
    of index: Int, into target: UnsafeMutableBufferPointer<Float>
  ) throws(HGNetError) {
    let result = try result(index)
    guard target.count == result.count else {
      throw HGNetError(.shapeMismatch, "expected room for \(result.count) values, found \(target.count)")
    }
    let (count, batch) = (result.count / batch, batch)
    result.withUnsafeBufferPointer { values in
      for picture in 0..<batch {
        let part = picture * count..<(picture + 1) * count
        ChannelOrder.planes(
          fromPixels: UnsafeBufferPointer(rebasing: values[part]), channels: result.shape[3],
          into: UnsafeMutableBufferPointer(rebasing: target[part]))
      }
    }
  }
}
