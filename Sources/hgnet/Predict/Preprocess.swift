import ArgumentParser
import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetFormats
import HGNetVision

/// Writes what the network would see of pictures.
struct Preprocess: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write the input tensor that the transforms make of pictures.",
    discussion:
      "Writes float32 [N, 3, H, W]. The transforms are those of --weights, or of the configuration (-c), or by default "
      + "PaddleClas' evaluation: short side 232 with Pillow's bicubic filter, centre crop 224.")

  @Argument(help: ArgumentHelp("Pictures.", valueName: "picture"))
  var pictures: [String]

  @Option(help: ArgumentHelp("Use the transforms of these weights.", valueName: "file"))
  var weights: String?

  @Option(help: ArgumentHelp("The file to write, .npy.", valueName: "file"))
  var output: String

  @OptionGroup var options: ConfigurationOptions

  func validate() throws {
    if weights != nil, options.file != nil { throw ValidationError("expected --weights FILE or -c FILE, found both") }
  }

  func run() throws {
    try FileOutput.check(path: output)
    var recipe = Recipe.evaluation()
    if let configuration = try options.load() {
      guard let described = try configuration.recipe() else {
        throw HGNetError(
          .invalidConfiguration, "expected the transforms of the pictures", path: configuration.path,
          key: "Infer.transforms")
      }
      recipe = described
    }
    if let weights {
      let found = try WeightsFile(contentsOf: weights).findRecipe()
      found.tell(verbose: options.verbose)
      recipe = found.recipe
    }
    var prepared: [PreparedPicture] = []
    for path in pictures {
      let picture = try recipe.picture(decoding: Blob(mapping: path))
      if let expected = prepared.first?.shape, expected != picture.shape {
        let found = picture.shape
        throw HGNetError(
          .shapeMismatch,
          "expected \(expected[0])×\(expected[1]) pixels after preprocessing as in the first picture, found "
            + "\(found[0])×\(found[1]); add a crop, or give one picture at a time", path: path)
      }
      prepared.append(picture)
    }
    try NumpyArray.write(Preprocess.planes(of: prepared), to: output)
  }

  /// Pictures of one size as `[N, 3, H, W]`.
  private static func planes(of pictures: [PreparedPicture]) throws(HGNetError) -> Tensor {
    guard let shape = pictures.first?.shape else { return Tensor(shape: [0]) }
    return try Tensor(
      allocating: [pictures.count, 3, shape[0], shape[1]], for: "\(pictures.count) pictures"
    ) { (target) throws(HGNetError) in
      for (index, picture) in pictures.enumerated() {
        let place = UnsafeMutableBufferPointer(rebasing: target[index * shape.count..<(index + 1) * shape.count])
        try picture.tensor().withUnsafeBufferPointer {
          ChannelOrder.planes(fromPixels: $0, channels: 3, into: place)
        }
      }
    }
  }
}
