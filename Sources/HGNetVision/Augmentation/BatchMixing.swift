import HGNetCore

/// What happens to a whole batch before it is trained on: pictures and labels are mixed in pairs.
///
/// Source: PaddleClas, `ppcls/data/preprocess/batch_ops/batch_operators.py`. Threads: a value, safe to share.
package indirect enum BatchMixing: Hashable, Sendable {
  /// Every picture becomes `λ · itself + (1 − λ) · a partner`, λ of the distribution Beta(α, α) (`MixupOperator`).
  case mixup(alpha: Double = 1)
  /// A rectangle of every picture comes from a partner (`CutmixOperator`).
  ///
  /// λ is drawn from Beta(α, α); the rectangle has sides of √(1 − λ) of the picture's, a random centre, and is cut at
  /// the border. Labels are mixed by the area that is left.
  case cutmix(alpha: Double = 0.2)
  /// One of several by probability, else nothing (`OpSampler`).
  case oneOf([Choice])

  /// One mixing with its probability.
  package struct Choice: Hashable, Sendable {
    /// What is done.
    package var mixing: BatchMixing
    /// How likely it is, 0 … 1.
    package var probability: Double

    /// Makes a choice.
    package init(_ mixing: BatchMixing, probability: Double) {
      self.mixing = mixing
      self.probability = probability
    }
  }

  /// Draws how one batch is mixed, nil for not at all.
  ///
  /// - Parameters:
  ///   - count: the number of pictures.
  ///   - size: their height and width.
  ///   - generator: where chance comes from.
  /// - Throws: `HGNetError.Code.invalidArgument` for an α that is not above 0 or probabilities that add up to more
  ///   than 1.
  package func draw(
    count: Int, size: Size, using generator: inout RandomGenerator
  ) throws(HGNetError) -> BatchMix? {
    try check()
    switch self {
    case .mixup(let alpha):
      let partners = generator.permutation(of: count)
      return BatchMix(partners: partners, share: generator.beta(alpha), window: nil)
    case .cutmix(let alpha):
      let partners = generator.permutation(of: count)
      let side = (1 - generator.beta(alpha)).squareRoot()
      func span(_ length: Int) -> Range<Int> {
        let half = Int(Double(length) * side) / 2
        let center = generator.integer(upTo: length - 1)
        return max(center - half, 0)..<min(center + half, length)
      }
      let rows = span(size.height)
      let columns = span(size.width)
      let window = Augmentation.Window(
        top: rows.lowerBound, left: columns.lowerBound, size: Size(height: rows.count, width: columns.count))
      let share = 1 - Double(rows.count * columns.count) / Double(max(size.height * size.width, 1))
      return BatchMix(partners: partners, share: share, window: window)
    case .oneOf(let choices):
      let rest = 1 - choices.reduce(0) { $0 + $1.probability }
      let weights = choices.map(\.probability) + [max(rest, 0)]
      guard let index = generator.index(weights: weights), index < choices.count else { return nil }
      return try choices[index].mixing.draw(count: count, size: size, using: &generator)
    }
  }

  /// Judges the numbers.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for an α that is not above 0, or probabilities outside 0 … 1 or with a
  ///   sum above 1.
  package func check() throws(HGNetError) {
    switch self {
    case .mixup(let alpha), .cutmix(let alpha):
      guard alpha > 0, alpha.isFinite else {
        throw HGNetError(.invalidArgument, "expected an alpha above 0 for mixing pictures, found \(alpha)")
      }
    case .oneOf(let choices):
      // A little above 1 is the rounding of numbers such as 0.7 + 0.2 + 0.1.
      guard choices.allSatisfy({ $0.probability >= 0 }), choices.reduce(0, { $0 + $1.probability }) <= 1 + 1e-9 else {
        throw HGNetError(
          .invalidArgument,
          "expected probabilities of 0 or more that add up to at most 1, found \(choices.map(\.probability))")
      }
      for choice in choices { try choice.mixing.check() }
    }
  }
}

