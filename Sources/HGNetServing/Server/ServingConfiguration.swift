/// How a server listens, what it allows, and how it ends.
///
/// Threads: a value, safe to share.
package struct ServingConfiguration: Sendable {
  /// The files that make connections secret.
  package struct Certificate: Sendable {
    /// The certificate and those above it, PEM.
    package let chainPath: String
    /// The private key, PEM.
    package let keyPath: String

    /// Names the files.
    package init(chainPath: String, keyPath: String) {
      self.chainPath = chainPath
      self.keyPath = keyPath
    }
  }

  /// The address that is listened on; only this machine reaches the usual one.
  package var host = "127.0.0.1"
  /// The port of HTTP; 0 for a free one.
  package var port = 8080
  /// The port of gRPC; 0 for a free one, nil for no gRPC.
  package var grpcPort: Int? = 8081
  /// The port of bRPC, on which HTTP and gRPC are answered, too; 0 for a free one, nil for none.
  package var brpcPort: Int?
  /// TLS for HTTP and gRPC; nil for none.
  package var certificate: Certificate?
  /// Where pages lie that may use the server from a browser; `*` for anywhere.
  package var allowedOrigins: Set<String> = []
  /// Bytes of a request's body.
  package var bodyLimit = 32 << 20
  /// Bytes of a request's header fields.
  package var headerLimit = 16 << 10
  /// Connections of each protocol; over HTTP more wait until one ends, over gRPC they are closed.
  package var connectionLimit = 1024
  /// Seconds for a request to arrive, and for which a connection may do nothing.
  package var idleSeconds = 30
  /// Seconds from the whole request to its answer.
  package var requestSeconds = 30
  /// Seconds between two looks for changed models; nil for none.
  package var pollSeconds: Int? = 5
  /// Seconds for which a server that ends still takes requests, so that others learn of it.
  package var drainDelaySeconds = 1
  /// Seconds after which a server that ends does not wait for requests any more.
  package var drainSeconds = 30

  /// The usual values.
  package init() {}
}
