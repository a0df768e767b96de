import HGNetCore

/// Resizing as explicit weights: a pass along the rows, and one along the columns.
///
/// Only what a crop keeps is computed. Costs: Pillow's way is two products of matrices, about `3 H W w` multiply-adds for a
/// picture of H×W pixels and a result of h×w; OpenCV's way looks at two or four pixels for each result.
extension OnnxPreprocessing {
  /// One axis of a resize; lengths are whole numbers `[1]`.
  struct Axis {
    /// Along the rows (the last axis), or along the columns.
    let isHorizontal: Bool
    /// The length before.
    let source: String
    /// The length after, before the crop.
    let target: String
    /// The positions of the result that are kept, whole numbers `[n]`.
    let positions: String
  }

  /// Both axes of a resize: horizontal, vertical.
  mutating func axes(of value: String, target: Target, window: Size?) -> [Axis] {
    let shape = node("Shape", [value], "shape")
    let sides = node("Slice", [shape, whole([2]), whole([4])], "sides")
    let new =
      switch target {
      case .fixed(let size): whole([size.height, size.width])
      case .short(let side): scaled(sides, shortSide: side)
      }
    return [true, false].map { isHorizontal in
      let index = whole([isHorizontal ? 1 : 0])
      let source = node("Gather", [sides, index], isHorizontal ? "width" : "height", [.integer("axis", 0)])
      let length = node("Gather", [new, index], isHorizontal ? "new_width" : "new_height", [.integer("axis", 0)])
      let kept = window.map { isHorizontal ? $0.width : $0.height }
      let positions: String
      switch (target, kept) {
      case (.fixed(let size), _):
        let total = isHorizontal ? size.width : size.height
        let count = kept ?? total
        positions = whole((0..<count).map { $0 + (total - count) / 2 })
      case (.short, let count?):
        let rest = node("Sub", [length, whole([count])], "rest")
        let start = node("Div", [rest, whole([2])], "start")
        positions = node("Add", [whole(Array(0..<count)), start], "positions")
      case (.short, nil):
        positions = range(length)
      }
      return Axis(isHorizontal: isHorizontal, source: source, target: length, positions: positions)
    }
  }

  /// Both sides multiplied by short side / shorter side and rounded half to even.
  private mutating func scaled(_ sides: String, shortSide: Int) -> String {
    let shortest = node("ReduceMin", [sides], "shortest", [.integer("keepdims", 1)])
    let divisor = node("Mul", [shortest, whole([2])], "divisor")
    let products = node("Mul", [sides, whole([2 * shortSide])], "products")
    let (quotient, rest) = divided(node("Add", [products, shortest], "dividend"), by: divisor)
    // Half a pixel was rounded up; of two whole numbers at the same distance the even one is meant.
    let isHalf = cast(node("Equal", [rest, whole([0])], "is_half"), .int64, "half")
    let (_, odd) = divided(quotient, by: whole([2]))
    return node("Sub", [quotient, node("Mul", [isHalf, odd], "excess")], "new_sides")
  }

  /// The quotient of whole numbers that are not negative, and the rest.
  private mutating func divided(_ dividend: String, by divisor: String) -> (quotient: String, rest: String) {
    let quotient = node("Div", [dividend, divisor], "quotient")
    return (quotient, node("Sub", [dividend, node("Mul", [quotient, divisor], "product")], "remainder"))
  }

  /// The whole numbers from 0 up to a length.
  private mutating func range(_ length: String) -> String {
    let scalar = node("Gather", [length, whole([0], extents: [])], "length", [.integer("axis", 0)])
    return node("Range", [whole([0], extents: []), scalar, whole([1], extents: [])], "range")
  }

  /// Twice a whole number and one: a centre in half pixels.
  private mutating func centers(_ positions: String) -> String {
    node("Add", [node("Mul", [positions, whole([2])], "twice"), whole([1])], "centers")
  }

  /// A list as a column.
  private mutating func column(_ list: String) -> String { node("Reshape", [list, whole([-1, 1])], "column") }

  // MARK: Pillow

