import HGNetPlatform

/// The memory that something will need, added up with checked arithmetic before any of it is taken.
///
/// The one rule for everything whose size comes from outside: say what for, add the parts, `check`, then allocate. Beyond
/// any number a need stays at the largest, and so is refused. Threads: a value.
package struct MemoryNeed: Sendable {
  /// Needs below this are not compared with the limits of the process, since asking for these takes longer than using
  /// them; the allocation itself then says whether there is room.
  package static let smallest = 32 << 20

  /// What it is for, such as `a batch of 8 pictures of 224×224`.
  package let subject: String
  private var parts: [(name: String, byteCount: Int)] = []
  /// What a device may give, where it is the device's memory and not that of the process.
  package var limit: MemoryLimit?

  /// Begins with nothing.
  package init(_ subject: String) { self.subject = subject }

  /// Begins with one part that needs no name.
  package init(_ subject: String, bytes factors: Int...) {
    self.subject = subject
    parts = [("", MemoryNeed.product(factors))]
  }

  /// Adds a part, whose bytes are the product of numbers of at least 0.
  package mutating func add(_ name: String, bytes factors: Int...) {
    parts.append((name, MemoryNeed.product(factors)))
  }

  /// All bytes together; `Int.max` stands for more than that, too.
  package var byteCount: Int {
    parts.reduce(0) { sum, part in
      let (result, overflow) = sum.addingReportingOverflow(part.byteCount)
      return overflow ? .max : result
    }
  }

  /// Compares the need with what the process may have.
  ///
  /// Cost: nothing below `smallest`, else reading a few small files of the system.
  ///
  /// - Parameters:
  ///   - limit: what the process may have; nil asks the system, or takes that of the need itself.
  ///   - advice: what would fit, from the share of the need that there is room for, inside 0 ..< 1.
  /// - Throws: `HGNetError.Code.limitExceeded` saying how much is needed, for what, how much there is, and what would fit.
  package func check(limit: MemoryLimit? = nil, advice: (_ share: Double) -> String = { _ in "" }) throws(HGNetError) {
    let needed = byteCount
    let known = limit ?? self.limit
    let owner = limit == nil && self.limit != nil ? "the device" : "this process"
    guard known != nil || needed >= MemoryNeed.smallest else { return }
    let limit = known ?? .current()
    guard needed > limit.byteCount else { return }
    let named = parts.filter { !$0.name.isEmpty }
    let list = named.map { "\(MemoryNeed.text($0.byteCount)) for \($0.name)" }.joined(separator: ", ")
    let hint = advice(Double(limit.byteCount) / Double(max(needed, 1)))
    throw HGNetError(
      .limitExceeded,
      "not enough memory for \(subject): it takes \(MemoryNeed.text(needed))" + (list.isEmpty ? "" : " (\(list))")
        + ", and \(owner) may have \(MemoryNeed.text(limit.byteCount)) more (\(limit.reason))"
        + (hint.isEmpty ? "" : "; \(hint)"))
  }

  /// Advice about pictures: a smaller batch, or smaller pictures where one is too many.
  package static func fittingPictures(_ count: Int, of size: Size) -> (_ share: Double) -> String {
    { share in
      let fitting = Int(Double(count) * share)
      if fitting >= 1 { return "a batch of \(fitting) would fit" }
      let root = (share * Double(count)).squareRoot()
      let fit = "pictures of about \(Int(Double(size.height) * root))×\(Int(Double(size.width) * root)) would fit"
      return count > 1 ? "\(fit), one at a time" : fit
    }
  }

  /// Bytes for people: `12 kB`, `3.5 MB`, `137 GB`.
  package static func text(_ byteCount: Int) -> String {
    guard byteCount < .max else { return "more than 9000000 TB" }
    var value = byteCount
    var unit = 0
    while value >= 100_000, unit < 3 {
      value /= 1000
      unit += 1
    }
    let names = ["bytes", "kB", "MB", "GB", "TB"]
    guard value >= 1000, unit < 4 else { return "\(value) \(names[unit])" }
    let tenths = value / 100
    return tenths >= 1000 || tenths % 10 == 0
      ? "\(tenths / 10) \(names[unit + 1])" : "\(tenths / 10).\(tenths % 10) \(names[unit + 1])"
  }

  private static func product(_ factors: [Int]) -> Int {
    var product = 1
    // A factor of 0 makes nothing of all others, however large.
    if factors.contains(where: { $0 <= 0 }) { return 0 }
    for factor in factors {
      let (result, overflow) = product.multipliedReportingOverflow(by: factor)
      if overflow { return .max }
      product = result
    }
    return product
  }
}

/// Blocks of memory whose size comes from outside.
package enum MemoryBlock {
  /// Uninitialised memory; give it back with `free`.
  ///
  /// - Parameters:
  ///   - byteCount: its size, at least 1 is taken.
  ///   - alignment: a power of two of at least 16.
  ///   - subject: what it is for, in the words of an error.
  ///   - advice: as `MemoryNeed.check`.
  /// - Throws: `HGNetError.Code.limitExceeded` when the process may not have that much, or the system gives none.
  package static func allocate(
    byteCount: Int, alignment: Int = 64, for subject: @autoclosure () -> String,
    advice: (_ share: Double) -> String = { _ in "" }
  ) throws(HGNetError) -> UnsafeMutableRawPointer {
    if byteCount >= MemoryNeed.smallest { try MemoryNeed(subject(), bytes: byteCount).check(advice: advice) }
    guard let memory = allocate(byteCount, alignment: alignment) else {
      throw HGNetError(
        .limitExceeded,
        "not enough memory for \(subject()): it takes \(MemoryNeed.text(byteCount)), and the system gives no more"
      )
    }
    return memory
  }

  /// The same without words and without a look at the limits; nil where the system gives none.
  static func allocate(_ byteCount: Int, alignment: Int) -> UnsafeMutableRawPointer? {
    var memory: UnsafeMutableRawPointer?
    // The C library rounds up, which must not overflow.
    guard byteCount <= Int.max - 4096, posix_memalign(&memory, alignment, max(byteCount, 1)) == 0 else { return nil }
    return memory
  }
}
