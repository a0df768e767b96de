import HGNetCore

/// The names that a pickle may refer to: classes and functions that only hold data.
enum PickleGlobal: Hashable, CustomStringConvertible {
  case arrayReconstruction, array, elementType, arrayScalar, arrayFromBuffer
  case encoding, byteString
  case tuple, list, dictionary
  case tensorReconstruction, parameterReconstruction, torchSize
  case storage(ElementType)

  init?(module: String, name: String) {
    switch (module, name) {
    case ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"):
      self = .arrayReconstruction
    case ("numpy", "ndarray"): self = .array
    case ("numpy", "dtype"): self = .elementType
    case ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar"): self = .arrayScalar
    case ("numpy.core.numeric", "_frombuffer"), ("numpy._core.numeric", "_frombuffer"): self = .arrayFromBuffer
    case ("_codecs", "encode"): self = .encoding
    case ("builtins", "bytes"), ("__builtin__", "bytes"): self = .byteString
    case ("builtins", "tuple"), ("__builtin__", "tuple"): self = .tuple
    case ("builtins", "list"), ("__builtin__", "list"): self = .list
    case ("builtins", "set"), ("__builtin__", "set"): self = .list
    case ("builtins", "dict"), ("__builtin__", "dict"), ("collections", "OrderedDict"): self = .dictionary
    // The options of a training script, which PyTorch's users put beside the weights.
    case ("argparse", "Namespace"): self = .dictionary
    case ("torch._utils", "_rebuild_tensor"), ("torch._utils", "_rebuild_tensor_v2"): self = .tensorReconstruction
    case ("torch._utils", "_rebuild_parameter"), ("torch._utils", "_rebuild_parameter_with_state"):
      self = .parameterReconstruction
    case ("torch", "Size"): self = .torchSize
    case ("torch", let storage), ("torch.cuda", let storage):
      guard let type = PickleGlobal.storageTypes[storage] else { return nil }
      self = .storage(type)
    default: return nil
    }
  }

  private static let storageTypes: [String: ElementType] = [
    "DoubleStorage": .float64, "FloatStorage": .float32, "HalfStorage": .float16, "BFloat16Storage": .bfloat16,
    "LongStorage": .int64, "IntStorage": .int32, "ShortStorage": .int16, "CharStorage": .int8, "ByteStorage": .uint8,
    "BoolStorage": .bool,
  ]

  var description: String {
    switch self {
    case .storage(let type): "storage of \(type)"
    case .elementType: "numpy.dtype"
    case .array: "numpy.ndarray"
    default: "a class"
    }
  }
}

