import HGNetCore
import HGNetVision

extension OnnxExport {
  /// The operator set from which ONNX resizes with a filter that grows with the reduction, as Pillow does.
  private static let antialiasingOperatorSet = 18

  /// The least operator set that holds a list of transforms.
  static func operatorSet(neededBy transforms: [Transform]) -> Int {
    let isAntialiased = transforms.contains {
      switch $0 {
      case .resizeShort(_, let interpolation, .pillow), .resize(_, let interpolation, .pillow):
        interpolation != .nearest
      default: false
      }
    }
    return isAntialiased ? antialiasingOperatorSet : operatorSets.lowerBound
  }
}

extension OnnxTranslation {
  /// The name of the raw pictures.
  static let pictureName = "image"

  /// Declares raw pictures as the input and appends what turns them into the value `x`.
  ///
  /// The sizes are computed inside the graph, so that a picture of any size may come.
  ///
  /// - Throws: `HGNetError.Code.unsupported` for an interpolation that ONNX lacks, or transforms that do not end in the
  ///   network's size; `invalidArgument` for too low an operator set.
  mutating func appendPreprocessing(_ transforms: [Transform], operatorSet: Int) throws(HGNetError) {
    let needed = OnnxExport.operatorSet(neededBy: transforms)
    guard operatorSet >= needed else {
      throw HGNetError(
        .invalidArgument,
        "resizing as Pillow does needs the ONNX operator set \(needed), found \(operatorSet); leave --opset out, or resize with cv2"
      )
    }
    try checkSize(after: transforms)
    let preprocessing = OnnxPreprocessing(operatorSet: operatorSet)
    preprocessing.reserve(OnnxTranslation.inputName, in: &graph)
    graph.input(
      OnnxTranslation.pictureName, .uint8, [.any("batch"), .any("height"), .any("width"), .known(3)])
    var value = graph.node(
      "Transpose", [OnnxTranslation.pictureName], name: "preprocessing.channels_first",
      [.integers("perm", [0, 3, 1, 2])])
    var (scale, mean, deviation): (Float, [Float], [Float]) = (1, [0, 0, 0], [1, 1, 1])
    for transform in transforms {
      switch transform {
      case .resizeShort(let side, let interpolation, let backend):
        let sizes = preprocessing.sizes(of: value, shortSide: side, in: &graph)
        value = try preprocessing.resize(value, to: sizes, interpolation, backend, in: &graph)
      case .resize(let size, let interpolation, let backend):
        let sizes = preprocessing.sizes(of: value, size: size, in: &graph)
        value = try preprocessing.resize(value, to: sizes, interpolation, backend, in: &graph)
      case .centerCrop(let size): value = preprocessing.crop(value, to: size, in: &graph)
      case .normalize(let newScale, let newMean, let newDeviation):
        (scale, mean, deviation) = (newScale, newMean, newDeviation)
      }
    }
    preprocessing.normalize(
      value, scale: scale, mean: mean, deviation: deviation, name: OnnxTranslation.inputName, in: &graph)
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
    guard last == network.graph.inputSize else {
      throw HGNetError(
        .unsupported,
        "expected transforms that end with pictures of \(network.graph.inputSize) pixels, the size of the exported network; "
          + "set Global.image_shape to the size of the crop, or leave --with-preprocessing out")
    }
  }
}

/// The nodes between raw pictures and normalised input.
private struct OnnxPreprocessing {
  let operatorSet: Int

  init(operatorSet: Int) { self.operatorSet = operatorSet }

  /// Keeps a name for the last node.
  func reserve(_ name: String, in graph: inout OnnxGraph) { _ = graph.unique(name) }

  /// The sizes `[N, 3, H, W]` after which the shorter side has a length and the aspect is kept.
  func sizes(of value: String, shortSide: Int, in graph: inout OnnxGraph) -> String {
    let (kept, old) = sides(of: value, in: &graph)
    // As PaddleClas computes them: double precision, rounded half to even.
    let exact = graph.node("Cast", [old], name: name("sides"), [.integer("to", OnnxGraph.ElementType.double.rawValue)])
    let shortest = graph.node("ReduceMin", [exact], name: name("shortest"), [.integer("keepdims", 1)])
    let target = graph.constant(name("short_side"), extents: [1], .doubles([Double(shortSide)]))
    let factor = graph.node("Div", [target, shortest], name: name("factor"))
    let scaled = graph.node("Mul", [exact, factor], name: name("scaled"))
    let rounded = graph.node("Round", [scaled], name: name("rounded"))
    let new = graph.node(
      "Cast", [rounded], name: name("new_sides"), [.integer("to", OnnxGraph.ElementType.int64.rawValue)])
    return graph.node("Concat", [kept, new], name: name("sizes"), [.integer("axis", 0)])
  }

  /// The sizes `[N, 3, H, W]` with a fixed height and width.
  func sizes(of value: String, size: Size, in graph: inout OnnxGraph) -> String {
    let (kept, _) = sides(of: value, in: &graph)
    let new = graph.constant(name("new_sides"), [size.height, size.width])
    return graph.node("Concat", [kept, new], name: name("sizes"), [.integer("axis", 0)])
  }

