import HGNetCore

/// A program for one batch and picture size: its steps in order, where each result lives and for how long.
///
/// Made for every session; no layer is fused again. A value without addresses. Threads: safe to share.
package struct InferenceProgram: Sendable {
  /// The layers, for the size of the pictures.
  package let program: Program
  /// The number of pictures of a run, 1 … 65536.
  package let batch: Int
  /// The steps in their order.
  package let steps: [Step]
  /// Where the results live; an engine may divide it into segments of the batch.
  package var placement: Placement

  /// A step: a layer, or a copy into a concatenation that cannot share its buffer.
  package enum Step: Hashable, Sendable {
    /// The layer at a place of `program.layers`.
    case layer(Int)
    case copy(Placement.Copy)
  }

  /// Orders the layers and finds a place for each result.
  ///
  /// - Parameters:
  ///   - program: for the size of the pictures.
  ///   - batch: the number of pictures.
  ///   - channelUnit: as for `Placement`.
  /// - Throws: `HGNetError.Code.invalidArgument` for a batch out of range, `limitExceeded` for one beyond any memory.
  package init(_ program: Program, batch: Int, channelUnit: Int = 1) throws(HGNetError) {
    guard batch >= 1, batch <= 1 << 16 else {
      throw HGNetError(.invalidArgument, "expected a batch of 1 to 65536, found \(batch)")
    }
    try program.graph.checkCounts(batch: batch)
    self.program = program
    self.batch = batch
    placement = Placement(program, batch: batch, channelUnit: channelUnit)
    var steps: [Step] = []
    for (number, layer) in program.layers.enumerated() {
      if layer.kind == .concatenate {
        steps += placement.copies.filter { $0.target == layer.result }.map { .copy($0) }
      } else {
        steps.append(.layer(number))
      }
    }
    self.steps = steps
    placement.touch(program.input, step: -1)
    for (number, step) in steps.enumerated() {
      for result in reads(of: step) + [result(of: step)] { placement.touch(result, step: number) }
    }
    for output in program.outputs { placement.touch(output.result, step: steps.count) }
  }

  /// The number of the result that a step writes.
  package func result(of step: Step) -> Int {
    switch step {
    case .layer(let layer): program.layers[layer].result
    case .copy(let copy): copy.target
    }
  }

  /// The numbers of the results that a step reads, the residual last.
  package func reads(of step: Step) -> [Int] {
    switch step {
    case .layer(let layer): program.layers[layer].inputs + [program.layers[layer].residual].compactMap { $0 }
    case .copy(let copy): [copy.source]
    }
  }
}
