import HGNetCore

/// A picture that a task waits for.
///
/// It is answered exactly once: by its result, or because the task was cancelled. Threads: safe to share.
final class PictureRequest<Output: Sendable>: Sendable {
  /// Where the picture is.
  enum Source: Sendable {
    /// A file.
    case file(String)
    /// The bytes of a file.
    case bytes(Blob)
  }

  let source: Source
  /// What the task gets.
  let answer = OneAnswer<Result<Output, any Error>>()

  init(_ source: Source) { self.source = source }
}
