import HGNetCore

extension PaddleProgram.Operation {
  /// The one variable that a slot reads.
  func input(_ slot: String) throws(HGNetError) -> String {
    guard let arguments = inputs[slot], arguments.count == 1 else {
      throw HGNetError(.malformedData, "expected one value for \(slot), found \(inputs[slot]?.count ?? 0)")
    }
    return arguments[0]
  }

  /// The one variable that a slot makes.
  func output(_ slot: String) throws(HGNetError) -> String {
    guard let arguments = outputs[slot], arguments.count == 1 else {
      throw HGNetError(.malformedData, "expected one result \(slot), found \(outputs[slot]?.count ?? 0)")
    }
    return arguments[0]
  }

  /// A whole number, which may be written as a real one or as a list of one.
  func integer(_ name: String, default value: Int) throws(HGNetError) -> Int {
    switch attributes[name] {
    case nil: return value
    case .integer(let number): return number
    case .number(let number):
      guard let whole = Int(exactly: number) else { throw wrongType(name, "a whole number") }
      return whole
    case .integers(let numbers) where numbers.count == 1: return numbers[0]
    default: throw wrongType(name, "a whole number")
    }
  }

  /// A list of whole numbers.
  func integers(_ name: String, default value: [Int]) throws(HGNetError) -> [Int] {
    switch attributes[name] {
    case nil: return value
    case .integers(let numbers): return numbers
    default: throw wrongType(name, "whole numbers")
    }
  }

  /// A real number.
  func number(_ name: String, default value: Double) throws(HGNetError) -> Double {
    switch attributes[name] {
    case nil: return value
    case .number(let number): return number
    case .integer(let number): return Double(number)
    default: throw wrongType(name, "a number")
    }
  }

  /// True or false.
  func flag(_ name: String, default value: Bool) throws(HGNetError) -> Bool {
    switch attributes[name] {
    case nil: return value
    case .flag(let flag): return flag
    default: throw wrongType(name, "true or false")
    }
  }

  /// A text.
  func text(_ name: String, default value: String) throws(HGNetError) -> String {
    switch attributes[name] {
    case nil: return value
    case .text(let text): return text
    default: throw wrongType(name, "a text")
    }
  }

  /// Only `[N, C, H, W]` is read.
  func expectChannelsFirst(_ name: String) throws(HGNetError) {
    let layout = try text(name, default: "NCHW")
    guard layout == "NCHW" || layout == "AnyLayout" else {
      throw HGNetError(.unsupported, "expected the layout NCHW, found \(HGNetError.quoted(layout))")
    }
  }

  /// Two operands of the same rank need no axis.
  func expectEqualRanks() throws(HGNetError) {
    let axis = try integer("axis", default: -1)
    guard axis == -1 || axis == 0 else {
      throw HGNetError(.unsupported, "expected two operands of the same rank, found the broadcasting axis \(axis)")
    }
  }

  private func wrongType(_ name: String, _ expected: String) -> HGNetError {
    HGNetError(.malformedData, "expected \(expected) for the attribute \(name)", key: name)
  }
}

/// The window of a convolution or pool, with its border worked out.
struct Window {
  private(set) var kernel: Size
  private(set) var stride: Size
  private(set) var padding: Padding
  /// Whether the border is given as numbers.
  private let isExplicit: Bool

  private static let maximumExtent = 64