  /// Resizes; the result has whole numbers, as a picture has.
  func resize(
    _ value: String, to sizes: String, _ interpolation: Interpolation, _ backend: ResizeBackend,
    in graph: inout OnnxGraph
  ) throws(HGNetError) -> String {
    var attributes: [OnnxGraph.Attribute]
    switch (interpolation, backend) {
    case (.nearest, .openCV):
      attributes = [
        .text("mode", "nearest"), .text("coordinate_transformation_mode", "asymmetric"),
        .text("nearest_mode", "floor"),
      ]
    case (.bilinear, _):
      attributes = [.text("mode", "linear"), .text("coordinate_transformation_mode", "half_pixel")]
    case (.bicubic, _):
      attributes = [
        .text("mode", "cubic"), .text("coordinate_transformation_mode", "half_pixel"),
        .float("cubic_coeff_a", backend == .pillow ? -0.5 : -0.75),
      ]
    default:
      throw HGNetError(
        .unsupported,
        "expected bilinear, bicubic or OpenCV's nearest interpolation, which ONNX has too; found \(interpolation.rawValue) "
          + "of \(backend.rawValue); leave --with-preprocessing out")
    }
    var value = graph.node(
      "Cast", [value], name: name("exact"), [.integer("to", OnnxGraph.ElementType.float.rawValue)])
    guard backend == .pillow else { return resizeOnce(value, to: sizes, attributes, in: &graph) }
    // Pillow goes along the rows, rounds to bytes, and then along the columns.
    attributes += [.integer("antialias", 1), .integer("exclude_outside", 1)]
    let shape = graph.node("Shape", [value], name: name("shape"))
    let bounds = [0, 3, 4].map { graph.constant(name("bound"), [$0]) }
    let kept = graph.node("Slice", [shape, bounds[0], bounds[1]], name: name("kept"))
    let width = graph.node("Slice", [sizes, bounds[1], bounds[2]], name: name("new_width"))
    let wide = graph.node("Concat", [kept, width], name: name("sizes"), [.integer("axis", 0)])
    value = resizeOnce(value, to: wide, attributes, in: &graph)
    return resizeOnce(value, to: sizes, attributes, in: &graph)
  }

  /// One resizing with its rounding to whole numbers from 0 to 255.
  private func resizeOnce(
    _ value: String, to sizes: String, _ attributes: [OnnxGraph.Attribute], in graph: inout OnnxGraph
  ) -> String {
    // Before version 13 region and factors had to be there even where they say nothing.
    let unused =
      operatorSet >= 13
      ? ["", ""]
      : [
        graph.constant(name("region"), extents: [0], .floats([])),
        graph.constant(name("factors"), extents: [0], .floats([])),
      ]
    let resized = graph.node("Resize", [value] + unused + [sizes], name: name("resized"), attributes)
    let rounded = graph.node("Round", [resized], name: name("rounded_pixels"))
    let bounds = [
      graph.constant(name("black"), extents: [], .floats([0])),
      graph.constant(name("white"), extents: [], .floats([255])),
    ]
    return graph.node("Clip", [rounded] + bounds, name: name("pixels"))
  }

  /// Cuts out the middle; the offsets are rounded down.
  func crop(_ value: String, to size: Size, in graph: inout OnnxGraph) -> String {
    let (_, old) = sides(of: value, in: &graph)
    let window = graph.constant(name("window"), [size.height, size.width])
    let rest = graph.node("Sub", [old, window], name: name("rest"))
    let starts = graph.node("Div", [rest, graph.constant(name("two"), [2])], name: name("starts"))
    let ends = graph.node("Add", [starts, window], name: name("ends"))
    let axes = graph.constant(name("axes"), [2, 3])
    return graph.node("Slice", [value, starts, ends, axes], name: name("crop"))
  }

  /// Turns bytes into `(value × scale − mean) / deviation`.
  func normalize(
    _ value: String, scale: Float, mean: [Float], deviation: [Float], name result: String, in graph: inout OnnxGraph
  ) {
    let exact = graph.node(
      "Cast", [value], name: name("values"), [.integer("to", OnnxGraph.ElementType.float.rawValue)])
    let factor = graph.constant(name("scale"), extents: [1], .floats([scale]))
    let scaled = graph.node("Mul", [exact, factor], name: name("scaled_values"))
    let center = graph.constant(name("mean"), extents: [1, 3, 1, 1], .floats(mean))
    let centered = graph.node("Sub", [scaled, center], name: name("centered"))
    let spread = graph.constant(name("deviation"), extents: [1, 3, 1, 1], .floats(deviation))
    graph.result("Div", [centered, spread], name: result)
  }

  /// The extents of a picture: `[N, 3]` and `[H, W]`.
  private func sides(of value: String, in graph: inout OnnxGraph) -> (kept: String, sides: String) {
    let shape = graph.node("Shape", [value], name: name("shape"))
    let bounds = [0, 2, 4].map { graph.constant(name("bound"), [$0]) }
    return (
      graph.node("Slice", [shape, bounds[0], bounds[1]], name: name("kept")),
      graph.node("Slice", [shape, bounds[1], bounds[2]], name: name("old_sides"))
    )
  }

  private func name(_ part: String) -> String { "preprocessing.\(part)" }
}
