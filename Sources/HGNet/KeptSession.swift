import HGNetCore
import HGNetCPU

/// The session of the last call, kept for the next one with the same batch and size.
struct KeptSession: ~Copyable {
  private var session: Session?

  init() { session = nil }

  /// Runs the network on one or more pictures `[H, W, 3]` of one size; the outputs are `[N, K]` or `[N, H, W, C]`.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` for pictures of different or unfit sizes, `limitExceeded`.
  mutating func run(_ pictures: [Tensor], model: InferenceModel, pool: ThreadPool) throws(HGNetError) -> [Tensor] {
    guard let first = pictures.first, first.shape.rank == 3, first.shape[2] == 3,
      pictures.allSatisfy({ $0.shape == first.shape })
    else {
      throw HGNetError(.shapeMismatch, "expected pictures [H, W, 3] of one size, found \(pictures.map(\.shape))")
    }
    let size = Size(height: first.shape[0], width: first.shape[1])
    if session?.plan.batch != pictures.count || session?.plan.inputSize != size {
      // The old activations go before the new ones come.
      session = nil
      session = try model.session(batch: pictures.count, inputSize: size, pool: pool)
    }
    let shape: Shape = [pictures.count, size.height, size.width, 3]
    let input = try Tensor(allocating: shape, for: "a batch of \(pictures.count) pictures") { target in
      for (index, picture) in pictures.enumerated() {
        picture.withUnsafeBufferPointer { source in
          let place = UnsafeMutableBufferPointer(
            rebasing: target[(index * source.count)..<((index + 1) * source.count)])
          _ = place.update(fromContentsOf: source)
        }
      }
    }
    return try session?.run(input) ?? []
  }
}
