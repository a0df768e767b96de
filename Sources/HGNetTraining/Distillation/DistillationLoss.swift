import HGNetCore

/// What a distillation minimises: losses over the logits of several named networks, added.
///
/// With several terms each is multiplied by its weight; a single term counts as it is, as in PaddleClas. Threads: a value,
/// safe to share. Source: PaddleClas, `ppcls/loss/distillationloss.py`.
package struct DistillationLoss: Sendable {
  /// What one network, or a pair of them, is judged by.
  package enum Rule: Sendable {
    /// `DistillationCELoss`: the student's cross entropy with the softmax of the teacher's logits, which are taken as
    /// they are: the teacher receives no gradient.
    case imitation(student: String, teacher: String)
    /// `DistillationGTCELoss` and `DistillationMultiLabelLoss`: the loss with the labels.
    case labels(model: String, any Loss)
    /// `DistillationKLDivLoss`: the student imitates the teacher's softened scores.
    case divergence(student: String, teacher: String, DivergenceLoss)
    /// `DistillationDKDLoss`: the same, with the right class and the others apart.
    case decoupled(student: String, teacher: String, DecoupledLoss)
    /// `DistillationDMLLoss`: both learn from each other.
    case mutual(first: String, second: String, MutualLearningLoss)

    /// The networks that are looked at.
    package var models: [String] {
      switch self {
      case .imitation(let student, let teacher): [student, teacher]
      case .labels(let model, _): [model]
      case .mutual(let first, let second, _): [first, second]
      case .divergence(let student, let teacher, _), .decoupled(let student, let teacher, _): [student, teacher]
      }
    }
  }

  /// Rules that share a factor: one entry of `Loss.Train`.
  package struct Term: Sendable {
    /// The rules, one for each pair or network of the entry.
    package var rules: [Rule]
    /// The factor, used when there are several terms.
    package var weight: Double

    /// Makes a term.
    package init(_ rules: [Rule], weight: Double = 1) {
      self.rules = rules
      self.weight = weight
    }
  }

  /// The result for one batch.
  package struct Evaluation: Sendable {
    /// The sum, logged as `loss`.
    package var value: Float
    /// Each rule by its log key, weighted, in order.
    package var terms: [(name: String, value: Float)]
    /// The derivative of the sum with respect to the logits, `[N, K]`, of each network that a rule looks at.
    package var gradients: [String: Tensor]
  }

  /// The terms in order.
  package let terms: [Term]

  /// Makes a sum.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` when there is no rule.
  package init(_ terms: [Term]) throws(HGNetError) {
    guard terms.contains(where: { !$0.rules.isEmpty }) else {
      throw HGNetError(.invalidConfiguration, "expected at least one loss such as DistillationCELoss, found none")
    }
    self.terms = terms
  }

  /// Makes another sum of as many terms.
  init(replacing other: DistillationLoss, terms: [Term]) { self.terms = terms }

  /// The networks that the loss looks at.
  package var models: Set<String> { Set(terms.flatMap { $0.rules.flatMap(\.models) }) }

  /// Whether labels decide about anything; without it pictures need none.
  package var usesLabels: Bool {
    terms.contains { term in
      term.rules.contains { rule in
        switch rule {
        case .labels: true
        case .decoupled(_, _, let loss): !loss.takesTeachersClass
        case .imitation, .mutual, .divergence: false
        }
      }
    }
  }

  /// Value, terms and gradients for a batch.
  ///
  /// - Parameters:
  ///   - logits: `[N, K]` of each network.
  ///   - targets: what the N pictures show; looked at by `labels` and `decoupled` only.
  ///   - allRows: the rows of the whole batch where these are a part of it; the results are then what this part adds.
  /// - Throws: `HGNetError.Code.shapeMismatch` for logits that do not fit each other, and what the losses throw.
  package func evaluate(
    logits: [String: Tensor], targets: Targets, of allRows: Int? = nil
  ) throws(HGNetError) -> Evaluation {
    func named(_ name: String) throws(HGNetError) -> Tensor {
      guard let tensor = logits[name] else {
        throw HGNetError(.internalInconsistency, "there are no logits of \(name)")
      }
      return tensor
    }
    var result = Evaluation(value: 0, terms: [], gradients: [:])
    var sum = 0.0
    func add(_ gradient: Tensor, of model: String, weight: Double) throws(HGNetError) {
      var total: Tensor
      if let sum = result.gradients[model] { total = sum } else { total = try Tensor.zeros(like: gradient) }
      total.withUnsafeMutableBufferPointer { target in
        for index in target.indices { target[index] += Float(weight) * gradient[index] }
      }
      result.gradients[model] = total
    }
    for term in terms {
      let weight = terms.count == 1 ? 1 : term.weight
      for (index, rule) in term.rules.enumerated() {
        let value: Double
        let name: String
        switch rule {
        case .imitation(let student, let teacher):
          let loss = CrossEntropyLoss()
          let (cost, gradient) = try loss.evaluate(
            logits: named(student), targets: .vectors(named(teacher)), of: allRows)
          try add(gradient, of: student, weight: weight)
          (name, value) = ("CELoss_\(student)_\(teacher)", Double(cost))
        case .labels(let model, let loss):
          let (cost, gradient) = try loss.evaluate(logits: named(model), targets: targets, of: allRows)
          try add(gradient, of: model, weight: weight)
          (name, value) = ("\(loss.name)_\(model)", Double(cost))
        case .divergence(let student, let teacher, let loss):
          let (cost, gradient) = try loss.evaluate(student: named(student), teacher: named(teacher), of: allRows)
          try add(gradient, of: student, weight: weight)
          (name, value) = ("loss_kldiv_\(student)_\(teacher)", cost)
        case .decoupled(let student, let teacher, let loss):
          let (cost, gradient) = try loss.evaluate(
            student: named(student), teacher: named(teacher), targets: targets, of: allRows)
          try add(gradient, of: student, weight: weight)
          (name, value) = ("\(loss.name)_\(student)_\(teacher)", cost)
        case .mutual(let first, let second, let loss):
          let (cost, gradient, otherGradient) = try loss.evaluate(named(first), named(second), of: allRows)
          try add(gradient, of: first, weight: weight)
          try add(otherGradient, of: second, weight: weight)
          (name, value) = ("DMLLoss_\(first)_\(second)_\(index)", cost)
        }
        sum += value * weight
        result.terms.append((name, Float(value * weight)))
      }
    }
    result.value = Float(sum)
    return result
  }
}
