import HGNetCore

extension Pickle {
  /// Writes a value as a pickle which Python, NumPy and PaddlePaddle load.
  ///
  /// The file appears under its name only once it is complete. Arrays are written from where they are, without a copy.
  ///
  /// - Parameters:
  ///   - value: The tree to write; it must not hold tensors or storages of PyTorch.
  ///   - path: The file.
  ///   - version: The pickle protocol, 2, 3 or 4.
  /// - Throws: `HGNetError.Code.unwritableFile`, `invalidArgument` for another protocol, `unsupported` for a value that
  ///   the protocol cannot hold.
  package static func write(_ value: PickleValue, to path: String, protocol version: Int = 4) throws(HGNetError) {
    var writer = try PickleWriter(path: path, protocol: version)
    try writer.write(value)
    try writer.end()
    try writer.commit()
  }
}

/// Encodes values into a pickle file.
struct PickleWriter: ~Copyable {
  private var output: FileOutput
  private let version: Int
  private let path: String
  private var memo: [String: Int]

  init(path: String, protocol version: Int) throws(HGNetError) {
    guard (2...4).contains(version) else {
      throw HGNetError(.invalidArgument, "expected pickle protocol 2, 3 or 4, found \(version)", path: path)
    }
    var output = try FileOutput(path: path)
    try output.write([0x80, UInt8(version)])
    self.output = output
    self.path = path
    self.version = version
    memo = [:]
  }

  /// Ends the pickle.
  mutating func end() throws(HGNetError) { try output.write([0x2E]) }

  /// Gives the file its name.
  consuming func commit() throws(HGNetError) { try output.commit() }

  mutating func write(_ value: PickleValue) throws(HGNetError) {
    switch value {
    case .none: try output.write([0x4E])
    case .bool(let value): try output.write([value ? 0x88 : 0x89])
    case .integer(let value): try write(integer: value)
    case .double(let value):
      try output.write([0x47])
      try write(littleEndian: value.bitPattern.byteSwapped, count: 8)
    case .text(let text): try write(text: text)
    case .bytes(let slice): try write(bytes: slice)
    case .tuple(let items): try write(tuple: items)
    case .list(let items):
      try output.write([0x5D])
      var rest = items[...]
      while !rest.isEmpty {
        try output.write([0x28])
        for item in rest.prefix(1000) { try write(item) }
        try output.write([0x65])
        rest = rest.dropFirst(1000)
      }
    case .dictionary(let dictionary):
      try output.write([0x7D])
      var rest = dictionary.pairs[...]
      while !rest.isEmpty {
        try output.write([0x28])
        for pair in rest.prefix(1000) {
          try write(pair.key)
          try write(pair.value)
        }
        try output.write([0x75])
        rest = rest.dropFirst(1000)
      }
    case .array(let array): try write(array: array)
    case .tensor, .storage:
      throw HGNetError(.unsupported, "a tensor of a PyTorch checkpoint cannot be written into a pickle", path: path)
    }
  }

