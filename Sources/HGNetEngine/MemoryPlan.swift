import HGNetCore

/// Where a result lives: `[N, H, W, C]` with a distance between pixels that may be wider than C.
struct Location: Hashable, Sendable {
  /// The buffer, until `MemoryPlan` has placed it.
  var buffer: Int
  /// Floats from the start of the buffer; after placing, from the start of the arena.
  var offset: Int
  /// Floats between pixels.
  var stride: Int
  /// The extents of one picture.
  var shape: ActivationShape
}

/// A block of the arena and the steps between which it holds something.
struct Buffer: Hashable, Sendable {
  var count: Int
  var firstStep: Int
  var lastStep: Int
}

/// Gives every buffer its place in one arena, so that buffers that live at the same time do not overlap.
///
/// Greedy by size: the largest first, each at the lowest place that is free during its life.
struct MemoryPlan {
  /// Floats from the start of the arena, one per buffer.
  let offsets: [Int]
  /// Floats of the whole arena.
  let count: Int

  init(_ buffers: [Buffer]) {
    var offsets = [Int](repeating: 0, count: buffers.count)
    var placed: [Int] = []
    var end = 0
    for index in buffers.indices.sorted(by: { (buffers[$0].count, $1) > (buffers[$1].count, $0) }) {
      let buffer = buffers[index]
      let rivals = placed.filter {
        buffers[$0].firstStep <= buffer.lastStep && buffer.firstStep <= buffers[$0].lastStep
      }.sorted { offsets[$0] < offsets[$1] }
      var offset = 0
      for rival in rivals {
        if offset + buffer.count <= offsets[rival] { break }
        offset = max(offset, offsets[rival] + buffers[rival].count)
      }
      offsets[index] = offset
      placed.append(index)
      end = max(end, offset + buffer.count)
    }
    self.offsets = offsets
    count = end
  }
}

/// Assigns results to buffers: a concatenation is one wide buffer whose producers write their own slice.
struct Placement {
  private(set) var locations: [Location?]
  private(set) var buffers: [Buffer] = []
  /// Results that had a place already and must be copied into a concatenation: (source, concatenation, channel).
  private(set) var copies: [(source: Int, target: Int, channel: Int)] = []
  /// Floats of one picture, one per buffer.
  private var pictureCounts: [Int] = []
  /// Whether a buffer holds the pictures of one group only, one per buffer.
  private var isGroupOnly: [Bool] = []
  private let batch: Int

  init(_ fused: FusedGraph, shapes: [ActivationShape], batch: Int) {
    self.batch = batch
    locations = [Location?](repeating: nil, count: fused.nodes.count)
    // From the last to the first, so that a concatenation inside another one finds its place first.
    for index in fused.nodes.indices.reversed() {
      guard let node = fused.nodes[index], node.kind == .concatenate else { continue }
      if locations[index] == nil { locations[index] = newBuffer(shapes[index]) }
      guard let target = locations[index] else { continue }
      var channel = 0
      for input in node.inputs {
        let canMove = locations[input] == nil && fused.nodes[input]?.kind != .input
        if canMove {
          var slice = target
          slice.offset += channel
          slice.shape = shapes[input]
          locations[input] = slice
        } else {
          copies.append((input, index, channel))
        }
        channel += shapes[input].channels
      }
    }
    for index in fused.nodes.indices where fused.nodes[index] != nil && locations[index] == nil {
      locations[index] = newBuffer(shapes[index])
    }
  }

  private mutating func newBuffer(_ shape: ActivationShape) -> Location {
    var stride = shape.channels
    // Pixels at a multiple of 4 KiB would all fall into the same few lines of the first cache.
    if stride % 1024 == 0, shape.height * shape.width > 1 { stride += 16 }
    pictureCounts.append(shape.height * shape.width * stride)
    isGroupOnly.append(false)
    buffers.append(Buffer(count: count(of: buffers.count, pictures: batch), firstStep: .max, lastStep: .min))
    return Location(buffer: buffers.count - 1, offset: 0, stride: stride, shape: shape)
  }

  private func count(of buffer: Int, pictures: Int) -> Int { (pictures * pictureCounts[buffer] + 15) / 16 * 16 }

  /// Notes that a step touches a result.
  mutating func touch(_ index: Int, step: Int) {
    guard let location = locations[index] else { return }
    buffers[location.buffer].firstStep = min(buffers[location.buffer].firstStep, step)
    buffers[location.buffer].lastStep = max(buffers[location.buffer].lastStep, step)
  }

  /// Floats of one picture that are touched both by a step or one before it and by a later one.
  func floatsKept(behind step: Int) -> Int {
    buffers.indices.reduce(0) { sum, index in
      buffers[index].firstStep <= step && step < buffers[index].lastStep ? sum + pictureCounts[index] : sum
    }
  }

  /// Makes room for one group of pictures where a buffer is only touched inside one segment, and lets every other buffer
  /// live as long as the segments that touch it, since their steps come back for each group.
  mutating func divide(into segments: [BatchSegment]) {
    // The steps of a segment that takes all pictures at once do not come back.
    let repeated = segments.filter { $0.pictures < batch }
    for index in buffers.indices where buffers[index].firstStep <= buffers[index].lastStep {
      let buffer = buffers[index]
      let first = repeated.first { $0.layers.contains(buffer.firstStep) }
      let last = repeated.first { $0.layers.contains(buffer.lastStep) }
      if let first, first == last {
        isGroupOnly[index] = true
        buffers[index].count = count(of: index, pictures: first.pictures)
      } else {
        if let first { buffers[index].firstStep = first.layers.lowerBound }
        if let last { buffers[index].lastStep = last.layers.upperBound - 1 }
      }
    }
  }

  /// Where a result lies for the pictures from `picture` on.
  func location(of index: Int, from picture: Int) -> Location? {
    guard var location = locations[index] else { return nil }
    if !isGroupOnly[location.buffer] { location.offset += picture * pictureCounts[location.buffer] }
    return location
  }

  /// Adds the places in the arena to all locations.
  mutating func place(_ memory: MemoryPlan) {
    for index in locations.indices {
      guard let location = locations[index] else { continue }
      locations[index]?.offset += memory.offsets[location.buffer]
    }
  }
}
