import HGNet
import HGNetCore
import HGNetFormats
import HGNetVision

/// Takes a picture file all the way to labelled scores, by the original with its recipe and by what was exported with the
/// recipe that is found beside it or inside it.
///
/// A wrong head, size, resize rule or list of names shows here, and nowhere in a comparison of two networks alone.
struct RecipeCheck {
  private let original: WeightsFile
  private let recipe: Recipe
  private let fallbackSize: Size
  private let bound: Double

  /// Names the original.
  ///
  /// - Parameters:
  ///   - original: the weights that are exported.
  ///   - recipe: the recipe that belongs to them.
  ///   - network: what is exported.
  ///   - hasHead: whether what is written has a head of its own; where it leaves that out, the answers are logits, and
  ///     those of the original are, too.
  ///   - bound: how far scores may be apart that are probabilities.
  init(
    _ original: WeightsFile, recipe: Recipe, network: ExportedNetwork, hasHead: Bool, bound: Double = SelfCheck.bound
  ) {
    self.bound = bound
    var recipe = recipe
    if hasHead, network.activation == .none { recipe.activation = Activation.none }
    self.original = original
    self.recipe = recipe
    fallbackSize = network.graph.inputSize
  }

  /// Compares the answers for one picture; gives the largest difference of scores.
  ///
  /// - Parameters:
  ///   - path: the file that was exported, with its texts beside it.
  ///   - picture: where the picture may be written.
  /// - Throws: `HGNetError.Code.internalInconsistency` where anything differs that somebody would read.
  func difference(exported path: String, picture: String) throws(HGNetError) -> Double {
    func refusal(_ what: String) -> HGNetError {
      HGNetError(.internalInconsistency, "the exported model does not agree: \(what); nothing was kept")
    }
    let exported = try WeightsFile(contentsOf: path)
    var found = try exported.findRecipe().recipe
    guard found.postProcessing == recipe.postProcessing else { throw refusal("it tells other classes of a picture") }
    // The scores of a network that hardly looks at its pictures would not show it.
    guard found.transforms == recipe.transforms, found.decodingStyle == recipe.decodingStyle else {
      throw refusal("it prepares pictures otherwise")
    }
    let classCount = original.graph.classCount ?? 0
    for index in 0..<classCount where found.labels?[index] != recipe.labels?[index] {
      throw refusal(
        "expected class \(index) to be called \(recipe.labels?[index] ?? "nothing"), found \(found.labels?[index] ?? "nothing")"
      )
    }
    var expected = recipe
    (found.postProcessing, expected.postProcessing) = (.topK(classCount), .topK(classCount))
    try RecipeCheck.picture(recipe.inputSize == nil ? fallbackSize : largerSize).write(to: picture)
    let before = try Classifier(original, recipe: expected).classify(contentsOf: picture)
    let after = try Classifier(exported, recipe: found).classify(contentsOf: picture)
    guard before.count == after.count else {
      throw refusal("expected \(before.count) classes, found \(after.count)")
    }
    var scores = [Double](repeating: 0, count: classCount)
    for result in before where scores.indices.contains(result.index) { scores[result.index] = result.score }
    let difference =
      after.map { abs($0.score - (scores.indices.contains($0.index) ? scores[$0.index] : .infinity)) }.max() ?? 0
    let isLogits = recipe.activation == Activation.none
    let bound =
      isLogits ? self.bound * (scores.map { abs($0) }.max() ?? 0) : self.bound
    guard difference <= bound else {
      throw refusal("for a picture file its scores differ by up to \(difference) from those of the original")
    }
    return difference
  }

  /// Larger than what the network sees, and no square.
  private var largerSize: Size {
    let size = recipe.inputSize ?? fallbackSize
    return Size(height: size.height + size.height / 4 + 3, width: size.width + size.width / 2 + 5)
  }

  /// Blocks of colour at several scales, the same every time.
  private static func picture(_ size: Size) throws(HGNetError) -> Image {
    var random = RandomGenerator(seed: 2, stream: "recipe-check")
    let scales = [64, 16, 4]
    let cells = scales.map { scale in
      (0..<((size.height / scale + 1) * (size.width / scale + 1) * 3)).map { _ in random.uniform(from: 0, to: 1) }
    }
    var pixels: [UInt8] = []
    pixels.reserveCapacity(size.height * size.width * 3)
    for row in 0..<size.height {
      for column in 0..<size.width {
        for channel in 0..<3 {
          var value: Float = 0
          for (scale, cells) in zip(scales, cells) {
            value += Float(cells[((row / scale) * (size.width / scale + 1) + column / scale) * 3 + channel])
          }
          pixels.append(UInt8(max(0, min(255, value * 85))))
        }
      }
    }
    return try Image(size: size, pixels: pixels)
  }
}
