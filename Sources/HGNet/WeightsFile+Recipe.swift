import HGNetConfiguration
import HGNetCore

extension WeightsFile {
  /// The recipe that lies beside the file: size, transforms and labels of the training run or of the export.
  ///
  /// Read are `inference.yml` of an exported model, also from inside an ONNX model, and the `config.yaml` that a training
  /// run left beside its weights; the tool, the server and the C library take their recipe from there, too.
  ///
  /// - Returns: nil where there is none; `standardRecipe` then is the model's own.
  /// - Throws: `HGNetError.Code.invalidConfiguration` for a file that cannot be used, naming the key.
  public func recipeBeside() throws(HGNetError) -> Recipe? {
    try WeightsRecipe.beside(self, warn: { _ in })
  }
}