/// How one batch is mixed: everything that chance decides.
///
/// Threads: a value, safe to share.
package struct BatchMix: Hashable, Sendable {
  /// For each picture the one that it is mixed with: a permutation.
  package var partners: [Int]
  /// The share of its own label that a picture keeps, 0 … 1; without a window also of its own pixels.
  package var share: Double
  /// The part that comes from the partner; nil where whole pictures are blended.
  package var window: Augmentation.Window?

  /// Mixes a batch and its labels in place.
  ///
  /// Cost: one pass over what changes, with the memory of one picture beside it.
  ///
  /// - Parameters:
  ///   - pictures: `[N, H, W, 3]`.
  ///   - labels: `[N, K]`, for each picture the probability of every class.
  /// - Throws: `HGNetError.Code.shapeMismatch` when the shapes do not belong to each other or to the mix.
  package func apply(toPictures pictures: inout Tensor, labels: inout Tensor) throws(HGNetError) {
    let (shape, labelShape, count) = (pictures.shape, labels.shape, partners.count)
    guard shape.rank == 4, shape[3] == 3, labelShape.rank == 2, shape[0] == count, labelShape[0] == count else {
      throw HGNetError(
        .shapeMismatch,
        "expected \(count) pictures [N, H, W, 3] with labels [N, K] to mix, found \(shape) and \(labelShape)")
    }
    guard Set(partners) == Set(0..<count) else {
      throw HGNetError(.invalidArgument, "expected partners that are a permutation of 0 ..< \(count)")
    }
    if let window {
      guard window.top >= 0, window.left >= 0, window.size.height >= 0, window.size.width >= 0,
        window.size.height <= shape[1] - window.top, window.size.width <= shape[2] - window.left
      else {
        throw HGNetError(
          .shapeMismatch,
          "expected a window inside pictures of \(Size(height: shape[1], width: shape[2])), found \(window)")
      }
      let width = shape[2]
      pictures.withUnsafeMutableBufferPointer { buffer in
        exchange(
          in: buffer, stride: shape[1] * width * 3, runs: window.size.height, runLength: window.size.width * 3,
          start: 3 * (window.top * width + window.left), runStride: 3 * width
        ) { _, other in other }
      }
    } else {
      blend(&pictures, stride: shape[1] * shape[2] * 3)
    }
    blend(&labels, stride: labelShape[1])
  }

  /// Every row of `stride` numbers becomes `share · itself + (1 − share) · its partner`.
  private func blend(_ tensor: inout Tensor, stride: Int) {
    let (own, others) = (Float(share), Float(1 - share))
    tensor.withUnsafeMutableBufferPointer { buffer in
      exchange(in: buffer, stride: stride, runs: 1, runLength: stride, start: 0, runStride: 0) { mine, other in
        own * mine + others * other
      }
    }
  }

  /// Combines the elements with their partners in place, along the cycles of the permutation, so that a single element
  /// is kept aside.
  @inline(__always)
  private func exchange(
    in buffer: UnsafeMutableBufferPointer<Float>, stride: Int, runs: Int, runLength: Int, start: Int, runStride: Int,
    _ combine: (_ own: Float, _ other: Float) -> Float
  ) {
    guard let base = buffer.baseAddress, runs > 0, runLength > 0 else { return }
    let kept = UnsafeMutablePointer<Float>.allocate(capacity: runs * runLength)
    defer { kept.deallocate() }
    var isDone = [Bool](repeating: false, count: partners.count)
    for first in partners.indices where !isDone[first] {
      for run in 0..<runs {
        (kept + run * runLength).initialize(
          from: base + first * stride + start + run * runStride, count: runLength)
      }
      var current = first
      repeat {
        let next = partners[current]
        isDone[current] = true
        for run in 0..<runs {
          let own = base + current * stride + start + run * runStride
          let other = next == first ? kept + run * runLength : base + next * stride + start + run * runStride
          for index in 0..<runLength { own[index] = combine(own[index], other[index]) }
        }
        current = next
      } while current != first
    }
  }
}
