import HGNetCore
import HGNetPlatform

/// A file of scalar curves that TensorBoard shows while it grows.
///
/// Each record is written whole, so that a reader sees complete records only; a run that is resumed starts a new file in
/// the same folder, and TensorBoard joins them. Threads: one task.
///
/// Source: TensorFlow's `event.proto` and `summary.proto` (field numbers), and the record format (length, masked CRC-32C
/// of the length, data, masked CRC-32C of the data).
package struct TensorBoardEvents: ~Copyable {
  /// The file.
  package let path: String
  private let descriptor: Int32

  /// Creates `events.out.tfevents.TIME.HOST.PROCESS` in a folder, which is made if it is missing.
  ///
  /// - Parameters:
  ///   - folder: the folder.
  ///   - time: seconds since 1970, for the name and the first record.
  /// - Throws: `HGNetError.Code.unwritableFile`.
  package init(folder: String, time: Double) throws(HGNetError) {
    guard time.isFinite, abs(time) < 1e15 else {
      throw HGNetError(.invalidArgument, "expected seconds since 1970, found \(time)")
    }
    if mkdir(folder, 0o755) != 0, errno != EEXIST {
      throw HGNetError(
        .unwritableFile, "cannot make the folder for TensorBoard", path: folder, cause: String(cString: strerror(errno))
      )
    }
    let base = "\(folder)/events.out.tfevents.\(Int64(time)).\(TensorBoardEvents.hostName).\(getpid())"
    // Two files of one second get different names.
    var attempt = 0
    var name = base
    var opened = open(name, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0o644)
    while opened < 0, errno == EEXIST, attempt < 1000 {
      attempt += 1
      name = "\(base).\(attempt)"
      opened = open(name, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0o644)
    }
    guard opened >= 0 else {
      throw HGNetError(
        .unwritableFile, "cannot create the file", path: name, cause: String(cString: strerror(errno)))
    }
    var event = EventBytes()
    event.append(double: time, field: 1)
    event.append(bytes: Array("brain.Event:2".utf8), field: 3)
    do throws(HGNetError) {
      try TensorBoardEvents.write(event.bytes, to: opened, path: name)
    } catch {
      close(opened)
      throw error
    }
    path = name
    descriptor = opened
  }

  deinit { close(descriptor) }

  /// Adds one value to each of several curves.
  ///
  /// - Parameters:
  ///   - values: the tag of the curve, such as `train_loss`, and its value.
  ///   - step: the position along the curve.
  ///   - time: seconds since 1970.
  /// - Throws: `HGNetError.Code.unwritableFile`.
  package func add(_ values: [(name: String, value: Double)], step: Int, time: Double) throws(HGNetError) {
    try TensorBoardEvents.write(
      TensorBoardEvents.event(values, step: step, time: time), to: descriptor, path: path)
  }

  /// The message of one record.
  static func event(_ values: [(name: String, value: Double)], step: Int, time: Double) -> [UInt8] {
    var summary = EventBytes()
    for (name, value) in values {
      var entry = EventBytes()
      entry.append(bytes: Array(name.utf8), field: 1)
      entry.append(float: Float(value), field: 2)
      summary.append(bytes: entry.bytes, field: 1)
    }
    var event = EventBytes()
    event.append(double: time, field: 1)
    event.append(integer: UInt64(bitPattern: Int64(step)), field: 2)
    event.append(bytes: summary.bytes, field: 5)
    return event.bytes
  }

  /// A record around a message.
  package static func record(_ message: [UInt8]) -> [UInt8] {
    let length = EventBytes.littleEndian(UInt64(message.count))
    return length + EventBytes.littleEndian(maskedChecksum(length)) + message
      + EventBytes.littleEndian(maskedChecksum(message))
  }

  private static func write(_ message: [UInt8], to descriptor: Int32, path: String) throws(HGNetError) {
    let record = TensorBoardEvents.record(message)
    var start = 0
    while start < record.count {
      let written = record.span.withUnsafeBytes { bytes in
        writeBytes(descriptor, UnsafeRawBufferPointer(rebasing: bytes[start...]))
      }
      if written < 0, errno == EINTR { continue }
      guard written > 0 else {
        throw HGNetError(
          .unwritableFile, "cannot write a record for TensorBoard", path: path, cause: String(cString: strerror(errno)))
      }
      start += written
    }
  }

  private static var hostName: String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
      buffer.initialize(repeating: 0)
      guard let base = buffer.baseAddress, gethostname(base, 255) == 0, base[0] != 0 else { return "localhost" }
      return String(String(cString: base).map { $0 == "/" ? "_" : $0 })
    }
  }

  /// CRC-32C (Castagnoli), rotated and shifted so that checksums of checksums stay useful.
  package static func maskedChecksum(_ bytes: [UInt8]) -> UInt32 {
    var state: UInt32 = 0xFFFF_FFFF
    for byte in bytes { state = checksumTable[Int((state ^ UInt32(byte)) & 0xFF)] ^ (state >> 8) }
    let value = ~state
    return ((value >> 15) | (value << 17)) &+ 0xA282_EAD8
  }

  private static let checksumTable: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? (value >> 1) ^ 0x82F6_3B78 : value >> 1 }
  }
}

private func writeBytes(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
  write(descriptor, bytes.baseAddress, bytes.count)
}

/// A protobuf message under construction.
struct EventBytes {
  var bytes: [UInt8] = []

  mutating func append(integer value: UInt64, field: UInt64) {
    append(varint: field << 3)
    append(varint: value)
  }

  mutating func append(double value: Double, field: UInt64) {
    append(varint: field << 3 | 1)
    bytes += EventBytes.littleEndian(value.bitPattern)
  }

  mutating func append(float value: Float, field: UInt64) {
    append(varint: field << 3 | 5)
    bytes += EventBytes.littleEndian(value.bitPattern)
  }

  mutating func append(bytes other: [UInt8], field: UInt64) {
    append(varint: field << 3 | 2)
    append(varint: UInt64(other.count))
    bytes += other
  }

  private mutating func append(varint: UInt64) {
    var rest = varint
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
  }

  static func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    (0..<value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
  }
}
