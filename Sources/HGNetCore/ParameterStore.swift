/// How the elements of a stored array are encoded, little endian.
public enum ElementType: String, Hashable, Sendable {
  case float64, float32, float16, bfloat16, int64, int32, int16, int8, uint16, uint8, bool

  /// The number of bytes of one element.
  public var byteCount: Int {
    switch self {
    case .float64, .int64: 8
    case .float32, .int32: 4
    case .float16, .bfloat16, .int16, .uint16: 2
    case .int8, .uint8, .bool: 1
    }
  }
}

/// One named array of a weights file: its shape, its encoding and where its bytes are.
///
/// Nothing is converted until it is asked for. Threads: safe to share.
public struct Parameter: Sendable {
  /// The extents, in the layout of PaddlePaddle: convolution weights `[out, in/groups, kernel height, kernel width]`,
  /// linear weights `[in, out]`.
  public let shape: Shape
  /// How the elements are encoded.
  public let elementType: ElementType
  /// The encoded elements, little endian, in C order.
  public let bytes: BlobSlice
  /// What a unit of each output channel of quantised weights is worth; nil for numbers that are what they are.
  ///
  /// Output channels are the first axis of convolution weights and the last of linear ones.
  package let scales: [Float]?

  /// Makes a parameter from encoded elements in C order.
  ///
  /// - Throws: `HGNetError.Code.malformedData` when the number of bytes does not fit shape and type.
  public init(shape: Shape, elementType: ElementType, bytes: BlobSlice) throws(HGNetError) {
    let (expected, overflow) = shape.checkedCount.multipliedReportingOverflow(by: elementType.byteCount)
    guard !overflow, bytes.count == expected else {
      throw HGNetError(
        .malformedData, "expected \(expected) bytes for \(elementType) \(shape), found \(bytes.count)",
        path: bytes.blob.path)
    }
    self.shape = shape
    self.elementType = elementType
    self.bytes = bytes
    scales = nil
  }

  /// Makes quantised weights.
  ///
  /// - Parameters:
  ///   - parameter: the weights as int8, of two axes or four.
  ///   - scales: one for each output channel.
  /// - Throws: `HGNetError.Code.malformedData` for another element type or shape, a wrong number of scales, and scales
  ///   that are not positive and finite.
  package init(_ parameter: Parameter, scales: [Float]) throws(HGNetError) {
    guard parameter.elementType == .int8, parameter.shape.rank == 2 || parameter.shape.rank == 4 else {
      throw HGNetError(
        .malformedData,
        "expected quantised weights as int8 of two or four axes, found \(parameter.elementType) \(parameter.shape)")
    }
    let channels = parameter.shape.rank == 2 ? parameter.shape[1] : parameter.shape[0]
    guard scales.count == channels else {
      throw HGNetError(.malformedData, "expected \(channels) scales of quantised weights, found \(scales.count)")
    }
    if let (channel, scale) = scales.enumerated().first(where: { !($0.element.isNormal && $0.element > 0) }) {
      throw HGNetError(
        .malformedData, "expected positive, finite scales of quantised weights, found \(scale) for channel \(channel)")
    }
    shape = parameter.shape
    elementType = .int8
    bytes = parameter.bytes
    self.scales = scales
  }

  /// Makes a float32 parameter from a tensor, copying it.
  public init(_ tensor: Tensor) {
    shape = tensor.shape
    elementType = .float32
    scales = nil
    bytes = BlobSlice(
      Blob(count: tensor.count * 4) { memory in
        tensor.withUnsafeBufferPointer { memory.copyMemory(from: UnsafeRawBufferPointer($0)) }
      })
  }

  /// Makes a float32 parameter of a size that comes from outside and lets `body` write every element, in C order.
  ///
  /// - Parameters:
  ///   - shape: the extents.
  ///   - subject: what it is for, in the words of an error.
  ///   - body: writes the elements.
  /// - Throws: `HGNetError.Code.limitExceeded` when the process may not have that much memory, and what `body` throws.
  package init(
    allocating shape: Shape, for subject: @autoclosure () -> String,
    initializingWith body: (UnsafeMutableBufferPointer<Float>) throws(HGNetError) -> Void
  ) throws(HGNetError) {
    self.shape = shape
    elementType = .float32
    scales = nil
    let (byteCount, overflow) = shape.checkedCount.multipliedReportingOverflow(by: 4)
    let blob = try Blob(
      allocating: overflow ? .max : byteCount, for: "\(subject()), an array of shape \(shape)"
    ) { (bytes) throws(HGNetError) in try body(bytes.bindMemory(to: Float.self)) }
    bytes = BlobSlice(blob)
  }

  /// Calls `body` with the encoded bytes, little endian, C order; the pointer must not escape and may be unaligned.
  public func withUnsafeBytes<Result, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result { try bytes.withUnsafeBytes(body) }

  /// The elements as float32, rounded where the encoding is wider.
  ///
  /// They take at most four times the memory of the encoded bytes.
  ///
  /// Cost: one allocation, O(elements).
  public func tensor() -> Tensor {
    Tensor(shape: shape) { target in
      bytes.withUnsafeBytes { source in decode(source, into: target) }
    }
  }