  /// The filter grows with the reduction, and bytes lie between the passes.
  ///
  /// The rows come first, or the columns where they shrink by more than twice as many pixels. Both ways are in the graph; the
  /// one that is not meant gets a single line of pixels.
  mutating func resizeLikePillow(_ value: String, _ axes: [Axis], isCubic: Bool) -> String {
    let weights = axes.map { self.weights($0, isCubic: isCubic) }
    let isColumnsFirst = shrinksMostlyInHeight(axes)
    let lengths = [
      node("Where", [isColumnsFirst, axes[0].source, whole([1])], "used_width"),
      node("Where", [isColumnsFirst, whole([1]), axes[1].source], "used_height"),
    ]
    func pass(_ left: String, _ right: String) -> String {
      let sums = node("MatMul", [left, right], "sums")
      return bytes(node("Floor", [node("Add", [sums, real(0.5)], "raised")], "rounded"))
    }
    let rows = first(value, lengths[1], axis: 2)
    let rowsFirst = pass(first(weights[1], lengths[1], axis: 1), pass(rows, weights[0]))
    let columns = first(value, lengths[0], axis: 3)
    let columnsFirst = pass(pass(weights[1], columns), first(weights[0], lengths[0], axis: 0))
    return node("Where", [isColumnsFirst, columnsFirst, rowsFirst], "resized")
  }

  /// Whether the height shrinks by more than twice as many pixels as the width.
  private mutating func shrinksMostlyInHeight(_ axes: [Axis]) -> String {
    let differences = axes.map { node("Sub", [$0.source, $0.target], "difference") }
    let twice = node("Mul", [differences[0], whole([2])], "twice")
    let isMore = node("Less", [twice, differences[1]], "is_more")
    return node("And", [isMore, node("Less", [whole([0]), differences[1]], "is_shrinking")], "is_columns_first")
  }

  /// The first elements along an axis.
  private mutating func first(_ value: String, _ count: String, axis: Int) -> String {
    node("Slice", [value, whole([0]), count, whole([axis])], "used")
  }

  /// The weight of every pixel of an axis for every position: `[W, w]` along the rows, `[h, H]` along the columns.
  private mutating func weights(_ axis: Axis, isCubic: Bool) -> String {
    var (pixels, results) = (centers(range(axis.source)), centers(axis.positions))
    if axis.isHorizontal { pixels = column(pixels) } else { results = column(results) }
    // (pixel + 1/2) − (position + 1/2) · source / target, in units of the wider of a pixel and a pixel of the result.
    let distances = node(
      "Sub", [node("Mul", [pixels, axis.target], "there"), node("Mul", [results, axis.source], "here")], "distances")
    let lengths = node("Concat", [axis.source, axis.target], "lengths", [.integer("axis", 0)])
    let longest = node("ReduceMax", [lengths], "longest", [.integer("keepdims", 1)])
    let unit = cast(node("Mul", [longest, whole([2])], "unit"), .float, "exact_unit")
    let exact = cast(node("Abs", [distances], "absolute"), .float, "exact_distances")
    let distance = node("Div", [exact, unit], "distance")
    let weights: String
    if isCubic {
      let x = node("Clip", [distance, real(0), real(2)], "clipped")
      // a = −0.5: ((1.5 x − 2.5) x) x + 1, and beyond one pixel (((x − 5) x + 8) x − 4) a.
      let near = polynomial(x, [1.5, -2.5, 0, 1])
      let far = polynomial(x, [-0.5, 2.5, -4, 2])
      weights = node("Where", [node("Less", [x, real(1)], "is_near"), near, far], "filter")
    } else {
      weights = node("Relu", [node("Sub", [real(1), distance], "slope")], "filter")
    }
    let sum = total(weights, axis: axis.isHorizontal ? 0 : 1)
    return node("Div", [weights, sum], "weights")
  }

  private mutating func total(_ value: String, axis: Int) -> String {
    // The axes became an input in version 13.
    operatorSet >= 13
      ? node("ReduceSum", [value, whole([axis])], "total", [.integer("keepdims", 1)])
      : node("ReduceSum", [value], "total", [.integers("axes", [axis]), .integer("keepdims", 1)])
  }

  /// A polynomial, the highest power first.
  private mutating func polynomial(_ x: String, _ factors: [Float]) -> String {
    var sum = real(factors[0])
    for factor in factors.dropFirst() {
      sum = node("Mul", [sum, x], "power")
      if factor != 0 { sum = node("Add", [sum, real(factor)], "sum") }
    }
    return sum
  }

