/// Layers that a few pictures of a batch pass through before the next ones do.
///
/// The first layers have wide pictures and few weights: picture by picture their activations stay in the caches, and only
/// one picture needs room. The last ones have small pictures and many weights, which are better read once for all. An
/// engine decides where to divide; see `Placement.divide(into:)`.
package struct BatchSegment: Hashable, Sendable {
  /// The steps, by their places in the order of the program.
  package var steps: Range<Int>
  /// Pictures that pass at a time.
  package var pictures: Int

  /// Makes a segment.
  package init(steps: Range<Int>, pictures: Int) {
    self.steps = steps
    self.pictures = pictures
  }
}
