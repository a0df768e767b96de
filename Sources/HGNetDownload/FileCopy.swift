import HGNetCore

/// Copies a file of a mirror that is a folder; the counterpart of `Download` for `file:` addresses.
struct FileCopy {
  let address: String
  let path: String
  let file: PartialFile
  let maximumByteCount: Int
  let report: @Sendable (DownloadEvent) -> Void

  /// Copies all bytes, a piece at a time.
  ///
  /// - Throws: `TransferFailure`; a missing file counts as status 404.
  func run() throws(TransferFailure) {
    report(.connecting(url: address, offset: 0))
    let blob: Blob
    do throws(HGNetError) {
      blob = try Blob(mapping: path)
      try file.restart()
    } catch {
      let kind: TransferFailure.Kind
      switch error.code {
      case .fileNotFound: kind = .status(404)
      case .unreadableFile: kind = .wrongContent
      default: kind = .local(error.code)
      }
      throw TransferFailure(kind: kind, message: error.message, cause: error.cause)
    }
    guard blob.count <= maximumByteCount else {
      throw TransferFailure(kind: .wrongContent, message: "more than \(maximumByteCount) bytes")
    }
    let pieceSize = 4 << 20
    var offset = 0
    while offset < blob.count {
      let range = offset..<min(offset + pieceSize, blob.count)
      do throws(HGNetError) {
        try blob.withUnsafeBytes { (bytes) throws(HGNetError) in
          try file.append(UnsafeRawBufferPointer(rebasing: bytes[range]))
        }
      } catch {
        throw TransferFailure(kind: .local(error.code), message: error.message, cause: error.cause)
      }
      blob.discard(range)
      offset = range.upperBound
      report(.received(byteCount: offset, total: blob.count))
    }
  }
}
