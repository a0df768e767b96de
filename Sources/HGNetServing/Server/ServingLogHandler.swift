#if Serving
  import Logging

  /// Writes what the packages underneath have to say into the server's log; only what matters.
  struct ServingLogHandler: LogHandler {
    let log: ServingLog
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level = .warning

    init(log: ServingLog) { self.log = log }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      let level: ServingLog.Level = event.level >= .error ? .error : .warning
      log.write(level, "\(event.message)", [])
    }
  }
#endif
