import HGNetCore
import HGNetProgram

extension LayerDescription {
  /// The least time in seconds that a machine needs for it.
  package func bound(on peak: MachinePeak) -> Double {
    max(Double(operations) / peak.arithmetic, Double(byteCount) / peak.reading)
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
  var layerDescriptions: [LayerDescription] {
    layers.compactMap { step in
      guard let input = step.inputShape, let output = step.outputShape else { return nil }
      return LayerDescription(
        name: step.name, algorithm: step.work.algorithm, inputShape: input, outputShape: output,
        operations: step.operations, byteCount: 4 * batch * (input.count + output.count) + step.weightByteCount)
    }
  }
}
