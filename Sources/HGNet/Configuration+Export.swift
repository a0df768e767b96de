import HGNetConfiguration
import HGNetCore

extension Configuration {
  /// What `tools/export_model.py` reads of a configuration, besides the model and its weights.
  package struct Export: Sendable {
    /// `Global.save_inference_dir`, `./inference` where it is missing.
    package var folder: String
    /// Height and width of the pictures in pixels, of `Global.image_shape`; nil where it is missing.
    package var inputSize: Size?
    /// What is put on top of the logits.
    package var activation: Activation
    /// `Global.pdx_model_name`, or the name of the model.
    package var modelName: String?
  }

  /// How the model is exported.
  ///
  /// The head is a softmax, a sigmoid with `Global.use_multilabel`, nothing with `Arch.infer_add_softmax: False`.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for a wrong value.
  package func export() throws(HGNetError) -> Export {
    var size: Size?
    if let shape = try numbers("Global.image_shape") {
      let sides = 1...Configuration.maximumSide
      guard shape.count == 3, shape[0] == 3, let height = Int(exactly: shape[1]), let width = Int(exactly: shape[2]),
        sides.contains(height), sides.contains(width)
      else {
        throw wrong(
          "Global.image_shape", expected: "[3, height, width] in pixels", found: self["Global.image_shape"] ?? .null)
      }
      size = Size(height: height, width: width)
    }
    let activation: Activation
    if try boolean("Arch.infer_add_softmax") == false {
      activation = .none
    } else {
      activation = try boolean("Global.use_multilabel") == true ? .sigmoid : .softmax
    }
    var name = try text("Global.pdx_model_name")
    if name == nil { name = try model()?.model.name }
    return Export(
      folder: try text("Global.save_inference_dir") ?? "./inference", inputSize: size, activation: activation,
      modelName: name)
  }
}