extension PickleMachine {
  /// The global of a name.
  ///
  /// - Throws: `HGNetError.Code.unsafeContent` for any that is not on the list.
  func global(module: String, name: String) throws(HGNetError) -> PickleGlobal {
    if let global = PickleGlobal(module: module, name: name) { return global }
    let full = "\(module).\(name)".unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F }
    let shown = String(String.UnicodeScalarView(full.prefix(120)))
    throw HGNetError(
      .unsafeContent,
      "expected only arrays and tensors, found a reference to \(shown); reading never runs code of a file, so this "
        + "one is refused. Save the parameters alone: paddle.save(model.state_dict(), path) or "
        + "torch.save(model.state_dict(), path)",
      path: blob.path)
  }

  /// What a call of a known global makes.
  mutating func reduce(_ callable: Int32, _ arguments: Int32) throws(HGNetError) -> Int32 {
    guard case .global(let global) = node(callable), case .tuple(let items) = node(arguments) else {
      throw failure("expected a class and a tuple of arguments for it")
    }
    switch global {
    case .arrayReconstruction: return try add(.unfilledArray)
    case .elementType:
      guard let first = items.first else { throw failure("expected a type code for numpy.dtype") }
      var code = try shortText(first)
      let isBigEndian = code.first == ">"
      if let order = code.first, "<>=|".contains(order) { code.removeFirst() }
      return try add(.elementType(code: code, isBigEndian: isBigEndian))
    case .arrayScalar: return try add(try scalar(items))
    case .arrayFromBuffer:
      guard items.count == 4, case .elementType(let code, let isBigEndian) = node(items[1]) else {
        throw failure("expected bytes, type, shape and order of an array")
      }
      var array = PickleArray(
        shape: try integers(items[2], of: "shape"), typeCode: code, bytes: try elements(items[0], typeCode: code))
      array.isBigEndian = isBigEndian
      array.isColumnMajor = try shortText(items[3]) == "F"
      return try add(.array(array))
    case .encoding:
      guard items.count == 2, ["latin1", "latin-1", "iso-8859-1"].contains(try shortText(items[1])) else {
        throw failure("expected text and the encoding latin1 for a byte string")
      }
      return try add(.bytes(try latinBytes(items[0])))
    case .byteString:
      guard items.isEmpty else { throw failure("expected an empty byte string") }
      return try add(.bytes(try BlobSlice(blob, range: end..<end)))
    case .tuple, .torchSize: return try add(.tuple(try sequence(items)))
    case .list: return try add(.list(try sequence(items)))
    case .dictionary: return try add(.dictionary(try pairs(items)))
    case .tensorReconstruction:
      guard items.count >= 4, case .storage(let storage) = node(items[0]), case .integer(let offset) = node(items[1])
      else { throw failure("expected storage, offset, size and strides of a tensor") }
      let shape = try integers(items[2], of: "size")
      let strides = try integers(items[3], of: "strides")
      return try add(.tensor(PickleTensor(storage: storage, offset: offset, shape: shape, strides: strides)))
    case .parameterReconstruction:
      guard let first = items.first, case .tensor = node(first) else { throw failure("expected a tensor") }
      return first
    case .array, .storage:
      throw failure("an array is made in a way that no known writer uses")
    }
  }

  /// Gives an object the state that follows it.
  mutating func build(_ object: Int32, _ state: Int32) throws(HGNetError) {
    switch node(object) {
    case .elementType(let code, _):
      guard case .tuple(let items) = node(state), items.count >= 2 else {
        throw failure("expected the state of a dtype")
      }
      nodes[Int(object)] = .elementType(code: code, isBigEndian: try shortText(items[1]) == ">")
    case .unfilledArray:
      guard case .tuple(let items) = node(state), items.count == 5,
        case .elementType(let code, let isBigEndian) = node(items[2]), case .bool(let isColumnMajor) = node(items[3])
      else { throw failure("expected version, shape, type, order and bytes of an array") }
      var array = PickleArray(
        shape: try integers(items[1], of: "shape"), typeCode: code, bytes: try elements(items[4], typeCode: code))
      array.isBigEndian = isBigEndian
      array.isColumnMajor = isColumnMajor
      nodes[Int(object)] = .array(array)
    case .dictionary(let pairs):
      // The options of a training script; the attributes of an ordered dictionary say nothing about its entries.
      guard case .dictionary(let attributes) = node(state) else { return }
      if pairs.isEmpty {
        try spend(attributes)
        nodes[Int(object)] = .dictionary(attributes)
      }
    case .tensor: break
    default: throw failure("a state is given to an object that has none")
    }
  }

  /// The storage that a PyTorch checkpoint refers to from its pickle.
  mutating func persistentObject(_ identifier: Int32) throws(HGNetError) -> Int32 {
    guard case .tuple(let items) = node(identifier), items.count >= 5, try shortText(items[0]) == "storage",
      case .global(.storage(let type)) = node(items[1]), case .integer(let count) = node(items[4]), count >= 0
    else { throw failure("expected a reference to a storage of a PyTorch checkpoint") }
    var storage = PickleStorage(key: try shortText(items[2]), elementType: type, count: count)
    if items.count > 5, case .tuple(let view) = node(items[5]) {
      guard view.count == 3, case .integer(let start) = node(view[1]), start >= 0,
        case .integer(let length) = node(view[2]), length >= 0
      else { throw failure("expected key, offset and length of a view of a storage") }
      storage.start = start
      storage.count = length
    }
    return try add(.storage(storage))
  }

  private func integers(_ index: Int32, of what: String) throws(HGNetError) -> [Int] {
    guard case .tuple(let items) = node(index), items.count <= 64 else { throw failure("expected a \(what)") }
    var result: [Int] = []
    for item in items {
      guard case .integer(let value) = node(item) else { throw failure("expected integers in a \(what)") }
      result.append(value)
    }
    return result
  }

  private func elements(_ index: Int32, typeCode: String) throws(HGNetError) -> BlobSlice {
    switch node(index) {
    case .bytes(let slice): return slice
    case .latinText(let range): return try BlobSlice(blob, range: range)
    default:
      throw HGNetError(
        .unsupported, "expected an array of numbers, found one of Python objects (type \(typeCode))", path: blob.path)
    }
  }

  private mutating func scalar(_ items: [Int32]) throws(HGNetError) -> Node {
    guard items.count == 2, case .elementType(let code, let isBigEndian) = node(items[0]) else {
      throw failure("expected type and bytes of a number")
    }
    let bytes = try elements(items[1], typeCode: code)
    guard !isBigEndian, let type = ElementType(numpyTypeCode: code), bytes.count == type.byteCount else {
      throw HGNetError(
        .unsupported, "expected a little-endian number, found type \(code) of \(bytes.count) bytes", path: blob.path)
    }
    return bytes.withUnsafeBytes { memory in
      switch type {
      case .float64: .double(memory.loadUnaligned(as: Double.self))
      case .float32: .double(Double(memory.loadUnaligned(as: Float.self)))
      case .float16, .bfloat16: .double(Double(Float(halfBits: memory.loadUnaligned(as: UInt16.self))))
      case .int64: .integer(Int(memory.loadUnaligned(as: Int64.self)))
      case .int32: .integer(Int(memory.loadUnaligned(as: Int32.self)))
      case .int16: .integer(Int(memory.loadUnaligned(as: Int16.self)))
      case .uint16: .integer(Int(memory.loadUnaligned(as: UInt16.self)))
      case .int8: .integer(Int(memory.loadUnaligned(as: Int8.self)))
      case .uint8: .integer(Int(memory.loadUnaligned(as: UInt8.self)))
      case .bool: .bool(memory.loadUnaligned(as: UInt8.self) != 0)
      }
    }
  }

  /// The items of another sequence; each use is paid, since a change of either copies them.
  private mutating func sequence(_ arguments: [Int32]) throws(HGNetError) -> [Int32] {
    guard let first = arguments.first else { return [] }
    switch node(first) {
    case .tuple(let items), .list(let items):
      try spend(items)
      return items
    default: throw failure("expected the items of a sequence")
    }
  }

  private mutating func spend(_ items: [Int32]) throws(HGNetError) {
    try budget.spend(items.count * MemoryLayout<Int32>.size)
  }

  private mutating func pairs(_ arguments: [Int32]) throws(HGNetError) -> [Int32] {
    guard let first = arguments.first else { return [] }
    if case .dictionary(let items) = node(first) {
      try spend(items)
      return items
    }
    var result: [Int32] = []
    for entry in try sequence(arguments) {
      switch node(entry) {
      case .tuple(let pair) where pair.count == 2, .list(let pair) where pair.count == 2:
        result.append(contentsOf: pair)
      default: throw failure("expected pairs of key and value")
      }
    }
    try spend(result)
    return result
  }

  /// The bytes that a text stands for in Latin-1: each code point below 256 is one byte.
  private mutating func latinBytes(_ index: Int32) throws(HGNetError) -> BlobSlice {
    let range: Range<Int>
    switch node(index) {
    case .latinText(let bytes): return try BlobSlice(blob, range: bytes)
    case .text(let text): range = text
    default: throw failure("expected a text that stands for a byte string")
    }
    try budget.spend(range.count)
    let source = UnsafeRawBufferPointer(rebasing: bytes[range])
    guard let count = LatinText.byteCount(of: source) else {
      throw failure("expected a text of characters below 256 in place of a byte string")
    }
    let text = try BlobSlice(blob, range: range)
    if count == range.count { return text }
    // Tensors are long, and decoding all of them at once would hold the weights a second time.
    guard count > LatinText.longestThatIsKept else {
      return BlobSlice(Blob(count: count, path: blob.path) { LatinText.decode(source, into: $0) })
    }
    blob.discard(range)
    return BlobSlice(Blob(count: count, madeOf: text, by: LatinText.decode))
  }
}

