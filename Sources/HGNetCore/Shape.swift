/// The extents of a dense array of rank 0 to 4, outermost axis first.
///
/// Stored inline, without heap memory. Extents are zero or greater; their product fits `Int`.
public struct Shape: Hashable, Sendable, CustomStringConvertible, ExpressibleByArrayLiteral {
  /// The largest rank that a shape can have.
  public static let maximumRank = 4

  private var extents: InlineArray<4, Int> = [0, 0, 0, 0]
  /// The number of axes, 0 … 4.
  public private(set) var rank: Int

  /// Makes a shape from extents that may come from outside.
  ///
  /// - Throws: `HGNetError.Code.unsupported` for a rank above 4, `malformedData` for a negative extent, `limitExceeded`
  ///   when the number of elements does not fit 2^48.
  public init(validating extents: some Collection<Int>) throws(HGNetError) {
    guard extents.count <= Shape.maximumRank else {
      throw HGNetError(.unsupported, "expected an array of at most 4 axes, found \(extents.count)")
    }
    rank = extents.count
    var count = 1
    for (axis, extent) in extents.enumerated() {
      guard extent >= 0 else { throw HGNetError(.malformedData, "expected extents of at least 0, found \(extent)") }
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      guard !overflow, product <= 1 << 48 else {
        throw HGNetError(.limitExceeded, "an array with extents \(Array(extents)) is larger than any memory")
      }
      count = product
      self.extents[axis] = extent
    }
  }

  /// Makes a shape from extents that are known to be valid.
  ///
  /// Traps on more than 4 axes or a negative extent: a mistake of the programmer.
  public init(_ extents: [Int]) {
    precondition(extents.count <= Shape.maximumRank && extents.allSatisfy { $0 >= 0 }, "invalid shape \(extents)")
    rank = extents.count
    for (axis, extent) in extents.enumerated() { self.extents[axis] = extent }
  }

  /// Makes a shape from a literal such as `[1, 224, 224, 3]`.
  public init(arrayLiteral elements: Int...) { self.init(elements) }

  /// The extent of one axis, `0 ..< rank`.
  public subscript(axis: Int) -> Int {
    precondition(axis >= 0 && axis < rank, "axis \(axis) outside a shape of rank \(rank)")
    return extents[axis]
  }

  /// The number of elements; 1 for rank 0.
  public var count: Int {
    var product = 1
    for axis in 0..<rank { product *= extents[axis] }
    return product
  }

  /// The number of elements; `Int.max` where it does not fit.
  package var checkedCount: Int {
    var product = 1
    for axis in 0..<rank {
      let (result, overflow) = product.multipliedReportingOverflow(by: extents[axis])
      if overflow { return .max }
      product = result
    }
    return product
  }

  /// The extents as an array, outermost first.
  public var dimensions: [Int] { (0..<rank).map { extents[$0] } }

  /// The extents in brackets, as `[64, 3, 3, 3]`.
  public var description: String { "\(dimensions)" }

  /// Two shapes are equal when rank and every extent are.
  public static func == (left: Shape, right: Shape) -> Bool {
    guard left.rank == right.rank else { return false }
    for axis in 0..<left.rank where left.extents[axis] != right.extents[axis] { return false }
    return true
  }

  /// Feeds rank and extents to a hasher.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(rank)
    for axis in 0..<rank { hasher.combine(extents[axis]) }
  }
}

/// A height and a width, in pixels.
public struct Size: Hashable, Sendable, CustomStringConvertible {
  /// The largest height and width that a network takes pictures of.
  package static let largestSide = 1 << 16

  /// Rows.
  public var height: Int
  /// Columns.
  public var width: Int

  /// Makes a size from rows and columns.
  public init(height: Int, width: Int) {
    self.height = height
    self.width = width
  }

  /// Makes a square.
  public init(_ side: Int) { self.init(height: side, width: side) }

  /// `height×width`.
  public var description: String { "\(height)×\(width)" }
}
