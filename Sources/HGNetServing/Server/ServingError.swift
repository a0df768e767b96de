import HGNetCore

/// Why a request is not answered with a result, independent of the protocol that it came by.
///
/// Threads: a value, safe to share.
package struct ServingError: Error, Sendable, CustomStringConvertible {
  /// The kind of refusal; each protocol has its own number for it.
  package enum Kind: String, Sendable, CaseIterable {
    /// The request does not follow the protocol or does not fit the model.
    case invalidRequest
    /// No such model, version or path.
    case notFound
    /// The path exists, but not for this method.
    case methodNotAllowed
    /// The request has more bytes, pixels or pictures than is allowed.
    case tooLarge
    /// Something that the protocol knows and this server does not do.
    case unsupported
    /// No token, or another one.
    case unauthorized
    /// The sender took too long to send the request.
    case requestTimeout
    /// The queue is full.
    case overloaded
    /// The client has as many requests in flight as one may have.
    case tooManyRequests
    /// The time that the client or the server allows is over.
    case deadlineExceeded
    /// The client has gone.
    case cancelled
    /// The model is not loaded yet, or the server is about to end.
    case unavailable
    /// A fault of the server.
    case internalFailure
  }

  /// The kind of refusal.
  package let kind: Kind
  /// What was expected, what was found and how to mend it.
  package let message: String
  /// After how many seconds it is worth trying again, for `overloaded`, `tooManyRequests` and `unavailable`.
  package var retryAfter: Int?

  /// Makes a refusal.
  package init(_ kind: Kind, _ message: String, retryAfter: Int? = nil) {
    self.kind = kind
    // A request may hold any text, and its answer shows parts of it.
    self.message = HGNetError.shortened(message, to: 1000)
    self.retryAfter = retryAfter
  }

  /// What an error of the library means for the one who sent the picture or the tensor.
  package init(_ error: HGNetError) {
    let kind: Kind
    switch error.code {
    case .malformedData, .unsupported, .shapeMismatch, .invalidArgument, .noInput, .parameterMismatch:
      kind = .invalidRequest
    case .limitExceeded: kind = .tooLarge
    case .fileNotFound: kind = .notFound
    default: kind = .internalFailure
    }
    self.init(kind, error.description)
  }

  package var description: String { message }
}
