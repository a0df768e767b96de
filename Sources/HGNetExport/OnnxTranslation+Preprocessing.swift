import HGNetCore
import HGNetFormats
import HGNetVision

extension OnnxTranslation {
  /// The name of the raw pictures.
  static let pictureName = "image"

  /// Declares raw pictures as the input and appends what turns them into the value `x`.
  ///
  /// The sizes are computed inside the graph, so that a picture of any size may come.
  ///
  /// - Throws: `HGNetError.Code.unsupported` for an interpolation that is not written as ONNX, or transforms that do not
  ///   end in the network's size.
  mutating func appendPreprocessing(_ transforms: [Transform], operatorSet: Int) throws(HGNetError) {
    let steps = try OnnxPreprocessing.Step.list(transforms)
    try checkSize(after: transforms)
    // The name of the last node is kept for it.
    _ = graph.unique(OnnxTranslation.inputName)
    graph.input(
      OnnxTranslation.pictureName, .uint8, [.any("batch"), .any("height"), .any("width"), .known(3)])
    var preprocessing = OnnxPreprocessing(graph: graph, operatorSet: operatorSet)
    var value = preprocessing.channelsFirst(OnnxTranslation.pictureName)
    for step in steps { value = try preprocessing.append(step, to: value) }
    var (scale, mean, deviation): (Float, [Float], [Float]) = (1, [0, 0, 0], [1, 1, 1])
    if case .normalize(let newScale, let newMean, let newDeviation)? = transforms.last {
      (scale, mean, deviation) = (newScale, newMean, newDeviation)
    }
    preprocessing.normalize(value, scale: scale, mean: mean, deviation: deviation, name: OnnxTranslation.inputName)
    graph = preprocessing.graph
    graph.state(OnnxTranslation.inputName, .float, inputExtents)
  }

  private func checkSize(after transforms: [Transform]) throws(HGNetError) {
    let last = transforms.lazy.compactMap { transform -> Size? in
      switch transform {
      case .resize(let size, _, _), .centerCrop(let size): size
      case .resizeShort: Size(0)
      case .normalize: nil
      }
    }.last
    guard last == source.inputSize else {
      throw HGNetError(
        .unsupported,
        "expected transforms that end with pictures of \(source.inputSize) pixels, the size of the exported network; "
          + "set Global.image_shape to the size of the crop, or leave --with-preprocessing out")
    }
  }
}

/// The nodes between raw pictures and normalised input.
///
/// ONNX's own Resize is computed in different ways by those who run it: some leave its antialiasing out, some refuse sizes
/// that are computed. Here it is arithmetic that all of them have, over positions that are whole numbers until the last
/// division, so that a low precision of the runtime does not shift pixels. There is no double precision, which TensorRT
/// lacks, and bytes are made floats at once, because it reads them for nothing else.
struct OnnxPreprocessing {
  /// A resize with the crop of its result, or a crop alone.
  enum Step {
    case resize(Target, Interpolation, ResizeBackend, window: Size?)
    case crop(Size)
  }

  /// The size after a resize.
  enum Target {
    case fixed(Size)
    case short(Int)
  }

  var graph: OnnxGraph
  let operatorSet: Int
  private var constants: [String: String] = [:]

  init(graph: OnnxGraph, operatorSet: Int) {
    self.graph = graph
    self.operatorSet = operatorSet
  }

  /// Turns `[N, H, W, 3]` bytes into `[N, 3, H, W]` floats.
  mutating func channelsFirst(_ picture: String) -> String {
    let exact = cast(picture, .float, "bytes")
    return node("Transpose", [exact], "channels_first", [.integers("perm", [0, 3, 1, 2])])
  }

  /// Appends a step; floats `[N, 3, H, W]` with whole numbers go in and come out.
  ///
  /// - Throws: `HGNetError.Code.unsupported` for an interpolation that is not written as ONNX.
  mutating func append(_ step: Step, to value: String) throws(HGNetError) -> String {
    switch step {
    case .crop(let window): return crop(value, to: window)
    case .resize(let target, let interpolation, let backend, let window):
      let axes = axes(of: value, target: target, window: window)
      switch (interpolation, backend) {
      case (.bilinear, .pillow), (.bicubic, .pillow):
        return resizeLikePillow(value, axes, isCubic: interpolation == .bicubic)
      case (.bilinear, .openCV): return resizeLinearlyLikeOpenCV(value, axes)
      case (.bicubic, .openCV): return resizeCubicallyLikeOpenCV(value, axes)
      case (.nearest, .openCV): return pickLikeOpenCV(value, axes)
      default:
        throw HGNetError(
          .unsupported,
          "expected bilinear, bicubic or OpenCV's nearest interpolation, found \(interpolation.rawValue) of "
            + "\(backend.rawValue); leave --with-preprocessing out")
      }
    }
  }

