import HGNetCore

/// The batches of one epoch, read, decoded and transformed ahead of the consumer on threads of their own.
///
/// Batches come in the order given, whatever the threads do: picture i of epoch e is transformed with random numbers of
/// a stream that only the seed, e and i decide, so that a run repeats itself with any number of threads, and one that
/// was stopped goes on as if it had not been.
///
/// A picture that cannot be read or decoded is left out of its batch, which is then smaller, and named in
/// `Batch.broken`; no other picture takes its place. A batch that loses all its pictures is still delivered, empty, so
/// that several processes stay in step. More than `brokenPictureLimit` of them end the run with an error that names the
/// first. An error of the transform is a mistake of the configuration and ends the run at once.
///
/// Memory: at most `batchesAhead` batches beside those that the consumer holds. Threads: safe to share, but meant for one
/// consumer. Releasing the loader, or `stop`, ends its threads after the pictures that they are at.
public final class Loader: Sendable {
  /// Turns a decoded picture into what the network sees of it; all of a batch must have one size.
  ///
  /// Called on several threads at once; all chance must come from the generator.
  package typealias PictureTransform = @Sendable (Image, inout RandomGenerator) throws(HGNetError) -> PreparedPicture

  /// How pictures are read.
  package struct Options: Sendable {
    /// The number of threads; 0 works while the consumer waits, nil takes all that `ProcessorCount` allows.
    package var threads: Int?
    /// The number of batches that are made ahead, at least 1.
    package var batchesAhead = 2
    /// Decides all random numbers.
    package var seed: UInt64 = 0
    /// Whose pixels the decoder reproduces.
    package var decodingStyle = DecodingStyle.openCV
    /// The largest height × width that is decoded.
    package var pixelLimit = Image.defaultPixelLimit
    /// The number of broken pictures of an epoch that is borne.
    package var brokenPictureLimit = 100

    /// Makes the options with their defaults.
    package init() {}
  }

  /// A picture that was left out.
  public struct BrokenPicture: Sendable {
    /// The index in the data set.
    package let index: Int
    /// The file.
    public let path: String
    /// Why it could not be read.
    public let error: HGNetError

    /// Makes an entry.
    package init(index: Int, path: String, error: HGNetError) {
      self.index = index
      self.path = path
      self.error = error
    }
  }

  /// Pictures and what they show.
  package struct Batch: Sendable {
    /// The number of the batch in the epoch, from 0.
    package let number: Int
    /// What the network sees of them, of one shape.
    package let pictures: [PreparedPicture]
    /// What the pictures show, in the same order.
    package let targets: Dataset.Targets
    /// The indices in the data set, in the same order.
    package let indices: [Int]
    /// The pictures that were left out.
    package let broken: [BrokenPicture]
    /// How long the consumer waited for this batch.
    package internal(set) var waited: Duration

    /// The number of pictures.
    package var count: Int { indices.count }

    /// What the network sees: `[N, H, W, 3]` in C order; all extents are 0 in an empty batch.
    ///
    /// - Parameter pool: the threads that write it.
    /// - Throws: `HGNetError.Code.limitExceeded` when the process may not have that much memory.
    package func inputs(pool: ThreadPool = ThreadPool(count: 1)) throws(HGNetError) -> Tensor {
      guard let shape = pictures.first?.shape else { return Tensor(shape: [0, 0, 0, 0]) }
      return try Tensor(
        allocating: [pictures.count, shape[0], shape[1], 3], for: "a batch of \(pictures.count) pictures"
      ) { pictures.write(into: $0, pool: pool) }
    }
  }

  /// The number of batches of the epoch, those before the start included.
  package let batchCount: Int
  private let core: LoaderCore

  /// Starts to read.
  ///
  /// - Parameters:
  ///   - dataset: the pictures.
  ///   - batches: indices into the data set, as a sampler gives them.
  ///   - epoch: the number of the epoch, which takes part in all random numbers.
  ///   - start: the number of the first batch to deliver, for a run that was stopped in mid-epoch.
  ///   - options: how pictures are read.
  ///   - transform: what happens to each picture.
  /// - Throws: `HGNetError.Code.invalidArgument` for an empty batch, an index outside the data set, a start outside `0 ... batches.count`
  ///   or options outside their ranges.
  package init(
    dataset: Dataset, batches: [[Int]], epoch: Int, startingAt start: Int = 0, options: Options = Options(),
    transform: @escaping PictureTransform
  ) throws(HGNetError) {
    guard batches.allSatisfy({ !$0.isEmpty && $0.allSatisfy { (0..<dataset.count).contains($0) } }) else {
      throw HGNetError(
        .invalidArgument,
        "expected batches of one or more indices below \(dataset.count), the number of pictures; found others",
        path: dataset.source)
    }
    guard (0...batches.count).contains(start) else {
      throw HGNetError(.invalidArgument, "expected to start at a batch of 0 to \(batches.count), found \(start)")
    }
    guard options.batchesAhead >= 1, options.brokenPictureLimit >= 0, options.threads ?? 0 >= 0 else {
      throw HGNetError(
        .invalidArgument,
        "expected at least 1 batch ahead, 0 broken pictures and 0 threads, found \(options.batchesAhead), "
          + "\(options.brokenPictureLimit) and \(options.threads ?? 0)")
    }
    batchCount = batches.count
    core = LoaderCore(
      dataset: dataset, batches: batches, epoch: epoch, start: start, options: options, transform: transform)
    core.start(threads: min(options.threads ?? ProcessorCount.current().count, 256))
  }

  deinit { stop() }

  /// The next batch, or nil at the end of the epoch and after `stop`.
  ///
  /// - Throws: `HGNetError.Code.malformedData` when more pictures are broken than the limit, `shapeMismatch` when the
  ///   pictures of a batch differ in size after the transform, and what the transform throws; the path is the picture's.
  ///   After an error no batch follows.
  package func next() throws(HGNetError) -> Batch? { try core.next() }

  /// How long the consumer has waited for batches so far.
  package var waited: Duration { core.waited }

  /// The number of pictures that were left out so far.
  package var brokenCount: Int { core.brokenCount }

  /// Ends the threads; those in the middle of a picture finish it first.
  package func stop() { core.stop() }
}
