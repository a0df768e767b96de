import HGNetCore
import HGNetProgram

extension Optimizer {
  /// One named array of the state, such as `conv2d_0.w_0_velocity_0`.
  package struct NamedTensor: Sendable {
    /// The internal name of the parameter and what the array is.
    package let name: String
    /// The values, in the shape of the parameter, or `[1]`.
    package let value: Tensor

    /// Makes a named array.
    package init(name: String, value: Tensor) {
      self.name = name
      self.value = value
    }
  }

  /// The state under the names that PaddlePaddle uses in `.pdopt`.
  ///
  /// Momentum: `_velocity_0`. AdamW: `_moment1_0`, `_moment2_0`, and of shape `[1]` `_beta1_pow_acc_0`,
  /// `_beta2_pow_acc_0`. SGD has none.
  ///
  /// - Parameter internalNames: internal names by those of the state dictionary, as `Graph.internalParameterNames` gives
  ///   them; a name that is missing stands for itself.
  /// - Throws: `HGNetError.Code.limitExceeded` without memory for the copies.
  package func state(internalNames: [String: String]) throws(HGNetError) -> [NamedTensor] {
    var result: [NamedTensor] = []
    for (slot, index) in indices.enumerated() {
      let name = internalName(index, internalNames)
      for (number, ending) in settings.rule.momentNames.enumerated() {
        result.append(NamedTensor(name: name + ending, value: try parameters.read(.moment(number), of: index)))
      }
      guard case .adamW = settings.rule else { continue }
      for (ending, power) in [("_beta1_pow_acc_0", powers[slot].0), ("_beta2_pow_acc_0", powers[slot].1)] {
        result.append(NamedTensor(name: name + ending, value: Tensor(shape: [1], values: [power])))
      }
    }
    return result
  }

  /// Takes over a stored state; nothing changes when it does not fit.
  ///
  /// - Parameters:
  ///   - tensors: the arrays by name; names that belong to no parameter are left alone.
  ///   - internalNames: as for `state(internalNames:)`.
  /// - Throws: `HGNetError.Code.parameterMismatch` listing what is missing or has another shape.
  package mutating func restore(
    _ tensors: [String: Tensor], internalNames: [String: String]
  ) throws(HGNetError) {
    var problems: [String] = []
    func taken(_ name: String, _ shape: Shape) -> Tensor {
      guard let tensor = tensors[name] else {
        problems.append("\(name) is missing")
        return Tensor(shape: [1])
      }
      // A stored scalar may have no axis.
      if shape.count == 1, tensor.count == 1 { return Tensor(shape: shape, values: [tensor[0]]) }
      guard tensor.shape == shape else {
        problems.append("\(name) has shape \(tensor.shape) instead of \(shape)")
        return Tensor(shape: [1])
      }
      return tensor
    }
    var moments: [(tensor: Tensor, number: Int, parameter: Int)] = []
    var powers = powers
    for (slot, index) in indices.enumerated() {
      let name = internalName(index, internalNames)
      for (number, ending) in settings.rule.momentNames.enumerated() {
        moments.append((taken(name + ending, parameters.declarations[index].shape), number, index))
      }
      guard case .adamW = settings.rule else { continue }
      powers[slot] = (taken("\(name)_beta1_pow_acc_0", [1])[0], taken("\(name)_beta2_pow_acc_0", [1])[0])
    }
    guard problems.isEmpty else {
      let shown = problems.prefix(5).joined(separator: "; ")
      throw HGNetError(
        .parameterMismatch,
        "the stored optimiser state does not fit this model and optimiser: \(shown)"
          + (problems.count > 5 ? "; and \(problems.count - 5) more" : "")
          + "; resume with the configuration that wrote it")
    }
    for (tensor, number, parameter) in moments {
      try parameters.write(tensor, to: .moment(number), of: parameter)
    }
    self.powers = powers
  }

  private func internalName(_ index: Int, _ internalNames: [String: String]) -> String {
    internalNames[parameters.declarations[index].name] ?? parameters.declarations[index].name
  }
}