  /// The elements as float32 as `tensor()` gives them, where there is memory for them.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded`.
  package func allocatedTensor() throws(HGNetError) -> Tensor {
    try Tensor(allocating: shape, for: "a parameter as float32") { (target) throws(HGNetError) in
      bytes.withUnsafeBytes { source in decode(source, into: target) }
    }
  }

  /// Calls `body` with the elements as float32: where they lie, if that is what they are, else a copy.
  ///
  /// The pointer must not escape. Cost: none for aligned float32, else that of `tensor()`.
  public func withFloats<Result>(_ body: (UnsafeBufferPointer<Float>) -> Result) -> Result {
    if elementType == .float32 {
      let inPlace: Result? = bytes.withUnsafeBytes { raw in
        guard let base = raw.baseAddress, Int(bitPattern: base) % MemoryLayout<Float>.alignment == 0 else { return nil }
        return raw.withMemoryRebound(to: Float.self, body)
      }
      if let inPlace { return inPlace }
    }
    return tensor().withUnsafeBufferPointer(body)
  }

  /// Hands the pages of a mapped file back to the system once they have been read.
  public func discardPages() { bytes.blob.discard(bytes.range) }

  private func decode(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableBufferPointer<Float>) {
    func each<Element: BitwiseCopyable>(_ type: Element.Type, _ convert: (Element) -> Float) {
      for index in 0..<target.count {
        let element = source.loadUnaligned(fromByteOffset: index * MemoryLayout<Element>.stride, as: type)
        target[index] = convert(element)
      }
    }
    switch elementType {
    case .float32: UnsafeMutableRawBufferPointer(target).copyMemory(from: source)
    case .float64: each(Double.self) { Float($0) }
    case .float16: each(UInt16.self) { Float(halfBits: $0) }
    case .bfloat16: each(UInt16.self) { Float(bitPattern: UInt32($0) << 16) }
    case .int64: each(Int64.self) { Float($0) }
    case .int32: each(Int32.self) { Float($0) }
    case .int16: each(Int16.self) { Float($0) }
    case .uint16: each(UInt16.self) { Float($0) }
    case .int8: each(Int8.self) { Float($0) }
    case .uint8, .bool: each(UInt8.self) { Float($0) }
    }
    guard let scales else { return }
    let run = shape.rank == 2 ? 1 : target.count / max(scales.count, 1)
    for index in 0..<target.count { target[index] *= scales[index / run % scales.count] }
  }
}

extension Float {
  /// The value of an IEEE 754 binary16 bit pattern, exact.
  ///
  /// `Float16` calls a function for each number where the instructions for it are not taken for granted, as on x86-64; that
  /// takes five times as long and turns signalling NaNs into quiet ones.
  public init(halfBits bits: UInt16) {
    let sign: UInt32 = UInt32(bits & 0x8000) << 16
    let exponent = Int(bits >> 10 & 0x1F)
    let fraction = UInt32(bits & 0x3FF)
    switch exponent {
    case 0:
      let magnitude = Float(fraction) * 0x1p-24
      self = sign == 0 ? magnitude : -magnitude
    case 31:
      self = Float(bitPattern: sign | 0x7F80_0000 | fraction << 13)
    default:
      self = Float(bitPattern: sign | UInt32(exponent + 112) << 23 | fraction << 13)
    }
  }
}

/// What gives parameters by name: a `ParameterStore`, or something that makes each one when it is asked for.
public protocol ParameterSource: Sendable {
  /// The parameter of a name, or nil.
  subscript(name: String) -> Parameter? { get }
  /// Where the values of results lie, by the names of layers, where weights are quantised; empty where they are not.
  var ranges: [String: ClosedRange<Float>] { get }
  /// Whether exactly those results are rounded to bytes that have a range, rather than what an engine finds best.
  var hasExactRanges: Bool { get }
}

extension ParameterSource {
  /// None.
  public var ranges: [String: ClosedRange<Float>] { [:] }
  /// They are not.
  public var hasExactRanges: Bool { false }
}

/// Named parameters in the order of their file or model.
///
/// Names, shapes and layouts are PaddlePaddle's (`stages.2.blocks.0.layers.3.conv1.bn._mean`); readers of other
/// formats translate. Threads: a value, safe to share.
public struct ParameterStore: ParameterSource {
  /// The names in order.
  public private(set) var names: [String] = []
  private var parameters: [String: Parameter] = [:]
  /// Where the values of results lie, by the names of layers, where weights are quantised.
  public var ranges: [String: ClosedRange<Float>] = [:]
  /// Whether exactly those results are rounded that have a range, as in an ONNX model that says where.
  public var hasExactRanges = false

  /// Makes an empty store.
  public init() {}

  /// The parameter of a name; assigning adds it at the end, replaces it in place, or removes it with nil.
  public subscript(name: String) -> Parameter? {
    get { parameters[name] }
    set {
      if newValue != nil, parameters[name] == nil { names.append(name) }
      if newValue == nil, parameters[name] != nil { names.removeAll { $0 == name } }
      parameters[name] = newValue
    }
  }

  /// The number of parameters.
  public var count: Int { names.count }

  /// Whether there is none.
  public var isEmpty: Bool { names.isEmpty }

  /// The number of elements of all parameters together.
  public var elementCount: Int { parameters.values.reduce(0) { $0 + $1.shape.count } }
}
