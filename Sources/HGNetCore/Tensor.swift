import HGNetPlatform

/// The memory of a tensor: one allocation, aligned to 64 bytes.
final class TensorStorage: Sendable {
  nonisolated(unsafe) let base: UnsafeMutablePointer<Float>
  let count: Int

  /// For sizes that are known to be small; traps where the system has no memory.
  init(count: Int) {
    self.count = count
    let bytes = Swift.max(count, 1) * MemoryLayout<Float>.stride
    let memory =
      MemoryBlock.allocate(bytes, alignment: 64) ?? UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
    base = memory.bindMemory(to: Float.self, capacity: count)
  }

  /// For sizes that come from outside.
  init(count: Int, for subject: () -> String) throws(HGNetError) {
    self.count = count
    let (bytes, overflow) = Swift.max(count, 1).multipliedReportingOverflow(by: MemoryLayout<Float>.stride)
    base = try MemoryBlock.allocate(byteCount: overflow ? .max : bytes, for: subject())
      .bindMemory(to: Float.self, capacity: count)
  }

  deinit { free(base) }
}

/// A dense array of float32 in C order (last axis fastest).
///
/// What the axes mean is said where a tensor is used: pictures and activations are `[N, H, W, C]` inside the engine and
/// `[N, C, H, W]` at the borders. A value type: copies share memory until one of them is changed.
///
/// Threads: safe to share.
public struct Tensor: Sendable {
  /// The extents, outermost axis first.
  public let shape: Shape
  private var storage: TensorStorage

  /// Makes a tensor filled with one value.
  ///
  /// Traps where the system has no memory for it: for shapes that the program knows, not for those of a file.
  ///
  /// Cost: one allocation, O(elements).
  public init(shape: Shape, repeating value: Float = 0) {
    self.shape = shape
    storage = TensorStorage(count: shape.count)
    storage.base.initialize(repeating: value, count: storage.count)
  }

  /// Makes a tensor from values in C order.
  ///
  /// Traps when the number of values is not that of the shape.
  public init(shape: Shape, values: some Collection<Float>) {
    precondition(values.count == shape.count, "\(values.count) values for a tensor of shape \(shape)")
    self.init(shape: shape)
    _ = UnsafeMutableBufferPointer(start: storage.base, count: storage.count).update(fromContentsOf: values)
  }

  /// Makes a tensor and lets `body` write every element, in C order.
  ///
  /// - Throws: what `body` throws.
  public init<Failure: Error>(
    shape: Shape, initializingWith body: (UnsafeMutableBufferPointer<Float>) throws(Failure) -> Void
  ) throws(Failure) {
    self.init(shape: shape)
    try body(UnsafeMutableBufferPointer(start: storage.base, count: storage.count))
  }

  /// Makes a tensor of a size that comes from outside and lets `body` write every element, in C order.
  ///
  /// - Parameters:
  ///   - shape: the extents.
  ///   - subject: what it is for, in the words of an error, such as `a batch of 8 pictures`.
  ///   - body: writes the elements.
  /// - Throws: `HGNetError.Code.limitExceeded` when the process may not have that much memory, and what `body` throws.
  package init(
    allocating shape: Shape, for subject: @autoclosure () -> String,
    initializingWith body: (UnsafeMutableBufferPointer<Float>) throws(HGNetError) -> Void
  ) throws(HGNetError) {
    self.shape = shape
    storage = try TensorStorage(count: shape.checkedCount, for: { "\(subject()), an array of shape \(shape)" })
    try body(UnsafeMutableBufferPointer(start: storage.base, count: storage.count))
  }

  /// The number of elements.
  public var count: Int { shape.count }

  /// The elements in C order, copied.
  public var values: [Float] { withUnsafeBufferPointer { Array($0) } }

  /// The element at an offset in C order, `0 ..< count`.
  public subscript(offset: Int) -> Float {
    precondition(offset >= 0 && offset < count, "offset \(offset) outside a tensor of \(count) elements")
    return storage.base[offset]
  }

  /// Calls `body` with the elements in C order; the pointer must not escape.
  public func withUnsafeBufferPointer<Result, Failure: Error>(
    _ body: (UnsafeBufferPointer<Float>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(UnsafeBufferPointer(start: storage.base, count: storage.count))
  }

  /// Calls `body` with the elements in C order to change them; the pointer must not escape.
  public mutating func withUnsafeMutableBufferPointer<Result, Failure: Error>(
    _ body: (UnsafeMutableBufferPointer<Float>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    if !isKnownUniquelyReferenced(&storage) {
      let copy = TensorStorage(count: storage.count)
      copy.base.update(from: storage.base, count: storage.count)
      storage = copy
    }
    return try body(UnsafeMutableBufferPointer(start: storage.base, count: storage.count))
  }

  /// The same elements under another shape with the same count.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` when the counts differ.
  public func reshaped(_ shape: Shape) throws(HGNetError) -> Tensor {
    guard shape.count == count else {
      throw HGNetError(.shapeMismatch, "cannot see a tensor of shape \(self.shape) as \(shape): the counts differ")
    }
    return Tensor(shape: shape, storage: storage)
  }

  private init(shape: Shape, storage: TensorStorage) {
    self.shape = shape
    self.storage = storage
  }
}
