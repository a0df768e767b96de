// The names of the functions are C's, and hgnet.h documents them.
// swift-format-ignore-file: AlwaysUseLowerCamelCase, AllPublicDeclarationsHaveDocumentation

import CHGNet
import HGNetCore

/// A tensor `[N, 3, H, W]` as a caller hands it over.
private struct InputTensor {
  let values: UnsafeBufferPointer<Float>
  let batch: Int
  let size: Size

  private static let largestExtent = 65536

  init(_ pointer: UnsafePointer<Float>?, batch: Int, height: Int, width: Int) throws(CallFailure) {
    let start = try Call.required(pointer, "the input")
    for (name, extent) in [("batch", batch), ("height", height), ("width", width)] {
      guard (1...InputTensor.largestExtent).contains(extent) else {
        throw .invalidArgument(
          "expected \(name) of 1 to \(InputTensor.largestExtent), found \(UInt(bitPattern: extent))")
      }
    }
    // Three extents of at most 2¹⁶ and three channels: no product below overflows.
    self.batch = batch
    size = Size(height: height, width: width)
    values = UnsafeBufferPointer(start: start, count: batch * 3 * height * width)
  }
}

@c @implementation
public func hgnet_tensor_run(
  _ classifier: hgnet_classifier, _ input: UnsafePointer<Float>?, _ batch: Int, _ height: Int, _ width: Int,
  _ logits: UnsafeMutablePointer<Float>?, _ capacity: Int
) -> hgnet_status {
  Call.status {
    let open = try Classifiers.open(classifier)
    let input = try InputTensor(input, batch: batch, height: height, width: width)
    let target = try Call.target(logits, capacity: capacity, "the logits")
    let count = input.batch * open.classCount
    guard count <= target.count else {
      throw CallFailure.tooSmall(expected: count, found: target.count, of: "floats")
    }
    try open.logits.run(
      input.values, batch: input.batch, size: input.size, output: 0,
      into: UnsafeMutableBufferPointer(rebasing: target[..<count]))
  }
}

@c @implementation
public func hgnet_tensor_features(
  _ classifier: hgnet_classifier, _ input: UnsafePointer<Float>?, _ batch: Int, _ height: Int, _ width: Int,
  _ stage: Int32, _ features: UnsafeMutablePointer<Float>?, _ capacity: Int, _ shape: UnsafeMutablePointer<Int>?
) -> hgnet_status {
  Call.status {
    let open = try Classifiers.open(classifier)
    let input = try InputTensor(input, batch: batch, height: height, width: width)
    let target = try Call.target(features, capacity: capacity, "the features")
    let extents = try Call.required(shape, "the place for the shape")
    guard 0..<open.stageCount ~= Int(stage) else {
      throw CallFailure.invalidArgument("expected a stage of 0 to \(open.stageCount - 1), found \(stage)")
    }
    let run = try open.features()
    let one = try run.shapes(inputSize: input.size)[Int(stage)]
    for (axis, extent) in [input.batch, one.channels, one.height, one.width].enumerated() { extents[axis] = extent }
    let count = input.batch * one.count
    guard count <= target.count else {
      throw CallFailure.tooSmall(expected: count, found: target.count, of: "floats")
    }
    try run.run(
      input.values, batch: input.batch, size: input.size, output: Int(stage),
      into: UnsafeMutableBufferPointer(rebasing: target[..<count]))
  }
}
