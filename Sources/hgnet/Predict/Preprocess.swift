import ArgumentParser
import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetFormats

/// Writes what the network would see of pictures.
struct Preprocess: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write the tensor that the network sees of pictures.",
    discussion:
      "Writes float32 [N, 3, H, W]. With --weights the pictures are prepared as for these weights, with -c as a "
      + "configuration says; otherwise as in PaddleClas' evaluation: short side 232, bicubic as Pillow does it, centre "
      + "crop 224.")

  @Argument(help: ArgumentHelp("Pictures.", valueName: "picture"))
  var pictures: [String]

  @Option(help: ArgumentHelp("Prepare pictures as for these weights.", valueName: "file"))
  var weights: String?

  @Option(help: ArgumentHelp("Where the tensor goes, .npy.", valueName: "file"))
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
    var tensors: [Tensor] = []
    for path in pictures {
      let tensor = try recipe.tensor(contentsOf: path)
      let picture = try tensor.reshaped([1, tensor.shape[0], tensor.shape[1], tensor.shape[2]])
      if let first = tensors.first, first.shape != picture.shape {
        let (expected, found) = (first.shape, picture.shape)
        throw HGNetError(
          .shapeMismatch,
          "expected \(expected[1])×\(expected[2]) pixels after preprocessing as in the first picture, found "
            + "\(found[1])×\(found[2]); add a crop, or give one picture at a time", path: path)
      }
      tensors.append(picture)
    }
    try NumpyArray.write(Layout.channelsFirst(joining: tensors), to: output)
  }
}
