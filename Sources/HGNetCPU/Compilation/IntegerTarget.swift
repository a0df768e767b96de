import CHGNetKernels
import HGNetCore
import HGNetProgram

/// What packing weights for bytes needs to know besides the parameters.
struct IntegerTarget: Sendable {
  nonisolated(unsafe) let kernels: UnsafePointer<hg_integer_kernels>
  let scales: ResultScales
  let elements: [ElementType]

  /// The scale of a layer's result; nil where that is float32.
  func output(of layer: Layer) -> ValueScale? { elements[layer.result] == .uint8 ? scales[layer.result] : nil }
}
