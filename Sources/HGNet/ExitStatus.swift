import HGNetCore

/// The exit status of a command-line tool for each kind of failure, after BSD's `sysexits.h`.
///
/// Scripts tell failures apart by it; the numbers are part of the interface.
package enum ExitStatus: Int32, Sendable, CaseIterable {
  /// Everything went well.
  case success = 0
  /// The command line was wrong (`EX_USAGE`).
  case usage = 64
  /// The data were wrong: damaged or foreign files, pictures that cannot be read (`EX_DATAERR`).
  case dataError = 65
  /// An input file does not exist or cannot be opened (`EX_NOINPUT`).
  case noInput = 66
  /// A server could not be reached, a device not used, or a part is not built in (`EX_UNAVAILABLE`).
  case unavailable = 69
  /// Something that must hold inside the program does not (`EX_SOFTWARE`).
  case software = 70
  /// An output file could not be written (`EX_CANTCREAT`).
  case cannotCreate = 73
  /// The configuration was wrong (`EX_CONFIG`).
  case configuration = 78

  /// The status of a failure.
  package init(_ code: HGNetError.Code) {
    switch code {
    case .fileNotFound, .unreadableFile, .noInput: self = .noInput
    case .unwritableFile: self = .cannotCreate
    case .malformedData, .unsupported, .unsafeContent, .limitExceeded, .parameterMismatch, .shapeMismatch:
      self = .dataError
    case .invalidArgument: self = .usage
    case .invalidConfiguration: self = .configuration
    case .networkFailure, .deviceFailure, .queueFull: self = .unavailable
    default: self = .software
    }
  }
}
