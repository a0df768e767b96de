import ArgumentParser
import HGNet
import HGNetCore
import HGNetModels

#if Serving
  import Foundation
  import HGNetServing
#endif

/// Serves models over HTTP, gRPC and bRPC: the work of Paddle Serving.
struct Serve: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Serve models over HTTP, gRPC and bRPC.",
    discussion: """
      One model:
        hgnet serve --model PPHGNetV2_B0 --weights best_model.pdparams
        hgnet serve --inference-model export/
      A folder of models, NAME/VERSION/ with the files of one model each:
        hgnet serve --repository models/
      Speaks the Open Inference Protocol (/v2, gRPC), takes pictures at POST /v1/classify, and answers Paddle Serving's \
      clients at POST /NAME/prediction; --brpc-port 9292 is for the clients of its C++ server. GET /metrics is for \
      Prometheus, GET / for people. SIGTERM ends it after the last request. Documentation/Serving.md tells the rest.
      """)

  @Option(help: ArgumentHelp("A file of weights in any format, or the name of published weights.", valueName: "file"))
  var weights: String?

  @Option(
    name: .customLong("inference-model"), help: ArgumentHelp("The folder of an inference model.", valueName: "folder"))
  var inferenceModel: String?

  @Option(
    help: ArgumentHelp(
      "The model, such as PPHGNetV2_B0; without --weights its published weights are fetched once (default: PPHGNetV2_B4).",
      valueName: "name"), completion: .modelNames)
  var model: String?

  @Option(help: ArgumentHelp("A folder of models, NAME/VERSION/.", valueName: "folder"))
  var repository: String?

  @Option(
    help: ArgumentHelp("The name of a single model in addresses (default: that of the network).", valueName: "name"))
  var name: String?

  @Option(help: ArgumentHelp("Class names of a single model: lines \"index name\".", valueName: "file"))
  var labels: String?

  @Option(
    name: .customLong("top-k"), help: ArgumentHelp("The number of classes to print (default: 5).", valueName: "k"))
  var topK: Int?

  @Flag(help: "Do not use the network for weights; published ones must be in the cache.")
  var offline = false

  @Flag(help: "Load the models, run one picture through each, and exit without listening.")
  var check = false

  @OptionGroup(title: "Listening") var listening: ListeningOptions
  @OptionGroup(title: "Limits") var limits: ServingLimitOptions
  @OptionGroup var compute: DeviceOptions

  func validate() throws {
    if let topK, topK < 1 { throw ValidationError("expected --top-k of at least 1, found \(topK)") }
    let sources = [weights ?? model, inferenceModel, repository].filter { $0 != nil }
    if sources.count > 1 {
      throw ValidationError("expected one of --weights or --model, --inference-model and --repository")
    }
    if repository != nil, labels != nil || name != nil {
      throw ValidationError("--labels and --name belong to one model; in a folder, labels.txt lies beside it")
    }
  }

  func run() async throws {
    #if Serving
      try await serve()
    #else
      StandardError.write(
        "hgnet: error: this hgnet was built without serving; build it with: "
          + "swift build -c release --traits Serving --scratch-path .build-serving --product hgnet")
      throw ExitStatus.unavailable
    #endif
  }
}

