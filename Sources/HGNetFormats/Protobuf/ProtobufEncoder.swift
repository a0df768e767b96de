/// Builds the bytes of one protobuf message, field by field in the order of the calls.
///
/// Weights need not be in memory: `header` begins a field whose bytes the caller streams behind it. Threads: one task.
package struct ProtobufEncoder: Sendable {
  /// The message so far.
  package private(set) var bytes: [UInt8] = []

  /// Makes an empty message.
  package init() {}

  /// Appends a whole number, also an enumeration or a truth value; negative ones as ten bytes.
  package mutating func integer(_ field: Int, _ value: Int) {
    variable(UInt64(field) << 3)
    variable(UInt64(bitPattern: Int64(value)))
  }

  /// Appends a float.
  package mutating func float(_ field: Int, _ value: Float) {
    variable(UInt64(field) << 3 | 5)
    for shift in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: value.bitPattern >> (shift * 8))) }
  }

  /// Appends a text.
  package mutating func text(_ field: Int, _ value: String) { data(field, Array(value.utf8)) }

  /// Appends bytes, or a message that is already encoded.
  package mutating func data(_ field: Int, _ value: [UInt8]) {
    header(field, byteCount: value.count)
    bytes += value
  }

  /// Appends a message inside this one.
  package mutating func message(_ field: Int, _ body: (inout ProtobufEncoder) -> Void) {
    var inner = ProtobufEncoder()
    body(&inner)
    data(field, inner.bytes)
  }

  /// Appends fields that are already encoded.
  package mutating func raw(_ fields: ProtobufEncoder) { bytes += fields.bytes }

  /// Appends the beginning of a field of bytes, which the caller writes behind it.
  package mutating func header(_ field: Int, byteCount: Int) {
    variable(UInt64(field) << 3 | 2)
    variable(UInt64(byteCount))
  }

  private mutating func variable(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}
