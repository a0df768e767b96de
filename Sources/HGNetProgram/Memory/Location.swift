import HGNetCore

/// Where a result lives: `[N, H, W, C]` in a buffer, with a distance between pixels that may be wider than C.
package struct Location: Hashable, Sendable {
  /// The number of the buffer.
  package var buffer: Int
  /// Bytes from the start of the buffer.
  package var byteOffset: Int
  /// Elements between pixels.
  package var stride: Int
  /// The extents of one picture.
  package var shape: ActivationShape
  /// The type of each value.
  package var element: ElementType

  /// Makes a place.
  package init(
    buffer: Int, byteOffset: Int = 0, stride: Int, shape: ActivationShape, element: ElementType = .float32
  ) {
    self.buffer = buffer
    self.byteOffset = byteOffset
    self.stride = stride
    self.shape = shape
    self.element = element
  }

  /// The pixels of one picture.
  package var pixels: Int { shape.height * shape.width }
}

/// A block of memory and the steps between which it holds something.
package struct Buffer: Hashable, Sendable {
  /// Its length, a multiple of 64.
  package var byteCount: Int
  /// The first step that touches it; -1 is before all, `Int.max` that none does.
  package var firstStep = Int.max
  /// The last step that touches it.
  package var lastStep = Int.min

  /// Makes a block of at least some bytes that no step touches yet.
  package init(byteCount: Int) { self.byteCount = max(byteCount, 1).roundedUp(to: 64) }

  /// Notes that a step touches it.
  package mutating func touch(_ step: Int) {
    firstStep = min(firstStep, step)
    lastStep = max(lastStep, step)
  }

  /// Whether two blocks hold something at the same time.
  package func livesBeside(_ other: Buffer) -> Bool {
    firstStep <= other.lastStep && other.firstStep <= lastStep
  }
}