/// Where a server listens and whom it lets in.
struct ListeningOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The address to listen on; 0.0.0.0 for all.", valueName: "address"))
  var host = "127.0.0.1"

  @Option(help: ArgumentHelp("The HTTP port; 0 for any free port.", valueName: "port"))
  var port = 8080

  @Option(name: .customLong("grpc-port"), help: ArgumentHelp("The gRPC port; 0 for any free port.", valueName: "port"))
  var grpcPort = 8081

  @Option(
    name: .customLong("brpc-port"),
    help: ArgumentHelp(
      "The bRPC port, which also serves HTTP and gRPC; 0 for any free port (default: none; Paddle Serving's examples use 9292).",
      valueName: "port"))
  var brpcPort: Int?

  @Flag(name: .customLong("no-grpc"), help: "Disable gRPC.")
  var isHTTPOnly = false

  @Option(
    name: .customLong("tls-certificate"),
    help: ArgumentHelp("The certificate chain, PEM; requires --tls-key.", valueName: "file"))
  var certificate: String?

  @Option(name: .customLong("tls-key"), help: ArgumentHelp("The private key, PEM.", valueName: "file"))
  var key: String?

  @Option(
    name: .customLong("token-file"),
    help: ArgumentHelp("A file with the token that requests must carry (Authorization: Bearer).", valueName: "file"))
  var tokenFile: String?

  @Option(
    name: .customLong("allow-origin"),
    help: ArgumentHelp(
      "A page's origin, such as https://example.org, that may use the server from a browser; * for any. Repeatable.",
      valueName: "origin"))
  var allowedOrigins: [String] = []

  @Option(name: .customLong("log-format"), help: ArgumentHelp("text or json.", valueName: "form"))
  var logFormat = "text"

  @Option(name: .customLong("log-level"), help: ArgumentHelp("debug, info, warning or error.", valueName: "level"))
  var logLevel = "info"

  func validate() throws {
    for (name, port) in [("--port", port), ("--grpc-port", grpcPort), ("--brpc-port", brpcPort ?? 0)]
    where !(0...65535).contains(port) {
      throw ValidationError("expected \(name) of 0 to 65535, found \(port)")
    }
    if (certificate == nil) != (key == nil) {
      throw ValidationError("expected --tls-certificate together with --tls-key")
    }
    if brpcPort != nil, certificate != nil {
      throw ValidationError(
        "--brpc-port has no TLS, as its clients have none; leave it or the certificate out, with which HTTP and gRPC "
          + "answer GeneralModelService, too")
    }
    if !["text", "json"].contains(logFormat) {
      throw ValidationError("expected --log-format text or json, found \(logFormat)")
    }
    if !["debug", "info", "warning", "error"].contains(logLevel) {
      throw ValidationError("expected --log-level debug, info, warning or error, found \(logLevel)")
    }
  }
}

/// What a server allows.
struct ServingLimitOptions: ParsableArguments {
  @Option(name: .customLong("max-batch"), help: ArgumentHelp("The largest batch.", valueName: "n"))
  var batch = 8

  @Option(
    name: .customLong("max-queue"),
    help: ArgumentHelp("Pictures that may wait in the queue; further ones are refused.", valueName: "n"))
  var queue = 128

  @Option(name: .customLong("max-body"), help: ArgumentHelp("The largest request body in MiB.", valueName: "MiB"))
  var body = 32

  @Option(
    name: .customLong("max-pixels"),
    help: ArgumentHelp("The largest picture in millions of pixels.", valueName: "millions"))
  var pixels = 50

  @Option(
    name: .customLong("max-connections"), help: ArgumentHelp("Open connections of each protocol.", valueName: "n"))
  var connections = 1024

  @Option(
    name: .customLong("max-client-requests"),
    help: ArgumentHelp("Requests in flight per client address; 0 for no limit.", valueName: "n"))
  var clientRequests = 0

  @Option(
    name: .customLong("idle-timeout"),
    help: ArgumentHelp(
      "Seconds within which a request must arrive; also the limit for idle connections.", valueName: "s"))
  var idle = 30

  @Option(
    name: .customLong("request-timeout"),
    help: ArgumentHelp("Seconds from the end of a request to its response.", valueName: "s"))
  var request = 30

  @Option(help: ArgumentHelp("Seconds between scans for changed models; 0 for none.", valueName: "s"))
  var poll = 5

  @Option(
    name: .customLong("drain-delay"),
    help: ArgumentHelp("Seconds after SIGTERM during which requests are still accepted.", valueName: "s"))
  var drainDelay = 1

  @Option(
    name: .customLong("drain-timeout"),
    help: ArgumentHelp("Seconds after that during which requests may finish.", valueName: "s"))
  var drain = 30

