import HGNetCore

/// Whole numbers that an ONNX graph computes with: shapes, bounds, axes.
///
/// Exporters write the arithmetic of Python code on shapes into the graph. It folds to constants before the network is
/// translated; the number of pictures stays open in it, and so do extents that depend on the size of the pictures.
struct OnnxIntegers: Equatable {
  /// One of the numbers.
  enum Element: Equatable {
    case known(Int)
    /// The number of pictures.
    case batch
    /// Something that depends on the size of the pictures.
    case open

    /// The number, nil where it is not known.
    var number: Int? { if case .known(let number) = self { number } else { nil } }
  }

  /// No axes for one number, one for a list.
  var extents: [Int]
  /// In C order.
  var elements: [Element]

  /// More than the shapes, bounds and borders of any network.
  static let largestCount = 4096

  init(extents: [Int], elements: [Element]) {
    self.extents = extents
    self.elements = elements
  }

  /// A list of numbers.
  init(_ numbers: [Int]) { self.init(extents: [numbers.count], elements: numbers.map(Element.known)) }

  /// Reads the numbers of a tensor from its raw bytes, or takes those that are listed.
  init(
    _ raw: BlobSlice?, _ listed: [Int], shape: Shape, elementType: ElementType
  ) throws(HGNetError) {
    var numbers = listed
    if let raw {
      let width = elementType.byteCount
      guard raw.count == shape.count * width else {
        throw HGNetError(.malformedData, "expected \(shape.count * width) bytes, found \(raw.count)")
      }
      numbers = raw.withUnsafeBytes { bytes in
        stride(from: 0, to: bytes.count, by: width).map { offset in
          switch width {
          case 8: Int(Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Int64.self)))
          case 4: Int(Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self)))
          default: bytes[offset] == 0 ? 0 : 1
          }
        }
      }
    }
    guard numbers.count == shape.count else {
      throw HGNetError(.malformedData, "expected \(shape.count) whole numbers, found \(numbers.count)")
    }
    self.init(extents: shape.dimensions, elements: numbers.map(Element.known))
  }

  /// The numbers, nil if one of them is open.
  var numbers: [Int]? {
    let known = elements.compactMap(\.number)
    return known.count == elements.count ? known : nil
  }

  // MARK: Operators

  /// The result of an operator on whole numbers alone; nil for an operator or operands that are not folded.
  ///
  /// - Throws: `HGNetError.Code.malformedData` for operands that do not fit, `limitExceeded`.
  static func folded(_ node: OnnxNode, _ inputs: [OnnxIntegers]) throws(HGNetError) -> OnnxIntegers? {
    guard let first = inputs.first else { return nil }
    switch node.type {
    case "Identity", "Cast": return first
    case "Shape": return OnnxIntegers(first.extents)
    case "Size": return OnnxIntegers(extents: [], elements: [.known(first.elements.count)])
    case "Gather": return inputs.count == 2 && node.integer("axis", 0) == 0 ? first.gathered(inputs[1]) : nil
    case "Concat": return try joined(inputs)
    case "Unsqueeze", "Squeeze":
      return first.withAxes(node.type == "Unsqueeze", node.integers("axes") ?? inputs.dropFirst().first?.numbers)
    case "Reshape": return inputs.count == 2 ? inputs[1].numbers.flatMap(first.reshaped) : nil
    case "Transpose": return first.transposed(node.integers("perm"))
    case "Slice": return first.sliced(node, inputs.dropFirst().map(\.numbers))
    case "ConstantOfShape": return nil
    case "Add", "Sub", "Mul", "Div": return inputs.count == 2 ? first.combined(node.type, inputs[1]) : nil
    default: return nil
    }
  }

  /// As many equal numbers as a shape has places.
  static func constant(_ number: Int, shape: [Int]) throws(HGNetError) -> OnnxIntegers {
    let valid = try Shape(validating: shape)
    guard valid.count <= largestCount else {
      throw HGNetError(.limitExceeded, "expected at most \(largestCount) whole numbers, found \(valid.count)")
    }
    return OnnxIntegers(extents: shape, elements: [Element](repeating: .known(number), count: valid.count))
  }

  private func gathered(_ indices: OnnxIntegers) -> OnnxIntegers? {
    guard extents.count == 1, indices.extents.count <= 1, let wanted = indices.numbers else { return nil }
    var chosen: [Element] = []
    for index in wanted {
      let place = index < 0 ? index &+ elements.count : index
      guard elements.indices.contains(place) else { return nil }
      chosen.append(elements[place])
    }
    return OnnxIntegers(extents: indices.extents, elements: chosen)
  }

  private static func joined(_ parts: [OnnxIntegers]) throws(HGNetError) -> OnnxIntegers? {
    guard parts.allSatisfy({ $0.extents.count == 1 }) else { return nil }
    let elements = parts.flatMap(\.elements)
    guard elements.count <= largestCount else {
      throw HGNetError(.limitExceeded, "expected at most \(largestCount) whole numbers, found \(elements.count)")
    }
    return OnnxIntegers(extents: [elements.count], elements: elements)
  }

  private func withAxes(_ inserts: Bool, _ axes: [Int]?) -> OnnxIntegers? {
    var result = self
    if inserts {
      // One number becomes a list of one; more is not needed for shapes.
      guard let axes, axes == [0] || axes == [-1], extents.count <= 1 else { return nil }
      result.extents = axes == [0] ? [1] + extents : extents + [1]
    } else {
      guard axes.map({ $0 == [0] || $0 == [-1] }) ?? true, extents == [1] || extents.isEmpty else { return nil }
      result.extents = []
    }
    return result
  }

  private func reshaped(_ wanted: [Int]) -> OnnxIntegers? {
    guard wanted.count <= Shape.maximumRank, wanted.count(where: { $0 == -1 }) <= 1 else { return nil }
    var result = wanted
    for (axis, extent) in wanted.enumerated() where extent == 0 {
      guard extents.indices.contains(axis) else { return nil }
      result[axis] = extents[axis]
    }
    let known = result.filter { $0 != -1 }
    guard known.allSatisfy({ 0...OnnxIntegers.largestCount ~= $0 }) else { return nil }
    // At most four factors of 2^12.
    let product = known.reduce(1, *)
    if let open = result.firstIndex(of: -1) {
      guard product > 0, elements.count % product == 0 else { return nil }
      result[open] = elements.count / product
    } else if product != elements.count {
      return nil
    }
    return OnnxIntegers(extents: result, elements: elements)
  }

  private func transposed(_ order: [Int]?) -> OnnxIntegers? {
    guard extents.count == 2 else { return extents.count < 2 ? self : nil }
    if order == [0, 1] { return self }
    guard order == nil || order == [1, 0] else { return nil }
    let (rows, columns) = (extents[0], extents[1])
    let turned = (0..<columns).flatMap { column in (0..<rows).map { elements[$0 * columns + column] } }
    return OnnxIntegers(extents: [columns, rows], elements: turned)
  }

  /// A slice along the first axis.
  private func sliced(_ node: OnnxNode, _ operands: [[Int]?]) -> OnnxIntegers? {
    func operand(_ index: Int, _ key: String) -> [Int]? {
      operands.indices.contains(index) ? operands[index] : node.integers(key)
    }
    guard let start = operand(0, "starts"), let end = operand(1, "ends"), start.count == 1, end.count == 1,
      (operand(2, "axes") ?? [0]) == [0], let length = extents.first
    else { return nil }
    let step = operand(3, "steps") ?? [1]
    guard step.count == 1, step[0] != 0, step[0] > -OnnxIntegers.largestCount, step[0] < OnnxIntegers.largestCount
    else {
      return nil
    }
    // As Python does: negative places count from the end, and places outside are moved to the nearest.
    func place(_ given: Int, _ range: ClosedRange<Int>) -> Int {
      let counted = given < 0 ? given.addingReportingOverflow(length).partialValue : given
      return min(max(counted, range.lowerBound), range.upperBound)
    }
    let range = step[0] > 0 ? 0...length : -1...(length - 1)
    guard length > 0 else { return self }
    let rows = Array(stride(from: place(start[0], range), to: place(end[0], range), by: step[0]))
    let width = elements.count / length
    let chosen = rows.flatMap { elements[$0 * width..<($0 + 1) * width] }
    return OnnxIntegers(extents: [rows.count] + extents.dropFirst(), elements: chosen)
  }

  private func combined(_ kind: String, _ other: OnnxIntegers) -> OnnxIntegers? {
    guard elements.count == other.elements.count || elements.count == 1 || other.elements.count == 1 else { return nil }
    let count = elements.isEmpty || other.elements.isEmpty ? 0 : max(elements.count, other.elements.count)
    var results: [Element] = []
    for index in 0..<count {
      guard let left = elements[elements.count == 1 ? 0 : index].number,
        let right = other.elements[other.elements.count == 1 ? 0 : index].number
      else {
        results.append(.open)
        continue
      }
      let result: (partialValue: Int, overflow: Bool)
      switch kind {
      case "Add": result = left.addingReportingOverflow(right)
      case "Sub": result = left.subtractingReportingOverflow(right)
      case "Mul": result = left.multipliedReportingOverflow(by: right)
      default: result = left.dividedReportingOverflow(by: right)
      }
      guard !result.overflow else { return nil }
      results.append(.known(result.partialValue))
    }
    return OnnxIntegers(
      extents: extents.count >= other.extents.count ? extents : other.extents, elements: results)
  }
}
