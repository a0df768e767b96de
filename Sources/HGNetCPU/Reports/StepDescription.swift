import HGNetCore

/// One step of a plan as it is told to people: what it computes and how.
package struct StepDescription: Sendable {
  /// The layer's name, as in the parameters.
  package var name: String
  /// `product`, `strassen`, `direct`, `winograd-f4`, `depthwise` and so on.
  package var algorithm: String
  /// The extents of one picture before.
  package var inputShape: ActivationShape
  /// The extents of one picture after.
  package var outputShape: ActivationShape
  /// Operations of the algorithm, a multiply-add counted as two: fewer than the direct sum's for Strassen and Winograd.
  package var operations: Int
  /// The least bytes that move: weights, input and output once each.
  package var bytes: Int

  /// The least time in seconds that a machine needs for it.
  package func bound(on peak: MachinePeak) -> Double {
    max(Double(operations) / peak.arithmetic, Double(bytes) / peak.reading)
  }
}

extension Plan {
  /// A step for each layer that stands for all pictures.
  var layers: [Step] {
    var layers: [Step] = []
    for step in steps {
      if step.layer == layers.count {
        layers.append(step)
      } else {
        layers[step.layer].pictures += step.pictures
        layers[step.layer].multiplyAdds += step.multiplyAdds
      }
    }
    return layers
  }

  /// What each layer took.
  ///
  /// - Parameter times: nanoseconds at the start and at the end of each step.
  func layerNanoseconds(_ times: UnsafeMutablePointer<UInt64>) -> [UInt64] {
    var sums = [UInt64](repeating: 0, count: (steps.last?.layer ?? -1) + 1)
    for (index, step) in steps.enumerated() { sums[step.layer] += times[index + 1] - times[index] }
    return sums
  }

  /// What the layers do, in their order.
  package var stepDescriptions: [StepDescription] {
    layers.compactMap { step in
      guard let input = step.inputShape, let output = step.outputShape else { return nil }
      return StepDescription(
        name: step.name, algorithm: step.work.algorithm, inputShape: input, outputShape: output,
        operations: step.operations, bytes: 4 * batch * (input.count + output.count) + step.weightByteCount)
    }
  }
}
