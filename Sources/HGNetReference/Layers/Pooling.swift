import HGNetCore
import HGNetProgram

/// Maximum over windows, whose border never wins, and mean over pictures.
extension Walk {
  func takeMaximum(_ window: Window, _ input: Pointer, into target: Pointer) {
    let channels = window.output.channels
    for index in 0..<batch * window.output.count { target[index] = -.infinity }
    window.forEachTap { source, pixel, _ in
      for channel in 0..<channels {
        let place = pixel * channels + channel
        target[place] = max(target[place], input[source * channels + channel])
      }
    }
  }

  /// The gradient goes to the first of the largest.
  func takeMaximumBack(_ window: Window, _ own: Pointer, _ input: Pointer, into target: Pointer?) {
    guard let target else { return }
    let channels = window.output.channels
    var best = [Int](repeating: -1, count: batch * window.output.count)
    window.forEachTap { source, pixel, _ in
      for channel in 0..<channels {
        let (place, candidate) = (pixel * channels + channel, source * channels + channel)
        if best[place] < 0 || input[candidate] > input[best[place]] { best[place] = candidate }
      }
    }
    for (place, source) in best.enumerated() where source >= 0 { target[source] += own[place] }
  }

  func average(_ layer: Layer, _ input: Pointer, into target: Pointer) {
    let shape = shapes[layer.inputs[0]]
    let (channels, pixels) = (shape.channels, shape.height * shape.width)
    for image in 0..<batch {
      for channel in 0..<channels {
        var sum = 0.0
        for pixel in 0..<pixels { sum += input[(image * pixels + pixel) * channels + channel] }
        target[image * channels + channel] = sum / Double(pixels)
      }
    }
  }

  func averageBack(_ layer: Layer, _ own: Pointer, into target: Pointer?) {
    guard let target else { return }
    let shape = shapes[layer.inputs[0]]
    let (channels, pixels) = (shape.channels, shape.height * shape.width)
    for index in 0..<batch * shape.count {
      target[index] += own[index / channels / pixels * channels + index % channels] / Double(pixels)
    }
  }
}
