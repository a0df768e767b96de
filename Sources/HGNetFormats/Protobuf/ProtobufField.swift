import HGNetCore

/// One field of a protobuf message, where it lies in its file.
package struct ProtobufField: Sendable {
  package enum Value: Sendable {
    /// A variable-length number, or eight fixed bytes.
    case number(UInt64)
    /// Four fixed bytes.
    case word(UInt32)
    /// A text, bytes, a message, or packed numbers.
    case bytes(BlobSlice)
  }

  /// The number of the field.
  package let number: Int
  /// What is written.
  package let value: Value

  /// A whole number; 0 where something else is written.
  package var integer: Int {
    guard case .number(let number) = value else { return 0 }
    return Int(truncatingIfNeeded: Int64(bitPattern: number))
  }

  /// A float; 0 where something else is written.
  package var float: Float {
    guard case .word(let bits) = value else { return 0 }
    return Float(bitPattern: bits)
  }

  /// The bytes, nil for a number.
  package var bytes: BlobSlice? {
    guard case .bytes(let slice) = value else { return nil }
    return slice
  }

  /// A text; empty where something else or no UTF-8 is written.
  package var text: String { bytes?.withUnsafeBytes { String(validating: $0, as: UTF8.self) } ?? "" }

  /// Whole numbers, packed or one.
  package func integers() throws(HGNetError) -> [Int] {
    guard let bytes else { return [integer] }
    var result: [Int] = []
    var position = 0
    try bytes.withUnsafeBytes { (all) throws(HGNetError) in
      while position < all.count {
        result.append(
          Int(truncatingIfNeeded: Int64(bitPattern: try ProtobufField.variable(all, at: &position, offset: 0))))
      }
    }
    return result
  }

  /// Floats, packed or one.
  package func floats() throws(HGNetError) -> [Float] {
    guard let bytes else { return [float] }
    guard bytes.count % 4 == 0 else {
      throw HGNetError(.malformedData, "expected packed floats of four bytes each, found \(bytes.count) bytes")
    }
    return bytes.withUnsafeBytes { all in
      stride(from: 0, to: all.count, by: 4).map {
        Float(bitPattern: UInt32(littleEndian: all.loadUnaligned(fromByteOffset: $0, as: UInt32.self)))
      }
    }
  }

  /// The fields of a message in order; none is copied.
  ///
  /// - Throws: `HGNetError.Code.malformedData` naming the byte, `limitExceeded` above `maximumCount` fields.
  package static func all(in message: BlobSlice, maximumCount: Int = 1 << 20) throws(HGNetError) -> [ProtobufField] {
    var fields: [ProtobufField] = []
    var position = 0
    let start = message.range.lowerBound
    while position < message.count {
      guard fields.count < maximumCount else {
        throw HGNetError(.limitExceeded, "the message at byte \(start) has more than \(maximumCount) fields")
      }
      let (key, value) = try message.withUnsafeBytes { (all) throws(HGNetError) -> (UInt64, UInt64?) in
        let key = try variable(all, at: &position, offset: start)
        switch key & 7 {
        case 0, 2: return (key, try variable(all, at: &position, offset: start))
        case 1:
          guard all.count - position >= 8 else { throw truncated(at: start + position) }
          defer { position += 8 }
          return (key, UInt64(littleEndian: all.loadUnaligned(fromByteOffset: position, as: UInt64.self)))
        case 5:
          guard all.count - position >= 4 else { throw truncated(at: start + position) }
          defer { position += 4 }
          return (key, UInt64(UInt32(littleEndian: all.loadUnaligned(fromByteOffset: position, as: UInt32.self))))
        default: return (key, nil)
        }
      }
      guard let value, key >> 3 > 0, key >> 3 < 1 << 29 else {
        throw HGNetError(.malformedData, "expected a protobuf field before byte \(start + position), found another tag")
      }
      let number = Int(key >> 3)
      switch key & 7 {
      case 2:
        guard value <= UInt64(message.count - position) else { throw truncated(at: start + position) }
        let range = start + position..<start + position + Int(value)
        fields.append(ProtobufField(number: number, value: .bytes(try BlobSlice(message.blob, range: range))))
        position += Int(value)
      case 5: fields.append(ProtobufField(number: number, value: .word(UInt32(truncatingIfNeeded: value))))
      default: fields.append(ProtobufField(number: number, value: .number(value)))
      }
    }
    return fields
  }

  private static func variable(
    _ bytes: UnsafeRawBufferPointer, at position: inout Int, offset: Int
  ) throws(HGNetError) -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: 0, to: 64, by: 7) {
      guard position < bytes.count else { throw truncated(at: offset + position) }
      let byte = bytes[position]
      position += 1
      value |= UInt64(byte & 0x7F) << UInt64(shift)
      if byte < 0x80 { return value }
    }
    throw HGNetError(.malformedData, "expected a number of at most ten bytes before byte \(offset + position)")
  }

  private static func truncated(at position: Int) -> HGNetError {
    HGNetError(.malformedData, "a protobuf field ends beyond its message at byte \(position); the file is truncated")
  }
}
