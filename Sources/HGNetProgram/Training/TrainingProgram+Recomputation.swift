import HGNetCore

/// At the level O2 results are not kept from the forward to the backward pass where they come from what is kept anyway: a
/// unit's from the convolution's sums and its statistics, a maximum pool's from its input. They get the same bits again.
extension TrainingProgram {
  /// Finds the buffers whose results can all be computed again; those of a concatenation share one.
  mutating func findRecomputable() {
    isRecomputable = [Bool](repeating: program.mixedPrecision == .o2, count: buffers.count)
    func keep(_ result: Int) { if let buffer = results[result]?.buffer { isRecomputable[buffer] = false } }
    keep(program.input)
    for output in program.outputs { keep(output.result) }
    for layer in program.layers {
      switch layer.kind {
      case .concatenate, .maxPool: continue
      case .convolution, .linear:
        let isMasked = layer.affine.contains {
          if case .dropout(let probability) = $0 { probability > 0 } else { false }
        }
        if isMasked { keep(layer.result) }
      case .globalAveragePool, .add, .gate, .pointwise, .copy, .softmax, .decoder: keep(layer.result)
      }
    }
  }

  /// Where a result lies in the backward pass, after it has been computed again if it is not kept.
  mutating func again(_ result: Int) throws(HGNetError) -> Location {
    let location = try location(result)
    guard isRecomputable[location.buffer] else { return location }
    for part in parts(of: result) { try recompute(part) }
    return recomputedPlace(location)
  }

  private func recomputedPlace(_ location: Location) -> Location {
    var place = location
    // Behind the buffers of results and of their gradients.
    place.buffer += 2 * placedBufferCount
    return place
  }

  private mutating func recompute(_ result: Int) throws(HGNetError) {
    guard !recomputed[result] else { return }
    recomputed[result] = true
    guard let layer = program.layer(computing: result) else {
      throw HGNetError(.internalInconsistency, "a result without a layer")
    }
    let output = recomputedPlace(try location(result))
    let residual = try layer.residual.map { (residual) throws(HGNetError) in try again(residual) }
    if case .maxPool = layer.kind {
      add(
        layer.name + " again",
        .layer(layer, inputs: [try again(layer.inputs[0])], residual: residual, output: output))
      return
    }
    guard let unit = units.firstIndex(where: { $0.layer.result == result }) else {
      throw HGNetError(.internalInconsistency, "a result that cannot be computed again", layer: layer.name)
    }
    add(layer.name + " apply again", .normalization(unit: unit, residual: residual, output: output))
  }
}
