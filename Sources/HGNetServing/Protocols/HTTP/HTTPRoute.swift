/// What a path stands for.
enum HTTPRoute {
  case page(PageFile), metrics, classify, heatMap, health, live, ready, server, models
  case model(String, String?)
  case modelReady(String, String?)
  case configuration(String, String?)
  case infer(String, String?)
  case statistics(String?, String?)
  case load(String)
  case unload(String)
  /// A service of Paddle Serving's pipeline.
  case prediction(String)

  /// A method of the service that clients of Paddle Serving's C++ server call.
  case generalModel(String)

  /// Recognises the parts of a path; nil for none that is known.
  init?(_ parts: [String], method: String) {
    switch (parts.first, parts.count) {
    case (nil, _): self = .page(.html)
    case (let name?, 1) where PageFile(rawValue: name) != nil: self = .page(PageFile(rawValue: name) ?? .html)
    case ("metrics", 1): self = .metrics
    // Real servers of bRPC have it; probes ask for it.
    case ("health", 1): self = .health
    case ("v1", 2) where parts[1] == "classify": self = .classify
    case ("v1", 2) where parts[1] == "heatmap": self = .heatMap
    case ("v1", _): return nil
    case ("v2", _):
      guard let route = HTTPRoute(version2: Array(parts.dropFirst())) else { return nil }
      self = route
    case (GeneralModel.service?, 2), (GeneralModel.fullService?, 2): self = .generalModel(parts[1])
    // The pipeline takes any name for its method.
    case (let name?, 2) where method == "POST" || parts[1] == "prediction": self = .prediction(name)
    default: return nil
    }
  }

  private init?(version2 parts: [String]) {
    switch parts.first {
    case nil: self = .server
    case "health" where parts == ["health", "live"]: self = .live
    case "health" where parts == ["health", "ready"]: self = .ready
    case "models" where parts == ["models", "stats"]: self = .statistics(nil, nil)
    case "repository" where parts == ["repository", "index"]: self = .models
    case "repository" where parts.count == 4 && parts[1] == "models" && parts[3] == "load": self = .load(parts[2])
    case "repository" where parts.count == 4 && parts[1] == "models" && parts[3] == "unload": self = .unload(parts[2])
    case "models" where parts.count >= 2:
      let name = parts[1]
      var rest = parts.dropFirst(2)
      var version: String?
      if rest.first == "versions", rest.count >= 2 {
        version = rest.dropFirst().first
        rest = rest.dropFirst(2)
      }
      switch Array(rest) {
      case []: self = .model(name, version)
      case ["ready"]: self = .modelReady(name, version)
      case ["infer"]: self = .infer(name, version)
      case ["config"]: self = .configuration(name, version)
      case ["stats"]: self = .statistics(name, version)
      default: return nil
      }
    default: return nil
    }
  }

  /// The methods that are allowed.
  var methods: [String] {
    switch self {
    case .classify, .heatMap, .infer, .prediction, .load, .unload, .models: ["POST"]
    // As servers of bRPC do.
    case .generalModel: ["POST", "PUT", "GET"]
    default: ["GET", "HEAD"]
    }
  }

  /// The protocol in counts.
  var transport: String {
    switch self {
    case .prediction: "paddle-http"
    case .generalModel: "brpc-http"
    default: "http"
    }
  }

  /// The name in counts.
  var operation: String {
    switch self {
    case .page: "page"
    case .metrics: "metrics"
    case .health, .live, .ready, .modelReady: "health"
    case .server, .model, .configuration, .statistics: "metadata"
    case .models, .load, .unload: "repository"
    case .classify, .infer, .prediction, .generalModel: "infer"
    case .heatMap: "heatmap"
    }
  }
}
