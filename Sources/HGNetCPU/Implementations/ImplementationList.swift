import HGNetCore
import HGNetProgram

/// All implementations of the CPU, best first: the first that accepts a layer computes it.
///
/// At a lower precision than float32 those of that precision come first; what none of them takes is computed in float32.
enum ImplementationList {
  static let all: [any Implementation.Type] = [
    WinogradF4.self, WinogradF2.self, Depthwise.self, Strassen.self, Product.self, DirectConvolution.self,
    MaximumPool.self, AveragePool.self, Elementwise.self, RepeatedQueries.self, LayerNormalization.self,
    Attention.self, GroupedProduct.self,
    BFloat16WinogradF2.self, BFloat16Winograd.self, BFloat16Depthwise.self, BFloat16Product.self,
    BFloat16Convolution.self,
    BFloat16MaximumPool.self,
    BFloat16AveragePool.self, BFloat16Elementwise.self,
    IntegerDepthwise.self, IntegerProduct.self, IntegerConvolution.self, IntegerMaximumPool.self,
    IntegerAveragePool.self, IntegerElementwise.self,
  ]

  /// An implementation and why those before it refused.
  struct Choice {
    var implementation: any Implementation.Type
    var refusals: [(name: String, reason: String)]
  }

  /// The best implementation for a layer, from the layer alone: it decides how the weights lie, so that every picture
  /// size gives the same arithmetic.
  ///
  /// - Throws: `HGNetError.Code.unsupported` with the reason of the last one that was asked.
  static func choice(for layer: Layer, on target: Target) throws(HGNetError) -> Choice {
    try first(layer, target.precision) { $0.refusal(of: layer, on: target) }
  }

  /// The best implementation for a problem whose weights lie as they do.
  ///
  /// - Throws: as for a layer.
  static func choice(for problem: Problem, layout: WeightLayout?) throws(HGNetError) -> Choice {
    try first(problem.layer, problem.target.precision) { implementation in
      if let reason = implementation.refusal(of: problem.layer, on: problem.target) { return reason }
      if let layout, implementation.layout != layout { return "its weights would lie as \(implementation.layout)" }
      return implementation.refusal(of: problem)
    }
  }

  private static func first(
    _ layer: Layer, _ precision: Precision, _ refusal: (any Implementation.Type) -> String?
  ) throws(HGNetError) -> Choice {
    var refusals: [(name: String, reason: String)] = []
    for wanted in precision == .float32 || layer.staysFloat ? [.float32] : [precision, .float32] {
      for implementation in all where implementation.precision == wanted && implementation.computes(layer.kind) {
        guard let reason = refusal(implementation) else {
          return Choice(implementation: implementation, refusals: refusals)
        }
        refusals.append((implementation.name, reason))
      }
    }
    throw HGNetError(.unsupported, refusals.last?.reason ?? "no implementation of this operator", layer: layer.name)
  }
}
