import CHGNetVulkan
import HGNetCore
import HGNetProgram

/// One dispatch: a shader with what it is bound to.
struct GPUStep: Sendable {
  /// What a shader is bound to.
  enum Place: Sendable {
    /// Bytes of the arena.
    case arena(offset: Int, byteCount: Int)
    case weights(WeightSlice)
    case upload
    /// Bytes of what the host reads.
    case download(offset: Int, byteCount: Int)

    /// The bytes of the arena.
    var range: Range<Int>? {
      if case .arena(let offset, let byteCount) = self { offset..<offset + byteCount } else { nil }
    }
  }

  var pipeline: PipelineKey
  /// What it reads first, its weights, its addends, its result and what it adds last.
  var input: Place
  var weights: Place?
  var biases: Place?
  var output: Place
  var other: Place?
  var numbers: hgv_step
  var groups: (UInt32, UInt32, UInt32)
  /// What it does for a layer; nil for what brings pictures and takes results.
  var description: LayerDescription?

  /// All places in the order of the bindings; what a shader does not look at is bound to its input.
  var places: [Place] { [input, weights ?? input, biases ?? input, output, other ?? input] }
  /// The bytes of the arena that it reads.
  var reads: [Range<Int>] { [input, weights, other].compactMap { $0?.range } }
}

/// The steps of a run.
///
/// Threads: a value.
struct GPUPlan: Sendable {
  let places: GPUPlaces
  let steps: [GPUStep]

  /// Makes the steps.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` naming a layer with more values than the device counts.
  init(_ places: GPUPlaces, weights: WeightPlan, tiles: TileChoice, device: GPUDescription) throws(HGNetError) {
    self.places = places
    let builder = StepBuilder(places: places, weights: weights, tiles: tiles, device: device)
    var steps = [try builder.enter()]
    for step in places.inference.steps {
      switch step {
      case .layer(let layer): steps.append(try builder.layer(layer))
      case .copy(let copy): steps.append(try builder.copy(copy))
      }
    }
    for output in places.inference.program.outputs.indices { steps.append(try builder.leave(output)) }
    self.steps = steps
  }

  /// Before which steps everything that was recorded must have ended: those that read what was written, or write what was
  /// read or written, since the last of these places.
  var barriers: [Bool] {
    var (reads, writes) = ([Range<Int>](), [Range<Int>]())
    return steps.map { step in
      let own = step.output.range
      func touches(_ ranges: [Range<Int>], _ range: Range<Int>) -> Bool { ranges.contains { $0.overlaps(range) } }
      let isNeeded =
        step.reads.contains { touches(writes, $0) } || own.map { touches(writes, $0) || touches(reads, $0) } ?? false
      if isNeeded { (reads, writes) = ([], []) }
      reads += step.reads
      if let own { writes.append(own) }
      return isNeeded
    }
  }
}

/// How large the part of a product is that a workgroup computes.
///
/// The bits of the results do not depend on it. Threads: a value.
package struct TileChoice: Hashable, Sendable {
  /// Pixels and output channels of a workgroup, channels of a turn; nil for what fits the layer.
  package var rows, columns, depth: Int?
  /// Whether products of float16 run on matrix units where the device has them.
  package var usesMatrices = true

  /// Whatever fits each layer.
  package static let fitting = TileChoice()

  /// Wants a size for all layers; the columns are made smaller where there are fewer channels.
  package init(rows: Int? = nil, columns: Int? = nil, depth: Int? = nil, usesMatrices: Bool = true) {
    (self.rows, self.columns, self.depth) = (rows, columns, depth)
    self.usesMatrices = usesMatrices
  }

  /// The constants of the shader `matrices`: four subgroups, or two for few channels.
  func matrixConstants(
    rows: Int, columns: Int, device: GPUDescription, shape: hgv_matrix_shape
  ) -> [UInt32] {
    let subgroup = Int(device.info.largest_subgroup)
    // A driver that plays them compiles large parts for half a minute.
    var part = device.isSoftware ? 16 : 32
    if !device.isSoftware, rows.divided(by: 64) * columns.divided(by: 64) < 128 { part = 16 }
    if let wanted = self.rows { part = wanted >= 64 ? 32 : 16 }
    let across = columns > part ? 2 : 1
    return [
      2 * across * subgroup, 2 * part, across * part, depth ?? (device.isSoftware ? 16 : 32), part, part,
      Int(shape.rows), Int(shape.columns), Int(shape.depth),
    ].map { UInt32($0) }
  }

  /// The constants of the shader `convolution`.
  func constants(rows: Int, columns: Int, isSoftware: Bool) -> [UInt32] {
    var (tileRows, tileColumns) = (64, 64)
    // Of few tiles more, smaller ones keep a device busy.
    if !isSoftware, rows.divided(by: 64) * columns.divided(by: 64) < 128 { (tileRows, tileColumns) = (32, 32) }
    tileRows = self.rows ?? tileRows
    tileColumns = self.columns ?? tileColumns
    while tileColumns > 16, tileColumns / 2 >= columns { tileColumns /= 2 }
    // A thread computes 8×8 sums of a large tile, fewer of a small one: 64 threads at most tiles. (Where the processor plays
    // them, 16×8 sums take 15 % less time and twice as long to compile.)
    let ownColumns = tileColumns >= 32 ? 2 : 1
    let across = tileColumns / 4 / ownColumns
    let ownRows = max(1, min(8, tileRows * across / 64))
    let threads = tileRows / ownRows * across
    // Short turns are compiled in half the time, which is the processor's own there.
    return [threads, tileRows, tileColumns, depth ?? (isSoftware ? 8 : 16), ownRows, ownColumns].map { UInt32($0) }
  }
}