  /// Cuts out the middle; the offsets are rounded down.
  ///
  /// A picture that is too small fails at the reshape.
  private mutating func crop(_ value: String, to size: Size) -> String {
    let sides = node("Slice", [node("Shape", [value], "shape"), whole([2]), whole([4])], "sides")
    let window = whole([size.height, size.width])
    let rest = node("Sub", [sides, window], "rest")
    let starts = node("Div", [rest, whole([2])], "starts")
    let ends = node("Add", [starts, window], "ends")
    let cut = node("Slice", [value, starts, ends, whole([2, 3])], "cut")
    return node("Reshape", [cut, whole([0, 3, size.height, size.width])], "crop")
  }

  /// Turns bytes into `(value × scale − mean) / deviation`.
  mutating func normalize(_ value: String, scale: Float, mean: [Float], deviation: [Float], name result: String) {
    let scaled = node("Mul", [value, real(scale)], "scaled_values")
    let center = graph.constant("preprocessing.mean", extents: [1, 3, 1, 1], .floats(mean))
    let centered = node("Sub", [scaled, center], "centered")
    let spread = graph.constant("preprocessing.deviation", extents: [1, 3, 1, 1], .floats(deviation))
    graph.result("Div", [centered, spread], name: result)
  }

  // MARK: Nodes

  mutating func node(
    _ type: String, _ inputs: [String], _ part: String, _ attributes: [OnnxGraph.Attribute] = []
  ) -> String {
    graph.node(type, inputs, name: "preprocessing.\(part)", attributes)
  }

  mutating func cast(_ value: String, _ type: OnnxGraph.ElementType, _ part: String) -> String {
    node("Cast", [value], part, [.integer("to", type.rawValue)])
  }

  /// A list of whole numbers; with extents of its own if they are given.
  mutating func whole(_ values: [Int], extents: [Int]? = nil) -> String {
    let extents = extents ?? [values.count]
    let key = "\(values)\(extents)"
    if let known = constants[key] { return known }
    let name = graph.constant("preprocessing.whole", extents: extents, .integers(values))
    constants[key] = name
    return name
  }

  /// One number, as a scalar.
  mutating func real(_ value: Float) -> String {
    let key = "\(value)"
    if let known = constants[key] { return known }
    let name = graph.constant("preprocessing.real", extents: [], .floats([value]))
    constants[key] = name
    return name
  }
}

extension OnnxPreprocessing.Step {
  /// The steps of a list of transforms, without the normalisation.
  ///
  /// - Throws: `HGNetError.Code.unsupported` for a crop that not every picture holds.
  static func list(_ transforms: [Transform]) throws(HGNetError) -> [OnnxPreprocessing.Step] {
    var steps: [OnnxPreprocessing.Step] = []
    for transform in transforms {
      switch transform {
      case .resizeShort(let side, let interpolation, let backend):
        steps.append(.resize(.short(side), interpolation, backend, window: nil))
      case .resize(let size, let interpolation, let backend):
        steps.append(.resize(.fixed(size), interpolation, backend, window: nil))
      case .centerCrop(let window):
        guard case .resize(let target, let interpolation, let backend, nil)? = steps.last else {
          steps.append(.crop(window))
          continue
        }
        let least =
          switch target {
          case .fixed(let size): size
          case .short(let side): Size(side)
          }
        guard window.height <= least.height, window.width <= least.width else {
          throw HGNetError(
            .unsupported,
            "expected a crop of at most \(least) pixels, which the resize leaves of every picture, found \(window); "
              + "leave --with-preprocessing out")
        }
        steps[steps.count - 1] = .resize(target, interpolation, backend, window: window)
      case .normalize: break
      }
    }
    return steps
  }
}