  private mutating func bytes(_ value: String) -> String { node("Clip", [value, real(0), real(255)], "pixels") }

  // MARK: OpenCV

  /// Two pixels along each axis, weights of 11 bits, in the steps in which OpenCV shifts.
  mutating func resizeLinearlyLikeOpenCV(_ value: String, _ axes: [Axis]) -> String {
    let rows = products(value, axes[0], isCubic: false)
    let sums = shifted(node("Add", rows, "sums"), by: 16)
    let columns = products(sums, axes[1], isCubic: false).map { shifted($0, by: 65536) }
    let sum = node("Add", [node("Add", columns, "sums"), real(2)], "raised")
    return bytes(shifted(sum, by: 4))
  }

  /// Four pixels along each axis, weights of 11 bits.
  mutating func resizeCubicallyLikeOpenCV(_ value: String, _ axes: [Axis]) -> String {
    var value = value
    for axis in axes {
      let products = products(value, axis, isCubic: true)
      value = products.dropFirst().reduce(products[0]) { node("Add", [$0, $1], "sums") }
    }
    return bytes(node("Round", [node("Mul", [value, real(1 / Float(1 << 22))], "exact_pixels")], "rounded"))
  }

  /// The pixel whose left edge is nearest, rounded down.
  mutating func pickLikeOpenCV(_ value: String, _ axes: [Axis]) -> String {
    var value = value
    for axis in axes {
      let product = node("Mul", [axis.positions, axis.source], "product")
      value = picked(value, node("Div", [product, axis.target], "places"), axis)
    }
    return value
  }

  /// The neighbours of every position of an axis, each multiplied by its weight.
  private mutating func products(_ value: String, _ axis: Axis, isCubic: Bool) -> [String] {
    // ((2 · position + 1) · source − target) / (2 · target) is the place; one more keeps the division from negative
    // numbers, which runtimes round differently.
    let there = node("Mul", [centers(axis.positions), axis.source], "there")
    let unit = node("Mul", [axis.target, whole([2])], "unit")
    let (quotient, rest) = divided(node("Add", [there, axis.target], "places"), by: unit)
    let fraction = node("Div", [cast(rest, .float, "exact_rest"), cast(unit, .float, "exact_unit")], "fraction")
    let weights: [String]
    if isCubic {
      // a = −0.75.
      let far = node("Add", [fraction, real(1)], "far")
      let near = node("Sub", [real(1), fraction], "near")
      let first = polynomial(far, [-0.75, 3.75, -6, 3])
      let second = polynomial(fraction, [1.25, -2.25, 0, 1])
      let third = polynomial(near, [1.25, -2.25, 0, 1])
      let rest = [first, second, third].reduce(real(1)) { node("Sub", [$0, $1], "others") }
      weights = [first, second, third, rest]
    } else {
      weights = [node("Sub", [real(1), fraction], "others"), fraction]
    }
    return weights.enumerated().map { tap, weight in
      // The first tap lies at the place of the linear one, or one before it.
      let place = node("Add", [quotient, whole([tap - weights.count / 2])], "place")
      var factor = node("Round", [node("Mul", [weight, real(2048)], "exact_weight")], "weight")
      if !axis.isHorizontal { factor = column(factor) }
      return node("Mul", [picked(value, place, axis), factor], "products")
    }
  }

  /// The pixels at places along an axis; the border goes on outside.
  private mutating func picked(_ value: String, _ places: String, _ axis: Axis) -> String {
    // Whole numbers have no Min and Max before version 12.
    let isBefore = node("Less", [places, whole([0])], "is_before")
    let inside = node("Where", [isBefore, whole([0]), places], "not_before")
    let last = node("Sub", [axis.source, whole([1])], "last")
    let places = node("Where", [node("Less", [last, inside], "is_behind"), last, inside], "inside")
    return node("Gather", [value, places], "neighbours", [.integer("axis", axis.isHorizontal ? 3 : 2)])
  }

  /// Divided by a power of two and rounded down.
  private mutating func shifted(_ value: String, by divisor: Float) -> String {
    node("Floor", [node("Mul", [value, real(1 / divisor)], "shifted")], "floor")
  }
}
