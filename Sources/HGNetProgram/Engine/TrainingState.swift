import HGNetCore

/// One of the arrays that a training state keeps for each parameter, all of the parameter's shape.
package enum ParameterArray: Hashable, Sendable {
  /// What the network computes with; running statistics are among them.
  case value
  /// The sum of the gradients since they were zero; of no meaning for what is frozen or not learned.
  case gradient
  /// What the optimiser remembers of earlier gradients, numbered from 0; only of parameters that it changes.
  case moment(Int)
  /// The moving average of the value.
  case average
}

/// The parameters of networks in training on a device, with their gradients and what the optimiser keeps of each.
///
/// Parameters are known by their place in `declarations`. The host sees values only as copies that it asks for.
///
/// Threads: one task at a time; `sumGradients` may run beside a backward pass that has ended with those parameters.
package protocol TrainingState: AnyObject, Sendable {
  /// Names, shapes and roles.
  var declarations: [ParameterDeclaration] { get }
  /// Whether each parameter is kept as it is.
  var isFrozen: [Bool] { get }

  /// Begins to keep an array: moments of zeros, or the average as a copy of the values; again, to begin anew.
  ///
  /// Values and gradients are always kept.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` without memory.
  func keep(_ array: ParameterArray) throws(HGNetError)

  /// A copy of one array of a parameter, in its shape.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for a parameter or array that is not kept, `limitExceeded` without memory.
  func read(_ array: ParameterArray, of parameter: Int) throws(HGNetError) -> Tensor

  /// Replaces one array of a parameter.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for a parameter or array that is not kept, `shapeMismatch` for another
  ///   shape.
  func write(_ tensor: Tensor, to array: ParameterArray, of parameter: Int) throws(HGNetError)

  /// Sets all gradients to zero.
  ///
  /// - Throws: `HGNetError` when the device fails.
  func zeroGradients() throws(HGNetError)

  /// Changes parameters by their gradients, each by its own rule; gradients stay as they are.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for a parameter without the moments that its rule needs; nothing has
  ///   changed then.
  func update(_ rules: [(parameter: Int, rule: UpdateRule)]) throws(HGNetError)

  /// Moves the averages of all parameters, running statistics included: `a = decay · a + (1 - decay) · w`.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` where no average is kept.
  func moveAverage(decay: Double) throws(HGNetError)

  /// Replaces the gradients of a run of parameters by their sums over the processes that train together.
  ///
  /// - Parameters:
  ///   - bucket: the run; frozen parameters inside it may be summed, too.
  ///   - reduction: carries the numbers; the same in all processes, which call it in the same order.
  /// - Throws: what the reduction throws.
  func sumGradients(of bucket: ClosedRange<Int>, over reduction: any ProcessSum) throws(HGNetError)

  /// Replaces the values of some parameters by their means over the processes that train together.
  ///
  /// - Parameters:
  ///   - parameters: the running statistics, in the same order in all processes.
  ///   - processes: how many there are.
  ///   - reduction: as for gradients.
  /// - Throws: what the reduction throws.
  func averageValues(
    of parameters: [Int], over reduction: any ProcessSum, processes: Int
  ) throws(HGNetError)
}

extension TrainingState {
  /// The place of a parameter in `declarations`; nil for a name that there is not.
  package func index(of name: String) -> Int? { declarations.firstIndex { $0.name == name } }

  /// The parameters that an optimiser changes: learned and not frozen.
  package var trainedIndices: [Int] { declarations.indices.filter { declarations[$0].role.isLearned && !isFrozen[$0] } }

  /// A copy of one array of all parameters, under their names.
  ///
  /// - Throws: as `read(_:of:)`.
  package func store(_ array: ParameterArray = .value) throws(HGNetError) -> ParameterStore {
    var store = ParameterStore()
    for (index, declaration) in declarations.enumerated() {
      store[declaration.name] = Parameter(try read(array, of: index))
    }
    return store
  }