  func validate() throws {
    let ranges: [(String, Int, ClosedRange<Int>)] = [
      ("--max-batch", batch, 1...256), ("--max-queue", queue, 1...65536), ("--max-body", body, 1...2047),
      ("--max-pixels", pixels, 1...1000), ("--max-connections", connections, 1...65536),
      ("--max-client-requests", clientRequests, 0...65536),
      ("--idle-timeout", idle, 1...3600), ("--request-timeout", request, 1...3600), ("--poll", poll, 0...86400),
      ("--drain-delay", drainDelay, 0...3600), ("--drain-timeout", drain, 1...3600),
    ]
    for (name, value, range) in ranges where !range.contains(value) {
      throw ValidationError("expected \(name) of \(range.lowerBound) to \(range.upperBound), found \(value)")
    }
  }
}

#if Serving
  extension Serve {
    private func serve() async throws {
      let log = ServingLog(
        level: ServingLog.Level.allCases.first { $0.name == listening.logLevel } ?? .info,
        isJSON: listening.logFormat == "json")
      var token: BearerToken?
      if let path = listening.tokenFile {
        let blob = try Blob(mapping: path)
        guard blob.count <= 4096, let read = BearerToken(blob.withUnsafeBytes { String(decoding: $0, as: UTF8.self) })
        else { throw HGNetError(.malformedData, "expected a token of 1 to 4096 bytes", path: path) }
        token = read
      }
      var bounds = Batcher.Limits()
      bounds.batchSize = limits.batch
      bounds.queueCapacity = limits.queue
      bounds.pixelLimit = limits.pixels * 1_000_000
      let source = try await source()
      let models = ModelRepository(
        source: source, device: try compute.silentDevice(), limits: bounds, log: log)
      models.metrics.registry.bootstrap()
      let state = ServingState(
        repository: models, log: log, token: token, requestTimeout: .seconds(limits.request),
        clientLimit: limits.clientRequests == 0 ? nil : limits.clientRequests)

      if check {
        for line in try await ServerCheck.run(state) { print(line) }
        return
      }
      let (stops, stopping) = AsyncStream<Void>.makeStream()
      let signals = StopSignals { stopping.yield() }
      defer { signals.end() }
      try await Server(state: state, configuration: settings).run(mustLoadAll: repository == nil, stops: stops)
    }

    private var settings: ServingConfiguration {
      var settings = ServingConfiguration()
      settings.host = listening.host
      settings.port = listening.port
      settings.grpcPort = listening.isHTTPOnly ? nil : listening.grpcPort
      settings.brpcPort = listening.brpcPort
      if let certificate = listening.certificate, let key = listening.key {
        settings.certificate = .init(chainPath: certificate, keyPath: key)
      }
      settings.bodyLimit = limits.body << 20
      settings.connectionLimit = limits.connections
      settings.idleSeconds = limits.idle
      settings.requestSeconds = limits.request
      settings.pollSeconds = limits.poll == 0 ? nil : limits.poll
      settings.drainDelaySeconds = limits.drainDelay
      settings.drainSeconds = limits.drain
      settings.allowedOrigins = Set(listening.allowedOrigins)
      return settings
    }

    private func source() async throws -> ModelRepository.Source {
      if let repository {
        let folder = ModelFolder(path: repository, topK: topK)
        _ = try folder.names()
        return .folder(folder)
      }
      let model = try self.model.map { name throws(HGNetError) in try Model.named(name) }
      // Published weights are fetched before the server starts.
      let opened = try ModelSource.weights(
        file: inferenceModel ?? weights, model: model, isOffline: offline, defaultModel: .b4)
      let name = self.name ?? opened.model?.name ?? "model"
      guard !name.isEmpty, !name.contains("/") else {
        throw HGNetError(.invalidArgument, "expected a name without \"/\", found \"\(name)\"", key: "--name")
      }
      return .models([
        (name, ModelLocation(path: opened.path, model: model, labelsPath: labels, topK: topK))
      ])
    }
  }
#endif