/// UTF-8 text whose code points, all below 256, stand for bytes.
private enum LatinText {
  static let longestThatIsKept = 1 << 16

  /// The number of bytes that a text stands for; nil when it is not UTF-8 or a code point is too large.
  static func byteCount(of source: UnsafeRawBufferPointer) -> Int? {
    // Without branches on the data, which looks random to a processor: what begins a pair must be followed by what ends
    // one, and the other way round.
    var fault: UInt8 = 0
    var pairs = 0
    var previous: UInt8 = 0
    for byte in source {
      let begins: UInt8 = byte & 0xFE == 0xC2 ? 1 : 0
      let ends: UInt8 = byte & 0xC0 == 0x80 ? 1 : 0
      fault |= (ends ^ previous) | (byte >> 7 ^ begins ^ ends)
      pairs &+= Int(begins)
      previous = begins
    }
    return fault | previous == 0 ? source.count - pairs : nil
  }

  /// Writes the bytes of a text that `byteCount` has accepted.
  @Sendable static func decode(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) {
    var position = 0
    var filled = 0
    while filled < target.count, position + 1 < source.count {
      let byte = source[position]
      let isPair = byte >> 7
      let mask = 0 &- isPair
      target[filled] = byte & ~mask | (byte << 6 | source[position + 1] & 0x3F) & mask
      position += 1 + Int(isPair)
      filled += 1
    }
    if filled < target.count, position < source.count { target[filled] = source[position] }
  }
}