  /// Replaces one array of all parameters by what a store has under their names.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` naming a parameter that is missing or has another shape; nothing has
  ///   changed then.
  package func load(_ store: some ParameterSource, into array: ParameterArray = .value) throws(HGNetError) {
    var tensors: [Tensor] = []
    for declaration in declarations {
      tensors.append(
        try store.parameter(declaration.name, shape: declaration.shape, layer: nil).allocatedTensor())
    }
    for (index, tensor) in tensors.enumerated() { try write(tensor, to: array, of: index) }
  }
}

/// Adds numbers over the processes that train together.
///
/// It takes host memory because that is what a transport between processes carries; an engine whose arrays lie elsewhere
/// copies them there for the call, or adds them on its own.
package protocol ProcessSum: Sendable {
  /// Replaces each value by its sum over all processes; the pointer must not escape.
  ///
  /// - Throws: `HGNetError.Code.networkFailure` when another process has given up.
  func sum(_ values: UnsafeMutableBufferPointer<Float>) throws(HGNetError)
}

/// Adds the sums behind batch statistics over the processes that train together.
///
/// A training run calls it in the same order in every process, on one thread at a time, forward and backward.
package protocol StatisticsReduction: AnyObject, Sendable {
  /// Replaces each value by its sum over all processes; the pointer must not escape.
  ///
  /// It cannot throw, since a layer cannot end halfway; a failure is to be told afterwards.
  func sum(_ values: UnsafeMutableBufferPointer<Double>)
}

/// Training steps of one network on batches of one size: forward with batch statistics, backward to the gradients.
///
/// Threads: one task at a time.
package protocol TrainingRun: AnyObject {
  /// The network, for the size of the pictures.
  var program: Program { get }
  /// The number of pictures of a step.
  var batch: Int { get }

  /// Computes the result of a batch.
  ///
  /// Normalisations use the statistics of the batch and move the running ones, or use these where they are frozen; of one
  /// value per channel they change nothing, as in PaddlePaddle. Dropped values are drawn layer by layer in the order of
  /// the program and in `[N, H, W, C]`, an attention's in `[N, heads, queries, tokens]`, so that all engines drop the same.
  ///
  /// - Parameters:
  ///   - pictures: `[N, H, W, C]`.
  ///   - random: draws what is dropped; not used by a network without dropout.
  /// - Returns: the first output, `[N, K]`.
  /// - Throws: `HGNetError.Code.shapeMismatch` for another shape, `limitExceeded` without memory for the result.
  func forward(_ pictures: Tensor, random: inout RandomGenerator) throws(HGNetError) -> Tensor

  /// Adds the gradients of the last `forward` to those of the state; to be called at most once after each.
  ///
  /// - Parameters:
  ///   - gradient: of the loss with respect to the result, `[N, K]`.
  ///   - ended: called with the place of each parameter of the network in the state as soon as its gradient is complete,
  ///     while others may still be computed, on any thread.
  /// - Throws: `HGNetError.Code.shapeMismatch` for another shape.
  func backward(_ gradient: Tensor, ended: (@Sendable (_ parameter: Int) -> Void)?) throws(HGNetError)
}

extension TrainingRun {
  /// Whether a parameter takes part in a layer's gradient: whether anything that is learned lies in or before it.
  ///
  /// By the number of the result; where it is false, no gradient is wanted.
  package static func needsGradient(_ program: Program, _ state: some TrainingState) -> [Bool] {
    var isTrained: Set<String> = []
    for index in state.trainedIndices { isTrained.insert(state.declarations[index].name) }
    return needsGradient(program) { isTrained.contains($0) }
  }

  /// The same where no state has been made yet.
  package static func needsGradient(_ program: Program, isTrained: (String) -> Bool) -> [Bool] {
    var needs = [Bool](repeating: false, count: program.shapes.count)
    for layer in program.layers {
      let inputs = layer.inputs + [layer.residual].compactMap { $0 }
      needs[layer.result] = inputs.contains { needs[$0] } || layer.learnedParameters.contains(where: isTrained)
    }
    return needs
  }
}
