import CHGNet
import HGNetCore

/// A failure that only the C interface knows, with its status.
struct CallFailure: Error {
  let status: hgnet_status
  let text: String

  static func invalidArgument(_ text: String) -> CallFailure { CallFailure(status: HGNET_INVALID_ARGUMENT, text: text) }

  static var cancelled: CallFailure {
    CallFailure(status: HGNET_CANCELLED, text: "the work was cancelled by its caller")
  }

  static func tooSmall(expected: Int, found: Int, of unit: String) -> CallFailure {
    CallFailure(status: HGNET_BUFFER_TOO_SMALL, text: "expected room for \(expected) \(unit), found room for \(found)")
  }
}

/// What surrounds the body of every function of the interface.
enum Call {
  /// Runs a body and turns what it throws into a status and the error text of this thread.
  static func status(of body: () throws -> Void) -> hgnet_status {
    hg_accesses_ignore()
    defer { hg_accesses_observe() }
    do {
      try body()
      return HGNET_OK
    } catch let failure as CallFailure {
      return fail(failure.status, failure.text)
    } catch let error as HGNetError {
      return fail(status(of: error.code), error.description)
    } catch {
      return fail(HGNET_INTERNAL_ERROR, "\(error)")
    }
  }

  /// A pointer that must not be null.
  static func required<Pointer>(_ pointer: Pointer?, _ name: String) throws(CallFailure) -> Pointer {
    guard let pointer else { throw .invalidArgument("expected \(name), found a null pointer") }
    return pointer
  }

  /// The bytes of a caller.
  static func bytes(
    _ pointer: UnsafeRawPointer?, count: Int, _ name: String
  ) throws(CallFailure) -> UnsafeRawBufferPointer {
    let pointer = try required(pointer, name)
    // A count above the half of the address space arrives as a negative number.
    guard count >= 0 else { throw .invalidArgument("expected the number of \(name), found \(UInt(bitPattern: count))") }
    return UnsafeRawBufferPointer(start: pointer, count: count)
  }

  /// The memory of a caller for a result; null only with a capacity of 0.
  static func target<Element>(
    _ pointer: UnsafeMutablePointer<Element>?, capacity: Int, _ name: String
  ) throws(CallFailure) -> UnsafeMutableBufferPointer<Element> {
    guard capacity >= 0 else {
      throw .invalidArgument("expected the capacity of \(name), found \(UInt(bitPattern: capacity))")
    }
    guard pointer != nil || capacity == 0 else {
      throw .invalidArgument("expected \(name) with room for \(capacity), found a null pointer")
    }
    return UnsafeMutableBufferPointer(start: pointer, count: capacity)
  }

  private static func fail(_ status: hgnet_status, _ text: String) -> hgnet_status {
    var text = text
    text.withUTF8 { bytes in
      bytes.withMemoryRebound(to: CChar.self) { characters in
        if let base = characters.baseAddress { hg_set_error_text(base, characters.count) }
      }
    }
    return status
  }

  /// Writes a text into a member of a structure, ended by a zero byte; what does not fit is cut off between two characters.
  static func write(_ text: String, into target: UnsafeMutableRawBufferPointer) {
    guard target.count > 0 else { return }
    var bytes = Array(text.utf8.prefix(target.count))
    if bytes.count == target.count {
      while let last = bytes.popLast(), last & 0xC0 == 0x80 {}
    }
    target.copyBytes(from: bytes)
    target[bytes.count] = 0
  }

  /// Writes as much of a structure as the caller has room for.
  static func write<Structure: BitwiseCopyable>(
    _ structure: Structure, of size: Int, to target: UnsafeMutablePointer<Structure>
  ) {
    withUnsafeBytes(of: structure) { bytes in
      UnsafeMutableRawPointer(target).copyMemory(
        from: bytes.baseAddress ?? UnsafeRawPointer(target), byteCount: min(size, bytes.count))
    }
  }

  static func status(of code: HGNetError.Code) -> hgnet_status {
    switch code {
    case .fileNotFound: HGNET_FILE_NOT_FOUND
    case .unreadableFile: HGNET_UNREADABLE_FILE
    case .malformedData, .noInput: HGNET_MALFORMED_DATA
    case .unsupported: HGNET_UNSUPPORTED
    case .unsafeContent: HGNET_UNSAFE_CONTENT
    case .limitExceeded: HGNET_LIMIT_EXCEEDED
    case .parameterMismatch: HGNET_PARAMETER_MISMATCH
    case .shapeMismatch: HGNET_SHAPE_MISMATCH
    case .invalidArgument: HGNET_INVALID_ARGUMENT
    case .invalidConfiguration: HGNET_INVALID_CONFIGURATION
    case .networkFailure: HGNET_NETWORK_FAILURE
    case .unwritableFile: HGNET_UNWRITABLE_FILE
    case .deviceFailure: HGNET_DEVICE_FAILURE
    default: HGNET_INTERNAL_ERROR
    }
  }
}
