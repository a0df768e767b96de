import HGNetCore
import HGNetProgram

/// Where everything of a run lies: the arena of activations, the pictures on their way in, the results on theirs out.
///
/// Threads: a value.
struct GPUPlaces: Sendable {
  let inference: InferenceProgram
  /// Bytes of the arena from its start, by the number of the buffer.
  let offsets: [Int]
  let arenaByteCount: Int
  let uploadByteCount: Int
  /// Where each output begins in what the host reads.
  let downloads: [Int]
  let downloadByteCount: Int

  /// Finds a place for everything.
  ///
  /// - Throws: as `InferenceProgram`, and `HGNetError.Code.limitExceeded` for a result that is larger than the device
  ///   binds at once.
  init(_ program: Program, batch: Int, on device: GPUDescription) throws(HGNetError) {
    var inference = try InferenceProgram(program, batch: batch, channelUnit: 4)
    let alignment = max(device.rangeAlignment, 64)
    inference.placement.align(to: alignment)
    self.inference = inference
    let memory = MemoryPlan(inference.placement.buffers)
    (offsets, arenaByteCount) = (memory.offsets, memory.byteCount)
    let shapes = program.shapes
    uploadByteCount = 4 * batch * shapes[program.input].count
    var (downloads, end) = ([Int](), 0)
    for output in program.outputs {
      downloads.append(end)
      end += (4 * batch * shapes[output.result].count).roundedUp(to: alignment)
    }
    (self.downloads, downloadByteCount) = (downloads, end)
    let largest = max(inference.placement.buffers.map(\.byteCount).max() ?? 0, uploadByteCount, end)
    guard largest <= device.largestRange else {
      throw HGNetError(
        .limitExceeded,
        "a result of \(batch) pictures of \(program.inputSize) takes \(MemoryNeed.text(largest)), and \(device.name) binds "
          + "at most \(MemoryNeed.text(device.largestRange)) at once; "
          + MemoryNeed.fittingPictures(batch, of: program.inputSize)(Double(device.largestRange) / Double(largest)))
    }
  }

  /// What of the device's memory a session takes.
  func add(to need: inout MemoryNeed) {
    need.add("the activations", bytes: arenaByteCount)
    need.add("pictures", bytes: uploadByteCount)
    need.add("results", bytes: downloadByteCount)
  }
}
