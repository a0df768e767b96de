import ArgumentParser
import HGNetModels

extension CompletionKind {
  /// The names of all models, as shells complete them.
  static var modelNames: CompletionKind { .list(Model.all.map(\.name)) }
}
