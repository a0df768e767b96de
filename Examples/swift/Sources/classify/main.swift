import HGNet

// swift run -c release classify best_model.pdparams photo.jpg other.png
do {
  let arguments = CommandLine.arguments
  let classifier = try Classifier(weights: arguments.count > 1 ? arguments[1] : "best_model.pdparams")
  for path in arguments.dropFirst(2) {
    print(path)
    for result in try classifier.classify(contentsOf: path) {
      print("  \(result.score)  \(result.label ?? "class \(result.index)")")
    }
  }
} catch {
  print(error)
}
