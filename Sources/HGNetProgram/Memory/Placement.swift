import HGNetCore

/// Assigns results to buffers: a concatenation is one wide buffer whose producers write their own slice.
package struct Placement: Sendable {
  /// Where each result lies, by its number; nil for numbers without a result.
  package private(set) var locations: [Location?]
  /// The buffers with their lifetimes.
  package private(set) var buffers: [Buffer] = []
  /// Results that had a place already and must be copied into a concatenation.
  package private(set) var copies: [Copy] = []
  /// Bytes of one picture, one per buffer.
  private var pictureBytes: [Int] = []
  /// Whether a buffer holds the pictures of one group only, one per buffer.
  private var isGroupOnly: [Bool] = []
  private let batch: Int
  private let channelUnit: Int

  /// A result that must be copied into a concatenation.
  package struct Copy: Hashable, Sendable {
    /// The number of the result.
    package var source: Int
    /// The number of the concatenation.
    package var target: Int
    /// The first channel there.
    package var channel: Int
  }

  /// Finds a place for each result of a program.
  ///
  /// - Parameters:
  ///   - program: for the size that is wanted.
  ///   - batch: the number of pictures.
  ///   - channelUnit: what the distance between pixels of a buffer is a multiple of, for engines that take several
  ///     channels at a time.
  package init(_ program: Program, batch: Int, channelUnit: Int = 1) {
    self.batch = batch
    self.channelUnit = channelUnit
    let (shapes, elements) = (program.shapes, program.elements)
    locations = [Location?](repeating: nil, count: shapes.count)
    // From the last to the first, so that a concatenation inside another one finds its place first.
    for layer in program.layers.reversed() where layer.kind == .concatenate {
      let target = locations[layer.result] ?? newBuffer(shapes[layer.result], elements[layer.result])
      locations[layer.result] = target
      var channel = 0
      for input in layer.inputs {
        if locations[input] == nil, input != program.input, !layer.hasOwnScale {
          var slice = target
          slice.byteOffset += channel * target.element.byteCount
          slice.shape = shapes[input]
          locations[input] = slice
        } else {
          copies.append(Copy(source: input, target: layer.result, channel: channel))
        }
        channel += shapes[input].channels
      }
    }
    for result in ([program.input] + program.layers.map(\.result)).sorted() where locations[result] == nil {
      locations[result] = newBuffer(shapes[result], elements[result])
    }
  }

  private mutating func newBuffer(_ shape: ActivationShape, _ element: ElementType) -> Location {
    var stride = shape.channels.roundedUp(to: channelUnit)
    // Pixels at a multiple of 4 KiB would all fall into the same few lines of the first cache.
    if stride * element.byteCount % 4096 == 0, shape.height * shape.width > 1 { stride += 64 / element.byteCount }
    pictureBytes.append(shape.height * shape.width * stride * element.byteCount)
    isGroupOnly.append(false)
    buffers.append(Buffer(byteCount: batch * pictureBytes[buffers.count]))
    return Location(buffer: buffers.count - 1, stride: stride, shape: shape, element: element)
  }

  /// Notes that a step touches a result.
  package mutating func touch(_ result: Int, step: Int) {
    guard let location = locations[result] else { return }
    buffers[location.buffer].touch(step)
  }

  /// Makes the length of every buffer a multiple, so that in an arena each begins at one.
  package mutating func align(to byteCount: Int) {
    for index in buffers.indices { buffers[index].byteCount = buffers[index].byteCount.roundedUp(to: byteCount) }
  }

  /// Bytes of one picture that are touched both by a step or one before it and by a later one.
  package func bytesKept(behind step: Int) -> Int {
    buffers.indices.reduce(0) { sum, index in
      buffers[index].firstStep <= step && step < buffers[index].lastStep ? sum + pictureBytes[index] : sum
    }
  }

  /// Makes room for one group of pictures where a buffer is only touched inside one segment, and lets every other buffer
  /// live as long as the segments that touch it, since their steps come back for each group.
  package mutating func divide(into segments: [BatchSegment]) {
    // The steps of a segment that takes all pictures at once do not come back.
    let repeated = segments.filter { $0.pictures < batch }
    for index in buffers.indices where buffers[index].firstStep <= buffers[index].lastStep {
      let buffer = buffers[index]
      let first = repeated.first { $0.steps.contains(buffer.firstStep) }
      let last = repeated.first { $0.steps.contains(buffer.lastStep) }
      if let first, first == last {
        isGroupOnly[index] = true
        buffers[index].byteCount = (first.pictures * pictureBytes[index]).roundedUp(to: 64)
      } else {
        if let first { buffers[index].firstStep = first.steps.lowerBound }
        if let last { buffers[index].lastStep = last.steps.upperBound - 1 }
      }
    }
  }

  /// Where a result lies for the pictures from `picture` on.
  package func location(of result: Int, from picture: Int = 0) -> Location? {
    guard var location = locations[result] else { return nil }
    if !isGroupOnly[location.buffer] { location.byteOffset += picture * pictureBytes[location.buffer] }
    return location
  }
}
