import HGNetCore
import HGNetProgram

/// Winograd with tiles of 4×4 results for values in bfloat16, computed in float32 as they come and rounded as they go.
///
/// Transformed values in bfloat16 would be off by 1.5 to 2.3 % of a result's size (float32: 1e-6); products of 36 values in
/// float32 take less time than those of 144 in bfloat16.
enum BFloat16Winograd: Winograd {
  static let name = "bfloat16-winograd-f4"
  static let tile = 4
  static let precision = Precision.bfloat16
  static var layout: WeightLayout { WinogradF4.layout }

  static func refusal(of layer: Layer, on target: Target) -> String? {
    target.purpose == .trainingForward ? "it rounds too coarsely for a forward pass in training" : windowRefusal(layer)
  }

  static func elements(of layer: Layer) -> LayerElements { LayerElements(.bfloat16) }
}