  private mutating func write(littleEndian value: UInt64, count: Int) throws(HGNetError) {
    try output.write((0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) })
  }

  private mutating func write(integer value: Int) throws(HGNetError) {
    switch value {
    case 0...0xFF: try output.write([0x4B, UInt8(value)])
    case 0...0xFFFF:
      try output.write([0x4D])
      try write(littleEndian: UInt64(value), count: 2)
    case Int(Int32.min)...Int(Int32.max):
      try output.write([0x4A])
      try write(littleEndian: UInt64(bitPattern: Int64(value)), count: 4)
    default:
      try output.write([0x8A, 8])
      try write(littleEndian: UInt64(bitPattern: Int64(value)), count: 8)
    }
  }

  private mutating func write(text: String) throws(HGNetError) {
    let bytes = Array(text.utf8)
    if version >= 4, bytes.count <= 0xFF {
      try output.write([0x8C, UInt8(bytes.count)])
    } else {
      guard bytes.count <= UInt32.max else {
        throw HGNetError(.unsupported, "expected a text below 4 GiB", path: path)
      }
      try output.write([0x58])
      try write(littleEndian: UInt64(bytes.count), count: 4)
    }
    try output.write(bytes)
  }

  private mutating func write(tuple items: [PickleValue]) throws(HGNetError) {
    if items.isEmpty { return try output.write([0x29]) }
    if items.count > 3 { try output.write([0x28]) }
    for item in items { try write(item) }
    try output.write([items.count > 3 ? 0x74 : 0x84 + UInt8(items.count)])
  }

  private mutating func write(bytes slice: BlobSlice) throws(HGNetError) {
    if version == 2 { return try write(latin: slice) }
    if slice.count <= 0xFF {
      try output.write([0x43, UInt8(slice.count)])
    } else if slice.count <= UInt32.max {
      try output.write([0x42])
      try write(littleEndian: UInt64(slice.count), count: 4)
    } else {
      guard version >= 4 else { throw tooLong(slice.count) }
      try output.write([0x8E])
      try write(littleEndian: UInt64(slice.count), count: 8)
    }
    try slice.withUnsafeBytes { (bytes) throws(HGNetError) in try output.write(bytes) }
  }

  /// Protocol 2 knows no byte strings: they are text whose code points are the bytes, encoded again when it is read.
  private mutating func write(latin slice: BlobSlice) throws(HGNetError) {
    let count = slice.withUnsafeBytes { $0.reduce($0.count) { $1 >= 0x80 ? $0 + 1 : $0 } }
    guard count <= UInt32.max else { throw tooLong(slice.count) }
    try write(global: "_codecs", "encode")
    try output.write([0x58])
    try write(littleEndian: UInt64(count), count: 4)
    try slice.withUnsafeBytes { (bytes) throws(HGNetError) in
      var chunk = [UInt8](repeating: 0, count: 1 << 16)
      for start in stride(from: 0, to: bytes.count, by: 1 << 15) {
        var filled = 0
        for byte in bytes[start..<min(start + 1 << 15, bytes.count)] {
          // Without branches on the data: the second byte is overwritten where one is enough.
          let mask = 0 &- (byte >> 7)
          chunk[filled] = byte & ~mask | (0xC0 | byte >> 6) & mask
          chunk[filled + 1] = 0x80 | byte & 0x3F
          filled += 1 + Int(byte >> 7)
        }
        try output.write(chunk[..<filled])
      }
    }
    try write(text: "latin1")
    try output.write([0x86, 0x52])
  }

  private func tooLong(_ count: Int) -> HGNetError {
    HGNetError(
      .unsupported, "pickle protocol \(version) cannot hold \(count) bytes in one piece; write protocol 4", path: path)
  }

  private mutating func write(array: PickleArray) throws(HGNetError) {
    try write(global: "numpy.core.multiarray", "_reconstruct")
    try write(global: "numpy", "ndarray")
    try output.write([0x4B, 0, 0x85])
    try write(bytes: BlobSlice(Blob("b".utf8)))
    try output.write([0x87, 0x52, 0x28, 0x4B, 1])
    try write(tuple: array.shape.map { .integer($0) })
    try write(elementType: array)
    try output.write([array.isColumnMajor ? 0x88 : 0x89])
    try write(bytes: array.bytes)
    try output.write([0x74, 0x62])
  }

  private mutating func write(elementType array: PickleArray) throws(HGNetError) {
    let order = array.typeCode.hasSuffix("1") ? "|" : array.isBigEndian ? ">" : "<"
    if try recall("\(order)\(array.typeCode)") { return }
    try write(global: "numpy", "dtype")
    try write(tuple: [.text(array.typeCode), .bool(false), .bool(true)])
    try output.write([0x52])
    try write(tuple: [
      .integer(3), .text(order), .none, .none, .none, .integer(-1), .integer(-1), .integer(0),
    ])
    try output.write([0x62])
    try memorise("\(order)\(array.typeCode)")
  }

  private mutating func write(global module: String, _ name: String) throws(HGNetError) {
    if try recall("\(module)\n\(name)") { return }
    if version >= 4 {
      try write(text: module)
      try write(text: name)
      try output.write([0x93])
    } else {
      try output.write("c\(module)\n\(name)\n")
    }
    try memorise("\(module)\n\(name)")
  }

  private mutating func recall(_ key: String) throws(HGNetError) -> Bool {
    guard let index = memo[key] else { return false }
    try output.write([0x68, UInt8(index)])
    return true
  }

  /// Remembers the object that was just written; there are less than 256 of them, a few globals and types.
  private mutating func memorise(_ key: String) throws(HGNetError) {
    let index = memo.count
    guard let short = UInt8(exactly: index) else { return }
    memo[key] = index
    try output.write([0x71, short])
  }
}
