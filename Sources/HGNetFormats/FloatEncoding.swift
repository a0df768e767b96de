import HGNetCore

extension Float {
  /// The nearest bfloat16 as a bit pattern; ties go to the even one.
  var bfloat16Bits: UInt16 {
    guard !isNaN else { return UInt16(truncatingIfNeeded: bitPattern >> 16) | 0x40 }
    return UInt16(truncatingIfNeeded: (bitPattern &+ 0x7FFF &+ (bitPattern >> 16 & 1)) >> 16)
  }
}

extension FileOutput {
  /// Appends the elements of a parameter in C order, little endian, as float32, float16 or bfloat16.
  ///
  /// - Parameters:
  ///   - parameter: of any type; one that is of the wanted type already is copied byte for byte.
  ///   - type: of what is written.
  /// - Throws: `HGNetError.Code.unsupported` for a number that the type has no place for, `limitExceeded`,
  ///   `unwritableFile`.
  package mutating func write(_ parameter: Parameter, as type: ElementType) throws(HGNetError) {
    if parameter.elementType == type, parameter.scales == nil {
      try parameter.withUnsafeBytes { (bytes) throws(HGNetError) in try write(bytes) }
      return
    }
    guard type == .float16 || type == .bfloat16 else { return try writeFloat32(parameter) }
    let tensor = try parameter.allocatedTensor()
    var bytes: [UInt8] = []
    bytes.reserveCapacity(2 * tensor.count)
    try tensor.withUnsafeBufferPointer { (values) throws(HGNetError) in
      for value in values {
        let bits = type == .float16 ? Float16(value).bitPattern : value.bfloat16Bits
        let isInfinite = bits & 0x7FFF == (type == .float16 ? 0x7C00 : 0x7F80)
        guard !isInfinite || !value.isFinite else {
          throw HGNetError(
            .unsupported,
            "\(type.rawValue) has no place for the number \(value); export in bfloat16 or float32")
        }
        bytes.append(UInt8(truncatingIfNeeded: bits))
        bytes.append(UInt8(truncatingIfNeeded: bits >> 8))
      }
    }
    try write(bytes)
  }
}
