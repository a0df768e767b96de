import HGNetCore
import HGNetPlatform

extension UnsafeMutableRawPointer {
  /// Uninitialised memory for large data; give it back with `deallocatePages`.
  ///
  /// - Parameters:
  ///   - byteCount: the number of bytes.
  ///   - isLarge: whether to ask for pages of 2 MB where the system has them. A training step gains 2 % from
  ///     them. A model that is loaded to run does not gain, and waits for them: a virtual machine that hands free memory
  ///     back to its host takes a millisecond or two for each (`Benchmarks/NOTES.md`).
  ///   - subject: what it is for, in the words of an error.
  ///   - advice: what would fit, as for `MemoryNeed.check`.
  /// - Throws: `HGNetError.Code.limitExceeded` when the process may not have that much.
  static func pages(
    byteCount: Int, isLarge: Bool, for subject: @autoclosure () -> String,
    advice: (_ share: Double) -> String = { _ in "" }
  ) throws(HGNetError) -> UnsafeMutableRawPointer {
    let large = 1 << 21
    let byteCount = Swift.max(byteCount, 64)
    let isLarge = isLarge && byteCount >= large
    let raw = try MemoryBlock.allocate(
      byteCount: byteCount, alignment: isLarge ? large : 64, for: subject(), advice: advice)
    #if os(Linux)
      if isLarge { madvise(raw, byteCount, MADV_HUGEPAGE) }
    #endif
    return raw
  }

  /// Gives back what `pages` returned.
  func deallocatePages() { free(self) }
}
