#if Serving
  import HGNetCore
  import Logging
  import ServiceLifecycle

  /// Serves models until it is told to stop.
  package struct Server: Sendable {
    private let state: ServingState
    private let configuration: ServingConfiguration

    /// Puts the parts together; nothing is loaded or listened on yet.
    package init(state: ServingState, configuration: ServingConfiguration) {
      self.state = state
      self.configuration = configuration
    }

    /// Listens, loads the models, answers, and returns after `stops` has told to stop and the last request has ended.
    ///
    /// - Parameters:
    ///   - mustLoadAll: whether a model that cannot be loaded at first ends the server.
    ///   - stops: an element asks the server to end.
    /// - Throws: `HGNetError` for a port that cannot be listened on, a certificate that cannot be used, or a model that
    ///   cannot be loaded.
    package func run(mustLoadAll: Bool, stops: AsyncStream<Void>) async throws(HGNetError) {
      let log = state.log
      let (state, configuration) = (state, configuration)
      let listeners = (http: Listener(), grpc: Listener())
      let connections = (
        http: HTTPConnections(limit: configuration.connectionLimit),
        grpc: GRPCConnections(limit: configuration.connectionLimit)
      )
      state.metrics.registry.readings("hgnet_connections", help: "Open connections.") {
        [("grpc", connections.grpc.count), ("http", connections.http.count)].map {
          ([PrometheusLabel("protocol", $0.0)], Double($0.1))
        }
      }
      let http = try HTTPServer(
        routes: HTTPRoutes(state: state), configuration: configuration, connections: connections.http
      ).service(listener: listeners.http) { port in
        log.write(
          .info, "listening",
          [
            ("protocol", configuration.certificate == nil ? "http" : "https"), ("host", configuration.host),
            ("port", "\(port)"),
          ])
      }
      // When one ends by itself, it has failed.
      var services = [ServiceGroupConfiguration.ServiceConfiguration(service: http)]
      if let port = configuration.grpcPort {
        services.append(
          .init(
            service: GRPCService(
              state: state, configuration: configuration, port: port, listener: listeners.grpc,
              connections: connections.grpc)))
      }
      var settings = ServiceGroupConfiguration(
        services: services, logger: Logger(label: "services") { _ in ServingLogHandler(log: log) })
      settings.maximumGracefulShutdownDuration = .seconds(configuration.drainSeconds)
      let group = ServiceGroup(configuration: settings)
      let work = Task<HGNetError?, Never> {
        let failures = await state.repository.refresh()
        if mustLoadAll, let failure = failures.first {
          await group.triggerGracefulShutdown()
          return failure
        }
        if state.isReady { log.write(.info, "ready") }
        guard let seconds = configuration.pollSeconds else { return nil }
        while !Task.isCancelled {
          do { try await Task.sleep(for: .seconds(seconds)) } catch { break }
          await state.repository.refresh(isSettling: true)
        }
        return nil
      }
      let stopping = Task {
        for await _ in stops {
          log.write(.info, "draining")
          state.drain()
          try? await Task.sleep(for: .seconds(configuration.drainDelaySeconds))
          await listeners.http.refuse()
          await listeners.grpc.refuse()
          // What has begun is taken meanwhile.
          try? await Task.sleep(for: .milliseconds(100))
          connections.grpc.announceEnd()
          try? await Task.sleep(for: .milliseconds(300))
          await group.triggerGracefulShutdown()
          return
        }
      }
      var failure: HGNetError?
      do { try await group.run() } catch {
        failure = HGNetError(
          .invalidArgument,
          "cannot serve at \(configuration.host):\(configuration.port); check the address and whether the port is free",
          cause: "\(error)")
      }
      stopping.cancel()
      work.cancel()
      let loading = await work.value
      failure = failure ?? loading
      if let failure { throw failure }
      log.write(.info, "ended")
    }
  }
#endif
