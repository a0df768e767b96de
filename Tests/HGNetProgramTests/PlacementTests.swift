import HGNetCore
import HGNetModels
import HGNetProgram
import Testing

/// Where results live: none overlaps another that is still needed, and a concatenation costs no copy.
@Suite struct PlacementTests {
  static let names = Model.all.map(\.name)

  static func program(_ name: String, _ size: Size) throws -> Program {
    let model = try Model.named(name)
    let graph = try model.graph(inputSize: size)
    return try Program(graph.selecting(outputs: graph.selectableOutputs.map(\.role)))
  }

  /// Values that a result holds in an arena: the first byte, the distance of pixels, their number, and bytes of a pixel.
  struct Extent {
    var start: Int
    var stride: Int
    var pixels: Int
    var length: Int

    init(_ location: Location, at offset: Int, pictures: Int) {
      start = offset + location.byteOffset
      stride = location.stride * location.element.byteCount
      pixels = pictures * location.pixels
      length = location.shape.channels * location.element.byteCount
    }

    var end: Int { start + (pixels - 1) * stride + length }

    /// Whether some byte belongs to both.
    func overlaps(_ other: Extent) -> Bool {
      guard start < other.end, other.start < end else { return false }
      // Slices of one wide buffer pass each other by.
      guard stride == other.stride else { return true }
      let (a, b) = (start % stride, other.start % stride)
      return !(a + length <= b || b + other.length <= a)
    }
  }

  @Test(arguments: names, [Size(64), Size(height: 96, width: 160)])
  func noTwoResultsOverlapThatAreNeeded(name: String, size: Size) throws {
    let inference = try InferenceProgram(PlacementTests.program(name, size), batch: 3)
    let memory = MemoryPlan(inference.placement.buffers)
    // Lives are counted here from the steps alone: from the step that writes a result to the last one that reads it.
    var born: [Int: Int] = [inference.program.input: -1]
    var last: [Int: Int] = [:]
    for (number, step) in inference.steps.enumerated() {
      born[inference.result(of: step)] = born[inference.result(of: step)] ?? number
      for read in inference.reads(of: step) { last[read] = number }
    }
    // What a concatenation holds lives as long as the concatenation.
    for layer in inference.program.layers.reversed() where layer.kind == .concatenate {
      for input in layer.inputs { last[input] = max(last[input] ?? 0, last[layer.result] ?? 0) }
    }
    for output in inference.program.outputs { last[output.result] = inference.steps.count }
    let results = born.keys.filter { result in
      inference.program.layer(computing: result)?.kind != .concatenate
    }.sorted()
    for (index, a) in results.enumerated() {
      for b in results.dropFirst(index + 1) {
        guard let bornA = born[a], let bornB = born[b], bornA <= last[b] ?? bornB, bornB <= last[a] ?? bornA,
          let placeA = inference.placement.locations[a], let placeB = inference.placement.locations[b]
        else { continue }
        let extentA = Extent(placeA, at: memory.offsets[placeA.buffer], pictures: 3)
        let extentB = Extent(placeB, at: memory.offsets[placeB.buffer], pictures: 3)
        #expect(!extentA.overlaps(extentB), "results \(a) and \(b) of \(name) share memory")
      }
    }
  }

  @Test(arguments: names) func aConcatenationCostsNoCopy(name: String) throws {
    let inference = try InferenceProgram(PlacementTests.program(name, Size(64)), batch: 1)
    #expect(!inference.steps.contains { if case .copy = $0 { true } else { false } })
    for layer in inference.program.layers where layer.kind == .concatenate {
      let whole = try #require(inference.placement.locations[layer.result])
      var channel = 0
      for input in layer.inputs {
        let part = try #require(inference.placement.locations[input])
        #expect(part.buffer == whole.buffer)
        #expect(part.byteOffset == whole.byteOffset + channel * 4)
        #expect(part.stride == whole.stride)
        channel += part.shape.channels
      }
    }
  }

  @Test func aResultInTwoConcatenationsIsCopiedIntoOne() throws {
    let graph = try PassTests.graph { builder, input in
      let a = builder.append(.convolution(PassTests.convolution), name: "a", inputs: [input])
      let b = builder.append(.convolution(PassTests.convolution), name: "b", inputs: [a])
      let first = builder.append(.concatenate, name: "first", inputs: [a, b])
      let second = builder.append(.concatenate, name: "second", inputs: [b, a])
      return [(.stage(0), first), (.logits, second)]
    }
    let inference = try InferenceProgram(Program(graph), batch: 1)
    let copies = inference.steps.compactMap { if case .copy(let copy) = $0 { copy.channel } else { nil } }
    #expect(copies == [0, 16])
  }

  @Test func buffersLiveFromTheirFirstToTheirLastStep() throws {
    let inference = try InferenceProgram(PlacementTests.program("PPHGNetV2_B0", Size(64)), batch: 1)
    for (number, step) in inference.steps.enumerated() {
      for result in inference.reads(of: step) + [inference.result(of: step)] {
        let location = try #require(inference.placement.locations[result])
        let buffer = inference.placement.buffers[location.buffer]
        #expect(buffer.firstStep <= number && number <= buffer.lastStep)
      }
    }
  }

  @Test func randomBuffersDoNotOverlap() {
    var random = RandomGenerator(seed: 5)
    for _ in 0..<50 {
      let buffers = (0..<40).map { _ in
        var buffer = Buffer(byteCount: 1 + Int(random.uniform() * 5000))
        let first = Int(random.uniform() * 60)
        buffer.touch(first)
        buffer.touch(first + Int(random.uniform() * 20))
        return buffer
      }
      let memory = MemoryPlan(buffers)
      for a in buffers.indices {
        #expect(memory.offsets[a] % 64 == 0)
        #expect(memory.offsets[a] + buffers[a].byteCount <= memory.byteCount)
        for b in buffers.indices where b < a && buffers[a].livesBeside(buffers[b]) {
          #expect(
            memory.offsets[a] + buffers[a].byteCount <= memory.offsets[b]
              || memory.offsets[b] + buffers[b].byteCount <= memory.offsets[a])
        }
      }
    }
  }

  @Test func aSegmentHasRoomForItsPicturesOnly() throws {
    let inference = try InferenceProgram(PlacementTests.program("PPHGNetV2_B0", Size(64)), batch: 8)
    var placement = inference.placement
    let segments = [
      BatchSegment(steps: 0..<4, pictures: 2), BatchSegment(steps: 4..<inference.steps.count, pictures: 8),
    ]
    placement.divide(into: segments)
    for (before, after) in zip(inference.placement.buffers, placement.buffers) where after.firstStep <= after.lastStep {
      let isInside = before.firstStep >= 0 && before.lastStep < 4
      #expect(after.byteCount <= (isInside ? (before.byteCount / 4).roundedUp(to: 64) : before.byteCount))
      // What the first segment touches and somebody behind it, too, is there for all of its steps.
      if !isInside, (0..<4).contains(before.firstStep) { #expect(after.firstStep == 0) }
      if !isInside, (0..<4).contains(before.lastStep) { #expect(after.lastStep == 3) }
    }
    let result = inference.result(of: inference.steps[0])
    #expect(placement.location(of: result, from: 6) == placement.location(of: result, from: 0))
  }
}
