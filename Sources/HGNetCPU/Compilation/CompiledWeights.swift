import HGNetCore
import HGNetProgram

/// The packed weights and epilogues of a program's layers, in their order.
final class CompiledWeights: Sendable {
  let packed: [PackedWeights?]
  let epilogues: [EpilogueValues]
  /// What bytes mean; nil at a precision that has none.
  let scales: ResultScales?
  private let arena: WeightArena

  /// Bytes of all.
  var byteCount: Int { arena.byteCount }

  /// Chooses an implementation for each layer and packs its parameters.
  ///
  /// - Parameters:
  ///   - program: the layers.
  ///   - parameters: each is asked for once or twice and not kept.
  ///   - target: for what.
  ///   - pool: the threads that pack; nil packs on the caller's.
  /// - Throws: `HGNetError.Code.parameterMismatch` for a missing or misshapen parameter, `unsupported` for a layer that no
  ///   implementation takes, both naming the layer.
  init(
    _ program: Program, parameters: some ParameterSource, target: Target, pool: ThreadPool?
  ) throws(HGNetError) {
    var scales: ResultScales?
    if target.precision == .int8 { scales = try ResultScales(program, ranges: parameters.ranges) }
    self.scales = scales
    let reader = ParameterReader(
      store: parameters,
      integers: scales.map {
        IntegerTarget(kernels: target.instructionSet.integerKernels, scales: $0, elements: program.elements)
      })
    let implementations = try CompiledWeights.implementations(program, target: target)
    let extents = CompiledWeights.extents(program, implementations)
    arena = try WeightArena(byteCount: PackedExtent.sum(extents))
    var next = arena.base
    packed = extents.map { extent in
      guard let extent else { return nil }
      defer { next += extent.byteCount }
      return PackedWeights(extent, at: next)
    }
    var epilogues: [EpilogueValues] = []
    for layer in program.layers { epilogues.append(try reader.epilogue(of: layer)) }
    self.epilogues = epilogues

    let places = packed
    let failure = Monitor<HGNetError?>(nil)
    let packOne = { (index: Int) in
      guard let place = places[index], let implementation = implementations[index] else { return }
      place.bias.update(repeating: 0, count: place.paddedColumns)
      do throws(HGNetError) {
        try implementation.pack(program.layers[index], reader, into: place)
      } catch {
        failure.withLock { if $0 == nil { $0 = error } }
      }
    }
    if let pool {
      pool.forEach(program.layers.count, packOne)
    } else {
      program.layers.indices.forEach(packOne)
    }
    if let error = failure.withLock({ $0 }) { throw error }
  }

  /// What packs and runs each layer; nil for a concatenation, which its producers write.
  private static func implementations(
    _ program: Program, target: Target
  ) throws(HGNetError) -> [(any Implementation.Type)?] {
    var implementations: [(any Implementation.Type)?] = []
    for layer in program.layers {
      implementations.append(
        layer.kind == .concatenate ? nil : try ImplementationList.choice(for: layer, on: target).implementation)
    }
    return implementations
  }

  private static func extents(
    _ program: Program, _ implementations: [(any Implementation.Type)?]
  ) -> [PackedExtent?] {
    zip(program.layers, implementations).map { $1?.extent(of: $0) }
  }

  /// The sizes of the packed weights of each layer, without packing any.
  ///
  /// - Throws: `HGNetError.Code.unsupported` for a layer that no implementation takes.
  static func extents(_ program: Program, target: Target) throws(HGNetError) -> [PackedExtent?] {
    extents(program, try implementations(program, target: target))
  }
}
