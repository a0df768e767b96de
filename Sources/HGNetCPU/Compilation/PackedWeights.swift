import HGNetCore
import HGNetProgram

/// How the weights of a layer lie in memory; the implementation whose they are declares it.
struct WeightLayout: Hashable, Sendable, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }

  /// As the parameters are declared.
  static let asDeclared = WeightLayout("as declared")
}

/// What packed weights will need, known before any parameter is read.
struct PackedExtent: Hashable, Sendable {
  let layout: WeightLayout
  let weightByteCount: Int
  let columns: Int

  /// - Parameters:
  ///   - layout: how they will lie.
  ///   - weightCount: the number of values.
  ///   - element: the type of a value.
  ///   - columns: the number of biases.
  init(layout: WeightLayout, weightCount: Int, element: ElementType = .float32, columns: Int) {
    self.layout = layout
    weightByteCount = weightCount * element.byteCount
    self.columns = columns
  }

  /// Panels of 16 output channels of a dense convolution or linear layer; nil for another layer.
  init?(panelsOf layer: Layer) {
    switch layer.kind {
    case .convolution(let convolution, _):
      let taps = convolution.kernel.height * convolution.kernel.width
      let channels = convolution.inputChannels / convolution.groups
      let columns = convolution.outputChannels
      self.init(layout: .panels, weightCount: columns.roundedUp(to: 16) * channels * taps, columns: columns)
    case .linear(_, _, let inputFeatures, let outputFeatures):
      self.init(
        layout: .panels, weightCount: outputFeatures.roundedUp(to: 16) * inputFeatures, columns: outputFeatures)
    default: return nil
    }
  }

  var paddedColumns: Int { columns.roundedUp(to: 16) }

  /// Bytes in the arena, each part on a cache line of its own.
  var byteCount: Int { weightByteCount.roundedUp(to: 64) + 4 * paddedColumns }

  /// The bytes of all, `Int.max` where they do not fit.
  static func sum(_ extents: [PackedExtent?]) -> Int {
    extents.reduce(0) { sum, extent in
      let (result, overflow) = sum.addingReportingOverflow(extent?.byteCount ?? 0)
      return overflow ? .max : result
    }
  }
}

/// The weights of one layer as its kernel streams them, and its bias.
struct PackedWeights: Sendable {
  let layout: WeightLayout
  let weightByteCount: Int
  let paddedColumns: Int
  nonisolated(unsafe) let weights: UnsafeMutableRawPointer
  nonisolated(unsafe) let bias: UnsafeMutablePointer<Float>

  /// - Parameters:
  ///   - extent: what they need.
  ///   - start: that many bytes, on a cache line.
  init(_ extent: PackedExtent, at start: UnsafeMutableRawPointer) {
    layout = extent.layout
    weightByteCount = extent.weightByteCount
    paddedColumns = extent.paddedColumns
    weights = start
    bias = (start + extent.weightByteCount.roundedUp(to: 64))
      .bindMemory(to: Float.self, capacity: extent.paddedColumns)
  }

  /// The weights as float32 values.
  var floats: UnsafeMutablePointer<Float> { weights.assumingMemoryBound(to: Float.self) }
}

/// All packed weights of a network in one block.
final class WeightArena: Sendable {
  nonisolated(unsafe) let base: UnsafeMutableRawPointer
  let byteCount: Int

  /// - Throws: `HGNetError.Code.limitExceeded` when there is not enough memory.
  init(byteCount: Int) throws(HGNetError) {
    self.byteCount = byteCount
    base = try UnsafeMutableRawPointer.pages(
      byteCount: byteCount, isLarge: false, for: "the weights of the network")
  }

  deinit { base.deallocatePages() }
}
