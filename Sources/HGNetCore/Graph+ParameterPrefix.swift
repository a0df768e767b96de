extension Graph {
  /// The same network with something in front of the name of every layer and every parameter, such as `Student.`.
  ///
  /// Several networks can then share one store of parameters. Outputs keep their names.
  ///
  /// - Throws: nothing for a graph that was made without an error.
  public func prefixingParameters(with prefix: String) throws(HGNetError) -> Graph {
    guard !prefix.isEmpty else { return self }
    return try Graph(
      unshaped: nodes.map { node in
        (prefix + node.name, node.operation.mapParameters { prefix + $0 }, node.inputs)
      },
      parameters: parameters.map { declaration in
        var renamed = declaration
        renamed.name = prefix + declaration.name
        return renamed
      },
      outputs: outputs, selectableOutputs: selectableOutputs, inputSize: inputSize)
  }
}

extension ParameterStore {
  /// The parameters whose names begin with a prefix, under what follows it, in order.
  public func parameters(behind prefix: String) -> ParameterStore {
    guard !prefix.isEmpty else { return self }
    var result = ParameterStore()
    for name in names where name.hasPrefix(prefix) { result[String(name.dropFirst(prefix.count))] = self[name] }
    return result
  }

  /// Adds every parameter of another store, with something in front of its name.
  public mutating func add(_ other: ParameterStore, prefix: String = "") {
    for name in other.names { self[prefix + name] = other[name] }
  }
}
