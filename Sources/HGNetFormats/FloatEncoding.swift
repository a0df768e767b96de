import HGNetCore

extension Float {
  /// The nearest IEEE 754 binary16 as a bit pattern; ties go to the even one, what is too large becomes infinite.
  var halfBits: UInt16 {
    let sign = UInt16(truncatingIfNeeded: bitPattern >> 16) & 0x8000
    guard isFinite else { return isNaN ? sign | 0x7E00 : sign | 0x7C00 }
    let size = magnitude
    // Half of the step above the largest number.
    if size >= 65520 { return sign | 0x7C00 }
    // Steps of 2^-24 up to 2^-14.
    if size < 0x1p-14 { return sign | UInt16((size * 0x1p24).rounded(.toNearestOrEven)) }
    // A carry out of the fraction goes into the exponent, where it belongs.
    let bits = size.bitPattern
    let rounded = bits &+ 0xFFF &+ (bits >> 13 & 1)
    return sign | UInt16(truncatingIfNeeded: (rounded >> 13) &- (112 << 10))
  }

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
        let bits = type == .float16 ? value.halfBits : value.bfloat16Bits
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