  /// Reads strides, paddings and the padding's rule.
  ///
  /// Paddings are written as `[height, width]` or `[top, bottom, left, right]`. `SAME` depends on the input's size as
  /// soon as the stride is not 1, and is resolved for the size at hand.
  init(
    _ operation: PaddleProgram.Operation, kernel: Size, input: ActivationShape
  ) throws(HGNetError) {
    let strides = try operation.integers("strides", default: [1, 1])
    guard strides.count == 2 else {
      throw HGNetError(.malformedData, "expected two strides, found \(HGNetError.shortened("\(strides)"))")
    }
    self.kernel = kernel
    stride = Size(height: strides[0], width: strides[1])
    let extents = 1...Window.maximumExtent
    guard extents.contains(kernel.height), extents.contains(kernel.width), extents.contains(stride.height),
      extents.contains(stride.width)
    else { throw HGNetError(.unsupported, "a window of \(kernel) with the stride \(stride) is not part of PP-HGNet") }
    let rule = try operation.text("padding_algorithm", default: "EXPLICIT")
    isExplicit = rule != "SAME"
    switch rule {
    case "SAME":
      let rows = Window.border(length: input.height, kernel: kernel.height, stride: stride.height)
      let columns = Window.border(length: input.width, kernel: kernel.width, stride: stride.width)
      padding = Padding(top: rows.before, left: columns.before, bottom: rows.after, right: columns.after)
    case "VALID": padding = Padding(0)
    case "EXPLICIT":
      let paddings = try operation.integers("paddings", default: [0, 0])
      guard paddings.allSatisfy({ (0...Window.maximumExtent).contains($0) }) else {
        throw HGNetError(
          .unsupported,
          "expected paddings from 0 to \(Window.maximumExtent), found \(HGNetError.shortened("\(paddings)"))")
      }
      switch paddings.count {
      case 2: padding = Padding(top: paddings[0], left: paddings[1], bottom: paddings[0], right: paddings[1])
      case 4: padding = Padding(top: paddings[0], left: paddings[2], bottom: paddings[1], right: paddings[3])
      default:
        throw HGNetError(.malformedData, "expected two or four paddings, found \(HGNetError.shortened("\(paddings)"))")
      }
    default:
      throw HGNetError(
        .unsupported, "expected the padding rule EXPLICIT, SAME or VALID, found \(HGNetError.quoted(rule))")
    }
  }

  /// Adds a border that was around the input already.
  ///
  /// - Throws: `HGNetError.Code.unsupported` for a rule that depends on the extents of the input.
  mutating func widen(by border: Padding) throws(HGNetError) {
    guard border != Padding(0) else { return }
    guard isExplicit else {
      throw HGNetError(.unsupported, "expected explicit paddings behind a border of zeros, found a rule")
    }
    padding.top += border.top
    padding.left += border.left
    padding.bottom += border.bottom
    padding.right += border.right
  }

  /// Widens the border below and right so that the last window may begin inside and end outside.
  mutating func coverRest(of input: ActivationShape) {
    func rest(_ padded: Int, _ kernel: Int, _ stride: Int) -> Int {
      guard padded > kernel else { return 0 }
      return (stride - (padded - kernel) % stride) % stride
    }
    padding.bottom += rest(input.height + padding.top + padding.bottom, kernel.height, stride.height)
    padding.right += rest(input.width + padding.left + padding.right, kernel.width, stride.width)
  }

  /// The extents of the result.
  func result(of input: ActivationShape, channels: Int) throws(HGNetError) -> ActivationShape {
    let height = input.height + padding.top + padding.bottom - kernel.height
    let width = input.width + padding.left + padding.right - kernel.width
    guard height >= 0, width >= 0 else {
      throw HGNetError(.shapeMismatch, "a window of \(kernel) does not fit an input of \(input)")
    }
    return ActivationShape(channels: channels, height: height / stride.height + 1, width: width / stride.width + 1)
  }

  /// Input pixels per pixel after the window, if that is the same along both axes.
  func stride(after stride: Int?) -> Int? {
    guard let stride, self.stride.height == self.stride.width, stride <= 1 << 20 else { return nil }
    return stride * self.stride.height
  }

  private static func border(length: Int, kernel: Int, stride: Int) -> (before: Int, after: Int) {
    let count = (length + stride - 1) / stride
    let total = max((count - 1) * stride + kernel - length, 0)
    return (total / 2, total - total / 2)
  }
}
