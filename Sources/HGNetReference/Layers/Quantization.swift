import HGNetCore
import HGNetProgram

/// What quantisation-aware training adds: weights and values rounded to 8 bits, and gradients of ranges.
extension Walk {
  private var rounds: Bool { training?.rounds ?? false }

  /// Keeps values inside a range and rounds them to its steps; `outside` becomes -1 below, 1 above, 0 else.
  func quantize(_ values: Pointer, count: Int, range: String, outside: Pointer?) throws(HGNetError) {
    let ends = try parameters.pointer(range, layer: range)
    var (least, greatest, step) = (min(ends[0], 0), max(ends[1], 0), 0.0)
    if rounds {
      step = Double(Float((greatest - least) / 255))
      if !Float(step).isNormal { step = 1 }
      let zero = min(max((-least / step).rounded(), 0), 255)
      (least, greatest) = (-zero * step, (255 - zero) * step)
    }
    for index in 0..<count {
      let value = values[index]
      outside?[index] = value < least ? -1 : value > greatest ? 1 : 0
      let kept = value < least ? least : value > greatest ? greatest : value
      values[index] = rounds ? (kept / step).rounded(.toNearestOrEven) * step : kept
    }
  }

  /// Gives the gradients of values outside of a range to its ends, and takes them from the values.
  func takeQuantizationBack(_ own: Pointer, count: Int, range: String, outside: Pointer) {
    var (low, high) = (0.0, 0.0)
    for index in 0..<count where outside[index] != 0 {
      if outside[index] < 0 { low += own[index] } else { high += own[index] }
      own[index] = 0
    }
    guard let gradient = parameterGradient(range) else { return }
    gradient[0] += low
    gradient[1] += high
  }

  /// The weights of a layer, in quantisation-aware training rounded with a scale for each output channel.
  func weights(
    _ name: String, _ layer: Layer, channels: Int, channelStride: Int, valueStride: Int, count: Int
  ) throws(HGNetError) -> Numbers {
    let source = try parameters.pointer(name, layer: layer.name)
    let result = try Numbers(count: channels * count, for: "the weights of a layer")
    result.base.update(from: source, count: channels * count)
    guard layer.quantization != nil, rounds else { return result }
    for channel in 0..<channels {
      let places = (0..<count).map { channel * channelStride + $0 * valueStride }
      var scale = Float(places.reduce(0) { max($0, abs(source[$1])) }) / 127
      if !scale.isNormal { scale = 1 }
      for place in places {
        let steps = (source[place] / Double(scale)).rounded(.toNearestOrEven)
        result.base[place] = min(max(steps, -127), 127) * Double(scale)
      }
    }
    return result
  }
}
