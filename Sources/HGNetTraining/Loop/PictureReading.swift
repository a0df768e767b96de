import HGNetCore
import HGNetPlatform
import HGNetVision

/// Tells single pictures that cannot be read, which are left out, from a disk that is gone, which ends a run.
///
/// Without pictures epochs would pass in no time, and checkpoints and reports would be replaced by those of nothing.
struct PictureReading {
  /// How many pictures are looked for when a whole batch cannot be read.
  private static let sampleCount = 32

  private let dataset: Dataset
  private var (readCount, brokenCount) = (0.0, 0.0)
  private var firstBroken: Loader.BrokenPicture?

  init(_ dataset: Dataset) { self.dataset = dataset }

  /// What the ranks add up after a batch: the pictures that were read and that were not, and whether all pictures of the
  /// data are gone; of no batch zeros.
  func counts(of batch: Loader.Batch?) -> [Double] {
    guard let batch else { return [0, 0, 0] }
    return [
      Double(batch.count), Double(batch.broken.count), batch.count == 0 && !batch.broken.isEmpty && areGone ? 1 : 0,
    ]
  }

  /// Takes the sums over all ranks.
  ///
  /// - Throws: `HGNetError.Code.fileNotFound` if the pictures of a rank are gone, in all ranks.
  mutating func note(_ sums: [Double], broken: [Loader.BrokenPicture]) throws(HGNetError) {
    readCount += sums[0]
    brokenCount += sums[1]
    firstBroken = firstBroken ?? broken.first
    guard sums[2] > 0 else { return }
    throw HGNetError(
      .fileNotFound,
      "the pictures are gone: they were there at the start, and now not one of them is; was a disk unmounted or a folder "
        + "moved? Nothing has been replaced", path: firstBroken?.path ?? dataset.source)
  }

  /// Checks that something was read of all pictures.
  ///
  /// - Throws: `HGNetError.Code.malformedData` otherwise, in all ranks.
  func check() throws(HGNetError) {
    guard readCount == 0, brokenCount > 0 else { return }
    let first = firstBroken.map { ". The first: \($0.error.message)" } ?? ""
    throw HGNetError(
      .malformedData, "not one of the pictures could be read\(first)", path: firstBroken?.path ?? dataset.source,
      cause: firstBroken?.error.cause)
  }

  /// Whether none of some pictures, from the first to the last, exists and may be read.
  private var areGone: Bool {
    let step = max(dataset.count / PictureReading.sampleCount, 1)
    return stride(from: 0, to: dataset.count, by: step).allSatisfy { access(dataset.paths[$0], R_OK) != 0 }
  }
}
