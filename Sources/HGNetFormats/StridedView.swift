import HGNetCore

/// Elements of equal size at regular distances in a byte string, to be laid out in C order.
struct StridedView {
  /// The extents, outermost axis first; their product fits `Shape`.
  let shape: Shape
  /// The distance in elements between neighbours along each axis.
  let strides: [Int]
  /// The element that comes first.
  let offset: Int

  /// Makes a view, after checking that all of it lies inside `elementCount` elements and repeats none on average.
  ///
  /// - Throws: `HGNetError.Code.malformedData` when the view leaves the elements, `unsupported` for negative strides,
  ///   `limitExceeded` when it has more elements than there are.
  init(shape: Shape, strides: [Int], offset: Int, elementCount: Int) throws(HGNetError) {
    guard strides.count == shape.rank, offset >= 0 else {
      throw HGNetError(
        .malformedData, "expected one stride for each of \(shape.rank) axes, found \(strides.count), offset \(offset)")
    }
    self.shape = shape
    self.strides = strides
    self.offset = offset
    guard shape.count > 0 else { return }
    guard shape.count <= elementCount else {
      throw HGNetError(
        .limitExceeded, "expected a view of at most the \(elementCount) stored elements, found one of \(shape)")
    }
    var last = offset
    for axis in 0..<shape.rank {
      guard strides[axis] >= 0 else {
        throw HGNetError(.unsupported, "expected strides of at least 0, found \(strides)")
      }
      let (reach, overflow) = strides[axis].multipliedReportingOverflow(by: shape[axis] - 1)
      let (sum, overflowOfSum) = last.addingReportingOverflow(reach)
      guard !overflow, !overflowOfSum else { last = Int.max; break }
      last = sum
    }
    guard last < elementCount else {
      throw HGNetError(
        .malformedData,
        "a view of shape \(shape), strides \(strides), offset \(offset) leaves its storage of \(elementCount) elements")
    }
  }

  /// A view of all elements in Fortran order: the first axis is the fastest.
  init(columnMajor shape: Shape, elementCount: Int) throws(HGNetError) {
    var strides: [Int] = []
    var stride = 1
    for extent in shape.dimensions {
      strides.append(stride)
      stride *= extent
    }
    try self.init(shape: shape, strides: strides, offset: 0, elementCount: elementCount)
  }

  /// Whether the elements stand in C order without gaps.
  var isContiguous: Bool {
    guard shape.count > 0 else { return true }
    var expected = 1
    for axis in (0..<shape.rank).reversed() where shape[axis] != 1 {
      if strides[axis] != expected { return false }
      expected *= shape[axis]
    }
    return true
  }

  /// The elements in C order: the bytes themselves where they already are, otherwise a copy paid from the budget.
  func elements(
    of bytes: BlobSlice, elementSize: Int, budget: inout AllocationBudget
  ) throws(HGNetError) -> BlobSlice {
    let byteCount = shape.count * elementSize
    if isContiguous {
      let start = shape.count == 0 ? bytes.range.lowerBound : bytes.range.lowerBound + offset * elementSize
      return try BlobSlice(bytes.blob, range: start..<start + byteCount)
    }
    try budget.spend(byteCount)
    var extents = [1, 1, 1, 1]
    var steps = [0, 0, 0, 0]
    for axis in 0..<shape.rank where shape[axis] > 1 {
      extents[4 - shape.rank + axis] = shape[axis]
      steps[4 - shape.rank + axis] = strides[axis] * elementSize
    }
    let subject = "an array of shape \(shape) in C order"
    let blob = try Blob(allocating: byteCount, for: subject, path: bytes.blob.path) { target in
      bytes.withUnsafeBytes { source in
        var position = 0
        for outermost in 0..<extents[0] {
          for outer in 0..<extents[1] {
            for inner in 0..<extents[2] {
              var from = offset * elementSize + outermost * steps[0] + outer * steps[1] + inner * steps[2]
              for _ in 0..<extents[3] {
                for byte in 0..<elementSize { target[position + byte] = source[from + byte] }
                position += elementSize
                from += steps[3]
              }
            }
          }
        }
      }
    }
    return BlobSlice(blob)
  }
}

extension Parameter {
  /// A matrix with its axes exchanged, in C order; other ranks are returned as they are.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` when the budget has no room for it.
  func transposed(budget: inout AllocationBudget) throws(HGNetError) -> Parameter {
    guard shape.rank == 2 else { return self }
    let view = try StridedView(
      shape: try Shape(validating: [shape[1], shape[0]]), strides: [1, shape[1]], offset: 0, elementCount: shape.count)
    return try Parameter(
      shape: view.shape, elementType: elementType,
      bytes: try view.elements(of: bytes, elementSize: elementType.byteCount, budget: &budget))
  }
}
