import HGNetCore

extension BRPC {
  /// Cuts the bytes of a connection into messages; nothing is allocated before its size is within the limits.
  package struct Reader {
    /// What comes next.
    private enum Phase {
      case head
      case meta(Head)
      case payload(Head, Meta)
      case skipping(Int)
    }

    /// What the bytes so far give.
    package enum Step {
      /// More bytes are needed.
      case needsMore
      /// A message that is whole, or that is refused already.
      case message(Message)
      /// A message that nobody can be answered about; it is skipped.
      case unanswerable(String)
      /// The connection makes no sense any more.
      case end(String)
    }

    private let bodyLimit: Int
    private var phase = Phase.head

    /// - Parameter bodyLimit: the most bytes of a payload.
    package init(bodyLimit: Int) { self.bodyLimit = bodyLimit }

    /// Whether a message has begun and is not whole.
    package var isInside: Bool { if case .head = phase { false } else { true } }

    /// Takes what the next step needs from the bytes.
    ///
    /// - Parameters:
    ///   - bytes: what has arrived and is not taken yet.
    ///   - taken: the number of bytes that are not needed any more.
    package mutating func step(_ bytes: UnsafeRawBufferPointer, taken: inout Int) -> Step {
      taken = 0
      while true {
        let rest = UnsafeRawBufferPointer(rebasing: bytes[taken...])
        switch phase {
        case .skipping(let count):
          let part = min(count, rest.count)
          taken += part
          phase = part == count ? .head : .skipping(count - part)
          guard part == count else { return .needsMore }
        case .head:
          guard zip(rest, magic).allSatisfy({ $0 == $1 }) else { return .end("expected a message of bRPC") }
          guard rest.count >= headSize, let head = Head(rest) else { return .needsMore }
          taken += headSize
          guard head.metaSize <= head.bodySize else {
            phase = .skipping(head.bodySize)
            return .unanswerable("expected a meta of at most \(head.bodySize) bytes, found \(head.metaSize)")
          }
          guard head.metaSize <= metaLimit else {
            return .end("expected a meta of at most \(metaLimit) bytes, found \(head.metaSize)")
          }
          phase = .meta(head)
        case .meta(let head):
          guard rest.count >= head.metaSize else { return .needsMore }
          guard let meta = try? Meta(BlobSlice(Blob(rest.prefix(head.metaSize)))) else {
            return .end("the meta of a message cannot be read")
          }
          taken += head.metaSize
          let size = head.bodySize - head.metaSize
          if let refusal = refusal(of: meta, head) {
            phase = .skipping(size)
            return .message(Message(meta: meta, payload: .failure(refusal), size: headSize + head.bodySize))
          }
          phase = .payload(head, meta)
        case .payload(let head, let meta):
          let size = head.bodySize - head.metaSize
          guard rest.count >= size else { return .needsMore }
          let payload = Result { () throws(HGNetError) in
            try Blob(allocating: size - meta.attachmentSize, for: "a message of bRPC") {
              $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: rest.prefix(size - meta.attachmentSize)))
            }
          }
          taken += size
          phase = .head
          return .message(
            Message(
              meta: meta, payload: payload.map { BlobSlice($0) }.mapError { ServingError($0) },
              size: headSize + head.bodySize))
        }
      }
    }

    private func refusal(of meta: Meta, _ head: Head) -> ServingError? {
      let size = head.bodySize - head.metaSize
      guard (0...size).contains(meta.attachmentSize) else {
        return ServingError(
          .invalidRequest, "expected an attachment of 0 to \(size) bytes, found attachment_size=\(meta.attachmentSize)")
      }
      guard size <= bodyLimit else {
        return ServingError(
          .tooLarge, "expected a message of at most \(bodyLimit) bytes, found \(size); see --max-body")
      }
      return nil
    }
  }
}
