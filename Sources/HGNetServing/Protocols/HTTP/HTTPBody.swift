#if Serving
  import HGNetCore
  import HTTPTypes
  import HummingbirdCore
  import NIOCore
  import Synchronization

  /// The body of a request, read within its limits once the request is let in.
  ///
  /// Threads: safe to share; read once.
  final class HTTPBody: Sendable {
    private enum Progress {
      case unread, begun, whole
    }

    private let body: RequestBody
    /// Bytes by `Content-Length`; nil where the header does not say.
    private let announced: Int?
    private let isEmpty: Bool
    private let limit: Int
    private let seconds: Int
    private let progress = Mutex(Progress.unread)

    /// - Parameters:
    ///   - limit: the most bytes.
    ///   - seconds: for the body to arrive.
    init(of request: Request, limit: Int, seconds: Int) {
      body = request.body
      announced = request.headers[.contentLength].flatMap { Int($0) }
      isEmpty = announced == 0 || (announced == nil && request.headers[.transferEncoding] == nil)
      self.limit = limit
      self.seconds = seconds
    }

    /// Whether the connection can go on: what is left of the body is nothing, or little enough to be skipped.
    var leavesConnection: Bool {
      switch progress.withLock({ $0 }) {
      case .whole: true
      case .begun: false
      case .unread: isEmpty || (announced ?? .max) <= limit
      }
    }

    /// The whole body.
    ///
    /// - Throws: `tooLarge`, `requestTimeout`, `invalidRequest` for a body that ends too early.
    func read() async throws(ServingError) -> Blob {
      guard !isEmpty else { return Blob([]) }
      let tooLarge = ServingError(.tooLarge, "expected a body of at most \(limit) bytes; see --max-body")
      guard (announced ?? 0) <= limit else { throw tooLarge }
      progress.withLock { $0 = .begun }
      let (body, announced, limit, seconds) = (body, announced, limit, seconds)
      let read: Result<Blob, ServingError>
      do {
        read = try await withThrowingTaskGroup(of: Result<Blob, ServingError>.self) { group in
          group.addTask {
            var collected = ByteBuffer()
            for try await part in body {
              guard collected.readableBytes + part.readableBytes <= limit else { return .failure(tooLarge) }
              collected.writeImmutableBuffer(part)
            }
            guard announced == nil || announced == collected.readableBytes else {
              return .failure(
                ServingError(
                  .invalidRequest,
                  "expected a body of \(announced ?? 0) bytes, found \(collected.readableBytes); it was cut off"))
            }
            return collected.withUnsafeReadableBytes { bytes in
              do throws(HGNetError) {
                return .success(
                  try Blob(allocating: bytes.count, for: "the body of a request") { $0.copyMemory(from: bytes) })
              } catch { return .failure(ServingError(error)) }
            }
          }
          group.addTask {
            try await Task.sleep(for: .seconds(seconds))
            return .failure(ServingError(.requestTimeout, "the body did not arrive within \(seconds) s"))
          }
          let first = try await group.next()
          group.cancelAll()
          return first ?? .failure(ServingError(.internalFailure, "the body was not read"))
        }
      } catch {
        throw ServingError(.invalidRequest, "the body was cut off")
      }
      let whole = try read.get()
      progress.withLock { $0 = .whole }
      return whole
    }
  }
#endif
