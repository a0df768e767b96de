import HGNetCore

/// The bytes that a reader may still allocate for data, so that a small file cannot ask for much memory.
///
/// A file may name the same bytes many times; each use that needs a copy is paid from one budget in the order of the
/// size of the file.
struct AllocationBudget {
  private var rest: Int
  private let path: String?

  /// Makes a budget of a number of bytes.
  init(byteCount: Int, path: String?) {
    rest = byteCount
    self.path = path
  }

  /// Takes bytes from the budget.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` when it does not have so many.
  mutating func spend(_ byteCount: Int) throws(HGNetError) {
    guard byteCount <= rest else {
      throw HGNetError(
        .limitExceeded,
        "the file asks for \(byteCount) bytes of memory where its size accounts for \(rest); it is damaged or hostile",
        path: path)
    }
    rest -= byteCount
  }
}
