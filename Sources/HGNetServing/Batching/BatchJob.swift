import HGNetBatching
import HGNetCore

/// The pictures of one request on their way through a batcher.
///
/// It is answered exactly once: by its result, by its deadline, or because the client has gone.
final class BatchJob: Sendable {
  let pictures: [PictureInput]
  let deadline: ContinuousClock.Instant?
  let queuedAt = ContinuousClock.now
  /// What the request gets.
  let answer = OneAnswer<Result<BatchResult, ServingError>>()

  init(pictures: [PictureInput], deadline: ContinuousClock.Instant?) {
    self.pictures = pictures
    self.deadline = deadline
  }
}

/// What a batcher makes of the pictures of one request.
package struct BatchResult: Sendable {
  /// The logits of each picture, or why there are none.
  package let logits: [Result<[Float], HGNetError>]
  /// How long the request waited before its batch began.
  package let queued: Duration
  /// How long its batch took to decode and prepare.
  package let prepared: Duration
  /// How long the network ran on its batch.
  package let computed: Duration
  /// The pictures of the batch.
  package let batchSize: Int
}
