// Package h2 is a client of HTTP/2 (RFC 9113) for WebSockets only (RFC 8441):
// every request is an extended CONNECT, and every stream is a byte stream with
// recoverable deadlines. Many of them share one connection.
//
// A connection has two goroutines, one that reads and one that writes; a stream
// has none. The reader never waits for the writer, nor for anyone who reads a
// stream: the peer is given its window of the connection back as soon as data
// has come, and that of a stream as it is read. So what is held for a peer is
// at most one window per stream.
package h2

import (
	"errors"
	"fmt"
	"math"
	"net"
	"syscall"
	"time"

	"golang.org/x/net/http2"
)

// A Config says how connections are run. The zero value is ready; what is 0
// has the default.
type Config struct {
	// Window is how many bytes a server may send on a stream before they are
	// read: what is wanted of bandwidth times the round trip time. 0: 4 MiB,
	// which is 100 MB/s over 40 ms.
	Window int
	// IdleTimeout is how long a connection lives on without a stream. 0: 30 s.
	IdleTimeout time.Duration
	// PingInterval is how long a connection with streams may be silent before
	// a PING asks whether the peer is there. 0: 30 s; < 0: never.
	PingInterval time.Duration
	// PingTimeout is how long the answer may take. 0: 15 s.
	PingTimeout time.Duration
}

const (
	defaultWindow       = 4 << 20
	defaultIdleTimeout  = 30 * time.Second
	defaultPingInterval = 30 * time.Second
	defaultPingTimeout  = 15 * time.Second

	// minWindow is what every connection begins with (RFC 9113, 6.9.2).
	minWindow = 65535
	maxWindow = math.MaxInt32 // 6.9.1

	// readFrameSize is announced as SETTINGS_MAX_FRAME_SIZE. Payload of DATA is
	// not buffered as a whole, so it may be large: what fills five TLS records,
	// 64 KiB with the headers of WebSocket frames among it.
	readFrameSize = 80<<10 - frameHeaderLen
	// maxHeaderList bounds a response's header, as 6.5.2 counts its size, and
	// half of what it may take on the wire.
	maxHeaderList = 64 << 10
)

func (cfg Config) resolved() Config {
	if cfg.Window <= 0 {
		cfg.Window = defaultWindow
	}
	cfg.Window = min(max(cfg.Window, 1<<10), maxWindow)
	if cfg.IdleTimeout <= 0 {
		cfg.IdleTimeout = defaultIdleTimeout
	}
	if cfg.PingInterval == 0 {
		cfg.PingInterval = defaultPingInterval
	}
	if cfg.PingTimeout <= 0 {
		cfg.PingTimeout = defaultPingTimeout
	}
	return cfg
}

// connWindow is the window of a connection. It is given back as data comes,
// whether a stream is read or not, so it only has to cover the round trip of
// all streams together.
func (cfg Config) connWindow() int { return min(max(4*cfg.Window, 16<<20), maxWindow) }

var (
	// ErrNoWebSocket says that a server speaks HTTP/2, but not RFC 8441 over
	// it: its SETTINGS lack SETTINGS_ENABLE_CONNECT_PROTOCOL.
	ErrNoWebSocket = errors.New("http2: the server does not take WebSockets over HTTP/2")

	// errUnused says that the server has not looked at a stream: RFC 9113,
	// 8.7, it may be tried again on another connection.
	errUnused = errors.New("http2: the server has refused the stream")

	errNoAnswer = errors.New("http2: the server does not answer a PING")
	errIdle     = errors.New("http2: the connection was idle")
)

// A StreamError is a stream that was reset: by the peer, or because the peer
// broke the protocol on it. To errors.Is it is ECONNRESET.
type StreamError struct {
	Code   http2.ErrCode
	Reason string // empty: the peer did it
}

func (e *StreamError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("http2: stream reset by peer: %v", e.Code)
	}
	return fmt.Sprintf("http2: stream reset: %v: %s", e.Code, e.Reason)
}

func (e *StreamError) Unwrap() error { return syscall.ECONNRESET }

// A ConnError is the end of a connection on which the peer broke the protocol.
type ConnError struct {
	Code   http2.ErrCode // what the peer was told
	Reason string
}

func (e *ConnError) Error() string {
	return fmt.Sprintf("http2: connection failed: %v: %s", e.Code, e.Reason)
}

func connError(code http2.ErrCode, reason string) error {
	return &ConnError{Code: code, Reason: reason}
}

func opError(c net.Conn, op string, err error) error {
	if oe, ok := err.(*net.OpError); ok {
		err = oe.Err
	}
	local := c.LocalAddr()
	network := "tcp"
	if local != nil {
		network = local.Network()
	}
	return &net.OpError{Op: op, Net: network, Source: local, Addr: c.RemoteAddr(), Err: err}
}
