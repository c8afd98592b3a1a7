// Package walve carries byte streams over WebSocket (RFC 6455).
//
// A [Listener] turns HTTP upgrade requests into net.Conn values and a [Dialer]
// makes them on the client, so that what speaks over a net.Conn (gRPC, TLS,
// SSH, net/http, a database driver) passes unchanged through HTTP proxies and
// load balancers. The same [Conn] also gives WebSocket itself, as messages and
// as frames, and [FrameReader] and [FrameWriter] do frames on any io.Reader and
// io.Writer.
//
// # Server
//
// A zero Listener is mounted as an http.Handler and given to whatever takes a
// net.Listener:
//
//	var ln walve.Listener
//	http.Handle("/grpc", &ln)
//	go grpcServer.Serve(&ln)
//
// [Listen] and [NewListener] bring their own HTTP server. [Upgrade] is for a
// handler that keeps the Conn to itself. Authorisation, limits and the like are
// HTTP middleware, as for any handler.
//
// # Client
//
// [Dial] connects to a ws or wss URL. A Dialer with a URL has the Dial and
// DialContext of a net.Dialer, for programs that take such a function; they
// connect to the URL whatever address they are given.
//
// # Streams, messages, frames
//
// To Read and Write a Conn is a stream of bytes: boundaries in what the peer
// sent do not show, and each Write is one binary message. [Conn.ReadMessage]
// and [Conn.WriteMessage] are for messages that fit in memory,
// [Conn.NextMessage] streams one message, [Conn.NextReader] and
// [Conn.NextWriter] stream one frame. They may be mixed on one Conn. Control
// frames have no callbacks, they are handled: a Ping is answered while some
// read is in progress. Messages are compressed if both ends ask for it, see
// [Compression].
//
// # Deadlines
//
// A deadline harms nothing, at whatever byte it strikes. The next Read goes on
// there, and the n of Write is exact: going on with p[n:] gives the peer every
// byte once. A deadline in the past interrupts a blocked call at once. This
// holds for TLS as well, although a tls.Conn alone cannot be written to after a
// write timeout. [Conn.WriteMessage] has an exception of its own.
//
// # Ends and errors
//
// A bare io.EOF means that the peer closed with status 1000 or without one,
// between two messages. Every other error of a Conn is a *net.OpError; its
// cause is found by errors.Is and errors.As: os.ErrDeadlineExceeded,
// net.ErrClosed, io.ErrUnexpectedEOF for a connection that ended without a
// Close frame, [*CloseError] for another status, [*ProtocolError] for a peer
// that broke the protocol, or the system's error. [Conn.CloseStatus] tells the
// peer's status in every case.
//
// [Conn.Close] returns when all that was written and a Close frame are with the
// operating system, after a second at most; the rest of the closing handshake
// goes on in the background, for five seconds at most. A program that exits
// right away calls [Conn.CloseWrite] and reads to io.EOF first.
//
// CloseWrite ends one direction. Between two ends of this package the other
// goes on, as with TCP; they recognise each other in the opening handshake. Any
// other peer has to be answered with a Close frame at once, so that both
// directions end.
//
// # Limits
//
// Nothing is allocated by a length that the peer declares, and messages are
// limited where they are read whole: ReadMessage fails with status 1009 beyond
// MaxMessageSize, 16 MiB unless set. An idle Conn sends a Ping after KeepAlive,
// 30 seconds unless set, and fails if as long again brings nothing. One that
// only reads sends a Ping every one and a half times that.
package walve
